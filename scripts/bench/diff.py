# SPDX-License-Identifier: GPL-2.0
"""What changed between two files of results."""

from kernels import TITLES

from .counts import NOISE

MANY = 0.05                         # of instructions that the kernel's own doings are part of
BYTES = 0.5
TRACED = {"locked_own": "locked instructions of its own", "locked": "locked instructions",
          "lines": "shared cache lines written", "allocations": "allocations"}


def pairs(old, new, *keys):
    """What both have under these keys, as two dictionaries."""
    for key in keys:
        old, new = (each.get(key) if isinstance(each, dict) else None for each in (old, new))
    return (old or {}), (new or {})


def change(before, now):
    return f" ({(now - before) / before:+.1%})" if before else ""


def versions(old, new):
    before, now = pairs(old, new, "kernels")
    for impl in TITLES:
        for name in sorted({*before.get(impl, {}), *now.get(impl, {})}):
            was, is_ = before.get(impl, {}).get(name), now.get(impl, {}).get(name)
            if was and is_ and was != is_:
                yield f"{TITLES[impl]} kernel: {name} {was} -> {is_}"


def operations(old, new):
    before, now = pairs(old, new, "operations")
    for name in [*before, *(name for name in now if name not in before)]:
        if name not in now or name not in before:
            yield f"{name}: only in the {'earlier' if name in before else 'later'} results"
            continue
        for impl in TITLES:
            if impl not in before[name] or impl not in now[name]:
                continue
            was, is_ = before[name][impl]["median"], now[name][impl]["median"]
            exact = before[name]["exact"] and now[name]["exact"]
            if abs(is_ - was) > (0 if exact else NOISE * abs(was)):
                yield f"{name}, {TITLES[impl]}: {was} -> {is_} instructions{change(was, is_)}"


def traced(old, new):
    before, now = pairs(old, new, "trace")
    for name in before:
        for impl in TITLES:
            was, is_ = pairs(before, now, name, impl)
            for key, what in TRACED.items():
                if was and is_ and was[key] != is_[key]:
                    yield f"{name}, {TITLES[impl]}: {was[key]} -> {is_[key]} {what}"


def memory(old, new):
    for impl in TITLES:
        for part, allowed in (("slab", BYTES), ("sizes", 0)):
            before, now = pairs(old, new, "memory", impl, part)
            for name in before:
                if name in now and abs(before[name] - now[name]) > allowed:
                    what = "functions" if name == "functions" else f"bytes of {name}"
                    yield f"memory, {TITLES[impl]}: {before[name]} -> {now[name]} {what}"


def scale(old, new):
    for impl in TITLES:
        before, now = pairs(old, new, "scale", impl)
        for phase in before:
            # How much of the freed memory RCU gets to in time is chance.
            allowed = NOISE if phase == "destroy" else MANY
            for number, was in before[phase].items():
                is_ = now.get(phase, {}).get(number)
                if is_ is not None and abs(is_ - was) > allowed * was:
                    yield (f"scale, {TITLES[impl]}: {phase}, {int(number):,} timers: "
                           f"{was:.0f} -> {is_:.0f} each{change(was, is_)}")


def throughput(old, new):
    for impl in TITLES:
        before, now = pairs(old, new, "load", "throughput", impl)
        for name, was in before.items():
            is_ = now.get(name)
            # Within each other's noise it is none.
            if is_ and abs(is_["median"] - was["median"]) > sum(e["spread"] * e["median"] for e in (was, is_)):
                yield (f"throughput, {TITLES[impl]}: {name}: {was['median'] / 1e6:.2f} -> {is_['median'] / 1e6:.2f} "
                       f"million a second{change(was['median'], is_['median'])}")


def compare(old, new):
    """Lines, one for each change that is more than noise."""
    return [line for part in (versions, operations, traced, memory, scale, throughput) for line in part(old, new)]
