# SPDX-License-Identifier: GPL-2.0
"""Counts against the committed ones: what fails, what cannot be decided, what is said."""

import json
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "scripts"))
from bench import baseline  # noqa: E402
from bench.kernels import BenchError  # noqa: E402

HERE = {"kernel": "7.3.4", "clang": "22.1.8", "rustc": "1.96.0", "qemu": "7.2"}


def results(**counts):
    return {name: {"median": count, "exact": not name.startswith("about")} for name, count in counts.items()}


class Verdict(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "baseline.json"
        baseline.save(self.path, HERE, results(start=100, init=300, about_end=1000))

    def verdict(self, environment=None, **counts):
        status, lines = baseline.verdict(self.path, environment or HERE,
                                         results(**{"start": 100, "init": 300, "about_end": 1000, **counts}))
        return status, "\n".join(lines)

    def test_the_same(self):
        status, text = self.verdict()
        self.assertEqual((status, text.count("\n")), (0, 0))

    def test_regression_is_named(self):
        status, text = self.verdict(start=103)
        self.assertEqual(status, 1)
        self.assertIn("REGRESSION: start: 100 -> 103 instructions (+3.0%)", text)
        self.assertIn("--renew", text)
        self.assertNotIn("init", text)

    def test_two_percent_are_allowed(self):
        self.assertEqual(self.verdict(start=102)[0], 0)
        self.assertEqual(self.verdict(init=306)[0], 0)
        self.assertEqual(self.verdict(init=307)[0], 1)

    def test_what_is_not_exact_has_more_room(self):
        self.assertEqual(self.verdict(about_end=1290)[0], 0)
        self.assertEqual(self.verdict(about_end=1310)[0], 1)

    def test_less_passes_and_is_said(self):
        status, text = self.verdict(start=80)
        self.assertEqual(status, 0)
        self.assertIn("LESS: start", text)

    def test_other_versions(self):
        other = {**HERE, "rustc": "1.97.0"}
        self.assertEqual(self.verdict(other)[0], 0)
        self.assertIn("rustc 1.96.0 -> 1.97.0", self.verdict(other)[1])
        status, text = self.verdict(other, start=110)
        self.assertEqual(status, 4)
        self.assertIn("MORE: start", text)
        self.assertIn("cannot be decided", text)
        self.assertNotIn("OK", text)

    def test_other_operations(self):
        for environment in (HERE, {**HERE, "kernel": "7.3.5"}):
            status, text = self.verdict(environment, new=1)
            self.assertEqual(status, 1)
            self.assertIn("new: measured, but not in the baseline", text)
        status, lines = baseline.verdict(self.path, HERE, results(start=100, about_end=1000))
        self.assertEqual(status, 1)
        self.assertIn("init: in the baseline", "\n".join(lines))

    def test_renewed(self):
        baseline.save(self.path, HERE, results(start=103, init=300, about_end=1000))
        self.assertEqual(self.verdict(start=103)[0], 0)
        self.assertEqual([entry.name for entry in self.path.parent.iterdir()], [self.path.name])

    def test_no_baseline(self):
        for text in (None, "", "{}", "[]", '{"environment": {}, "operations": {}}',
                     json.dumps({"environment": {}, "operations": {"start": "x"}})):
            if text is None:
                self.path.unlink()
            else:
                self.path.write_text(text)
            with self.assertRaises(BenchError, msg=text):
                self.verdict()


if __name__ == "__main__":
    unittest.main()
