# SPDX-License-Identifier: GPL-2.0
"""From 1000 to a million timers in one hash map: what each costs."""

from kernels import TITLES, grid

from .kernels import BenchError

SIZES = (1000, 10000, 100000, 1000000)
PHASES = {
    "insert": "insert an element without a timer",
    "arm": "look up, init, set_callback and start",
    "fire": "expire and be called, all at once",
    "delete": "delete the element, its timer has fired",
    "destroy": "end of the map, its timers have fired",
    "bytes": "slab bytes",
}
OURS = ("arm", "fire", "delete", "destroy")     # what the implementation has a part in
FLAT = 1.25                         # from the smallest to the largest, beyond what C has


def measure(kernel):
    """{phase: {number of timers: value for each}}"""
    results = {phase: {} for phase in PHASES}
    rows = kernel.boot("scale", ["scale", *map(str, SIZES)], mem="3G", limit=900)
    for number, phase, value in rows:
        results[phase][number] = float(value)
    for phase, values in results.items():
        if [*values] != [str(size) for size in SIZES]:
            raise BenchError(f"{kernel.label}: '{phase}' was not measured for all sizes; run it again")
    return results


def growth(values):
    """Each of the largest against each of the smallest."""
    return values[str(SIZES[-1])] / values[str(SIZES[0])]


def render(results, impls):
    rows = [["for each timer", "", *(f"{size:,}" for size in SIZES), "growth", "what"]]
    for phase, what in PHASES.items():
        for impl in impls:
            values = results[impl][phase]
            rows.append([phase, TITLES[impl], *(f"{values[str(size)]:.0f}" for size in SIZES),
                         f"{growth(values):.2f}", what])
    return ("Instructions for each of so many timers in one hash map\n"
            + grid(rows, range(2, len(SIZES) + 3)))


def steeper(results):
    """Phases in which Rust grows with the number of timers and C does not as much."""
    if len(results) < 2:
        return []
    return [phase for phase in OURS
            if growth(results["rust"][phase]) > FLAT * max(growth(results["c"][phase]), 1)]
