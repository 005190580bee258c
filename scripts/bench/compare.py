# SPDX-License-Identifier: GPL-2.0
"""Counts against those that were committed, and two files of results against each other.

A count depends on the compilers, on the kernel's version and, as the kernel
adapts itself to the CPU, on QEMU's. Where they are those of the baseline, an
operation that takes more than 2 % more is a regression. Where they are not, a
difference proves nothing: it is shown, and the check counts as not done, unless
everything is within the 2 % all the same.
"""

import json
import time

from kernels import TITLES, BuildError, write_json

from .parts import NOISE

LIMIT = 0.02
RENEW = "scripts/bench.py --impl rust --renew"
PASS, FAIL, SKIP = 0, 1, 4

MANY = 0.05                         # of instructions that the kernel's own doings are part of
BYTES = 0.5
TRACED = {"locked_own": "locked instructions of its own", "locked": "locked instructions",
          "lines": "shared cache lines written", "allocations": "allocations"}


def save_baseline(path, environment, results):
    write_json(path, {"environment": environment,
                      "operations": {name: result["rust"]["median"] for name, result in results.items()}})


def verdict(path, environment, results):
    """(exit status, lines to print) of the counts of the Rust kernel."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        then, baseline = data["environment"], data["operations"]
        if not baseline or not all(isinstance(count, int) for count in baseline.values()):
            raise ValueError("no counts in it")
    except FileNotFoundError:
        raise BuildError(f"there is no baseline {path}; make one with {RENEW}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BuildError(f"{path} is no baseline ({error}); restore it, or renew it with {RENEW}") from None
    other = [f"{name} {then.get(name, 'unknown')} -> {environment.get(name, 'unknown')}"
             for name in sorted({*then, *environment}) if then.get(name) != environment.get(name)]
    worse, better = [], []
    for name, before in baseline.items():
        if name not in results:
            continue
        now, limit = results[name]["rust"]["median"], LIMIT if results[name]["exact"] else NOISE
        if abs(now - before) > limit * abs(before):
            (worse if now > before else better).append(
                f"{name}: {before} -> {now} instructions ({(now - before) / max(before, 1):+.1%})")
    missing = [f"{name}: in the baseline, but no longer measured" for name in baseline if name not in results]
    missing += [f"{name}: measured, but not in the baseline" for name in results if name not in baseline]
    lines = ["NOTE: the baseline was counted with something else: " + ", ".join(other)] if other else []
    for word, found in (("LESS", better), ("MORE" if other else "REGRESSION", worse), ("MISSING", missing)):
        lines += [f"{word}: {line}" for line in found]

    counted = f"{len(baseline)} operations against {path.name}"
    if missing or (worse and not other):
        what = [f"{len(worse)} operations take over {LIMIT:.0%} more instructions"] if worse else []
        what += [f"{len(missing)} operations are on one side only"] if missing else []
        return FAIL, lines + [f"FAIL: {counted}: {' and '.join(what)}; fix it, or if it has to be, "
                              f"renew the baseline with {RENEW} and commit it"]
    if worse:
        return SKIP, lines + [
            f"SKIP: {counted}: cannot be decided, {len(worse)} take over {LIMIT:.0%} more, which may be the "
            "other versions' doing alone; to check the code, use the baseline's versions; to go over "
            f"to these, renew it with {RENEW} from a state that is known to be good, and commit it"]
    hint = f"; {len(better)} take less: {RENEW} keeps that" if better else ""
    return PASS, lines + [f"OK: {counted}: none takes over {LIMIT:.0%} more instructions{hint}"]


def read(path):
    """A file of results."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BuildError(f"there is no {path}; run 'make bench' first") from None
    except ValueError as error:
        raise BuildError(f"{path} cannot be read ({error}); remove it, and measure again") from None
    if not isinstance(data, dict) or not isinstance(data.get("operations", {}), dict):
        raise BuildError(f"{path} is no file of results; remove it, and measure again")
    return data


def write(path, data):
    """The file that was there goes to the history, under the time of its writing."""
    if path.is_file():
        old = path.parent / "bench-history"
        old.mkdir(exist_ok=True)
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(path.stat().st_mtime))
        path.replace(old / f"{path.stem}-{stamp}.json")
    write_json(path, data)


def percent(before, now):
    return f" ({(now - before) / before:+.1%})" if before else ""


def inside(data, *keys):
    """What is under these keys, or nothing: a file need not have everything."""
    for key in keys:
        data = (data or {}).get(key)
    return data or {}


def pairs(old, new, *keys):
    """(C or Rust, name, before, now) of what both files have; the key IMPL stands for that of C or Rust."""
    for impl, title in TITLES.items():
        before, now = (inside(data, *(impl if key == "IMPL" else key for key in keys)) for data in (old, new))
        yield from ((title, name, before[name], now[name]) for name in before if name in now)


def changed_operations(old, new):
    before, after = inside(old, "operations"), inside(new, "operations")
    for name in {**before, **after}:
        if name not in before or name not in after:
            yield f"{name}: only in the {'earlier' if name in before else 'later'} results"
            continue
        exact = before[name]["exact"] and after[name]["exact"]
        for title, key, was, now in pairs(before, after, name, "IMPL"):
            if key == "median" and abs(now - was) > (0 if exact else NOISE * abs(was)):
                yield f"{name}, {title}: {was} -> {now} instructions{percent(was, now)}"


def changes(old, new):
    """Lines, one for each change between two results that is more than noise."""
    for title, name, was, now in sorted(pairs(old, new, "kernels", "IMPL")):
        if was != now:
            yield f"{title} kernel: {name} {was} -> {now}"
    yield from changed_operations(old, new)
    for name in inside(old, "trace"):
        for title, key, was, now in pairs(old, new, "trace", name, "IMPL"):
            if key in TRACED and was != now:
                yield f"{name}, {title}: {was} -> {now} {TRACED[key]}"
    for title, name, was, now in pairs(old, new, "memory", "IMPL", "slab"):
        if abs(now - was) > BYTES:
            yield f"memory, {title}: {was} -> {now} bytes of {name}"
    for title, name, was, now in pairs(old, new, "memory", "IMPL", "sizes"):
        if was != now:
            yield f"memory, {title}: {was} -> {now} {'functions' if name == 'functions' else f'bytes of {name}'}"
    for title, phase, before, after in pairs(old, new, "scale", "IMPL"):
        # How much of the freed memory RCU gets to in time is chance.
        allowed = NOISE if phase == "destroy" else MANY
        for size, was in before.items():
            now = after.get(size, was)
            if abs(now - was) > allowed * was:
                yield (f"scale, {title}: {phase}, {int(size):,} timers: {was:.0f} -> {now:.0f} each"
                       f"{percent(was, now)}")
    for title, name, was, now in pairs(old, new, "load", "throughput", "IMPL"):
        # Within each other's noise it is none.
        if abs(now["median"] - was["median"]) > sum(each["spread"] * each["median"] for each in (was, now)):
            yield (f"throughput, {title}: {name}: {was['median'] / 1e6:.2f} -> {now['median'] / 1e6:.2f} "
                   f"million a second{percent(was['median'], now['median'])}")
