# SPDX-License-Identifier: GPL-2.0
"""Two files of results: what is named as a change, and what is noise."""

import copy
import json
import os
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "scripts"))
from bench import diff, store  # noqa: E402
from bench.kernels import BenchError  # noqa: E402


def operation(c, rust, exact=True):
    return {"what": "", "exact": exact, "floor": None, "c": {"median": c}, "rust": {"median": rust}}


def traced(**more):
    return {"locked_own": 2, "locked": 3, "lines": 2, "allocations": 0, "functions": {}, **more}


DATA = {
    "kernels": {impl: {"kernel": "7.3.4", "rustc": "1.96.0"} for impl in ("c", "rust")},
    "operations": {"start": operation(347, 355), "end": operation(1000, 900, exact=False)},
    "trace": {"start": {"c": traced(), "rust": traced(locked_own=0)}},
    "memory": {impl: {"slab": {"timer": 128.0}, "sizes": {"text": 3000, "functions": 20}} for impl in ("c", "rust")},
    "scale": {impl: {"arm": {"1000": 1300.0}, "destroy": {"1000": 300.0}} for impl in ("c", "rust")},
    "load": {"throughput": {impl: {"start, one, 2": {"median": 1e6, "spread": 0.1}} for impl in ("c", "rust")}},
}


class Compare(unittest.TestCase):
    def lines(self, *keys, value):
        new = copy.deepcopy(DATA)
        inner = new
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        return diff.compare(DATA, new)

    def test_the_same(self):
        self.assertEqual(diff.compare(DATA, copy.deepcopy(DATA)), [])

    def test_each_is_named(self):
        for keys, value, line in (
                (("kernels", "rust", "rustc"), "1.97.0", "Rust kernel: rustc 1.96.0 -> 1.97.0"),
                (("operations", "start", "rust", "median"), 354, "start, Rust: 355 -> 354 instructions (-0.3%)"),
                (("operations", "end", "c", "median"), 1400, "end, C: 1000 -> 1400 instructions (+40.0%)"),
                (("trace", "start", "rust", "locked_own"), 1, "start, Rust: 0 -> 1 locked instructions of its own"),
                (("memory", "c", "slab", "timer"), 192.0, "memory, C: 128.0 -> 192.0 bytes of timer"),
                (("memory", "c", "sizes", "functions"), 21, "memory, C: 20 -> 21 functions"),
                (("scale", "rust", "arm", "1000"), 1500.0,
                 "scale, Rust: arm, 1,000 timers: 1300 -> 1500 each (+15.4%)"),
                (("load", "throughput", "c", "start, one, 2", "median"), 2e6,
                 "throughput, C: start, one, 2: 1.00 -> 2.00 million a second (+100.0%)")):
            self.assertEqual(self.lines(*keys, value=value), [line])

    def test_noise_is_not(self):
        for keys, value in ((("operations", "end", "c", "median"), 1200),
                            (("memory", "c", "slab", "timer"), 128.3),
                            (("scale", "c", "arm", "1000"), 1320.0),
                            (("scale", "c", "destroy", "1000"), 360.0),
                            (("load", "throughput", "c", "start, one, 2", "median"), 1.15e6)):
            self.assertEqual(self.lines(*keys, value=value), [], keys)

    def test_one_side_only(self):
        new = copy.deepcopy(DATA)
        del new["operations"]["end"]
        self.assertEqual(diff.compare(DATA, new), ["end: only in the earlier results"])
        self.assertEqual(diff.compare(new, DATA), ["end: only in the later results"])

    def test_parts_that_were_not_measured(self):
        for part in DATA:
            new = {key: value for key, value in DATA.items() if key != part}
            for line in diff.compare(DATA, new) + diff.compare(new, DATA):
                self.assertIn("only in", line)
        self.assertEqual(diff.compare({}, {}), [])


class Store(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "out/bench.json"

    def test_earlier_results_are_kept(self):
        for number in range(3):
            store.write(self.path, {"n": number})
            os.utime(self.path, (number * 100, number * 100))
        self.assertEqual(store.read(self.path), {"n": 2})
        self.assertEqual([json.loads(path.read_text())["n"] for path in store.history(self.path)], [0, 1])

    def test_other_files_have_their_own_history(self):
        rust = self.path.with_name("bench-rust.json")
        for path in (self.path, rust, rust):
            store.write(path, {})
        self.assertEqual(store.history(self.path), [])
        self.assertEqual(len(store.history(rust)), 1)

    def test_bad_files(self):
        with self.assertRaises(BenchError):
            store.read(self.path)
        self.path.parent.mkdir()
        for text in ("", "[]", '{"operations": 1}'):
            self.path.write_text(text)
            with self.assertRaises(BenchError, msg=text):
                store.read(self.path)


if __name__ == "__main__":
    unittest.main()
