# SPDX-License-Identifier: GPL-2.0
"""The instructions of every operation, exact, and the floor under them."""

import time

from kernels import TITLES, grid

from .kernels import say

FIELDS = ("median", "smallest", "mean", "samples")
SLACK = {"x86_64": 0, "arm64": 0.02}    # of those that are; how arm64's counter is read takes part
NOISE = 0.30                        # of the numbers that are not exact: when RCU gets to free is chance
FLOOR = "floor "                    # how the names of the bare calls begin


def parse(rows):
    """{operation: {"what": ..., "median": ..., ...}} of what a boot printed."""
    results = {}
    for name, *numbers, exact, floor, what in rows:
        results[name] = {"what": what, "exact": exact == "exact", "floor": None if floor == "-" else floor,
                         **dict(zip(FIELDS, map(float, numbers)))}
        results[name]["median"] = int(results[name]["median"])
    return results


def differences(label, boots, slack=0):
    """What is not the same in all boots of a kernel, in words; exact numbers may differ by slack."""
    found = []
    for name, first in boots[0].items():
        counts = [boot[name]["median"] for boot in boots]
        allowed = (slack if first["exact"] else NOISE) * min(counts)
        if max(counts) - min(counts) > allowed:
            found.append(f"{label}: {name}: " + ", ".join(map(str, counts)) + " instructions")
    return found


def measure(kernel, only, number):
    """Boot it so many times: the operations of the first boot, and what differs."""
    boots = []
    for i in range(number):
        started = time.monotonic()
        boots.append(parse(kernel.boot("counts", only)))
        say(f"{kernel.label}: boot {i + 1} of {number}: {len(boots[0])} operations, "
            f"{time.monotonic() - started:.0f} s")
    return boots[0], differences(kernel.label, boots, SLACK[kernel.arch])


def collect(columns):
    """The same as bench.json has it: {operation: {what, exact, floor, c: {...}, rust: {...}}}."""
    first = next(iter(columns.values()))
    return {name: {**{key: first[name][key] for key in ("what", "exact", "floor")},
                   **{impl: {field: results[name][field] for field in FIELDS}
                      for impl, results in columns.items()}}
            for name in first}


def slower(operations):
    """Operations in which Rust takes more than C."""
    return [name for name, op in operations.items()
            if "c" in op and "rust" in op and op["rust"]["median"] > op["c"]["median"]]


def row(operations, name, impls):
    op = operations[name]
    counts = [op[impl]["median"] for impl in impls]
    # Both kernels have the same floor, or the floor's own row says so.
    floor = operations.get(op["floor"])
    cells = [name, *(("" if op["exact"] else "~") + str(count) for count in counts)]
    if len(counts) > 1:
        cells += [f"{counts[1] / counts[0]:.2f}" if counts[0] > 0 else "-",
                  "more" if counts[1] > counts[0] else ""]
    if floor:
        cells += [str(floor[impls[0]]["median"]),
                  "/".join(str(count - floor[impl]["median"]) for count, impl in zip(counts, impls))]
    else:
        cells += ["", ""]
    return [*cells, op["what"]]


def render(operations, impls):
    both = len(impls) > 1
    titles = [TITLES[impl] for impl in impls]
    rows = [["operation", *titles, *(["ratio", ""] if both else []), "floor",
             "above it " + "/".join(titles) if both else "above it", "what"]]
    rows += [row(operations, name, impls) for name in operations]
    return grid(rows, {1, 2, 3, 5, 6} if both else {1, 2, 3})
