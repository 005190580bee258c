# SPDX-License-Identifier: GPL-2.0
"""The table of counts, what differs between boots, and what grows with the number of timers."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "scripts"))
from bench import counts, scale  # noqa: E402

ROWS = [["floor start", "295", "295", "295.0", "256", "exact", "-", "hrtimer_start()"],
        ["start", "347", "340", "348.2", "256", "exact", "floor start", "start(), stopped"],
        ["end", "800", "790", "805.0", "3", "about", "-", "end of a map"]]


def boot(**medians):
    results = counts.parse(ROWS)
    for name, median in medians.items():
        results[name]["median"] = median
    return results


class Boots(unittest.TestCase):
    def test_parse(self):
        found = boot()["start"]
        self.assertEqual((found["median"], found["mean"], found["exact"], found["floor"]),
                         (347, 348.2, True, "floor start"))
        self.assertEqual((boot()["end"]["exact"], boot()["end"]["floor"]), (False, None))

    def test_one_instruction_differs(self):
        self.assertEqual(counts.differences("7.3.4-c", [boot(), boot()]), [])
        self.assertEqual(counts.differences("7.3.4-c", [boot(), boot(start=348)]),
                         ["7.3.4-c: start: 347, 348 instructions"])

    def test_what_is_not_exact_may(self):
        self.assertEqual(counts.differences("7.3.4-c", [boot(), boot(end=900)]), [])
        self.assertEqual(len(counts.differences("7.3.4-c", [boot(), boot(end=1100)])), 1)


class Table(unittest.TestCase):
    def test_floor_and_ratio(self):
        operations = counts.collect({"c": boot(), "rust": boot(start=360)})
        lines = counts.render(operations, ("c", "rust")).splitlines()
        self.assertEqual(lines[2].split()[:7], ["start", "347", "360", "1.04", "more", "295", "52/65"])
        self.assertIn("~800", lines[3])
        self.assertEqual(counts.slower(operations), ["start"])

    def test_one_kernel_without_its_floor(self):
        columns = {"rust": {"start": boot()["start"]}}
        self.assertEqual(counts.render(counts.collect(columns), ("rust",)).splitlines()[1].split()[:3],
                         ["start", "347", "start(),"])


class Growth(unittest.TestCase):
    def results(self, **last):
        first, final = (str(scale.SIZES[i]) for i in (0, -1))
        return {impl: {phase: {first: 100.0, final: 100.0 * (last.get(impl, 1) if phase == "arm" else 1)}
                       for phase in scale.PHASES} for impl in ("c", "rust")}

    def test_rust_alone_grows(self):
        self.assertEqual(scale.steeper(self.results(rust=1.3)), ["arm"])

    def test_both_grow_or_a_little(self):
        for last in ({}, {"rust": 1.2}, {"c": 2, "rust": 2.2}, {"c": 2}):
            self.assertEqual(scale.steeper(self.results(**last)), [], last)


if __name__ == "__main__":
    unittest.main()
