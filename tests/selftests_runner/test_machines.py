# SPDX-License-Identifier: GPL-2.0
"""The table of machines, from results as the runners write them."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import machines  # noqa: E402


def data(**tests):
    return {"tests": {name: {impl: {"status": status} for impl, status in columns.items()}
                      for name, columns in tests.items()},
            "built": {impl: {"repository": "1234"} for impl in ("c", "rust")}}


class Machines(unittest.TestCase):
    def test_what_did_not_run_is_not_counted(self):
        self.assertEqual(machines.cell(data(a={"c": "pass"}, b={"c": "left out"}, d={"c": "crash"}), "c"), "1/2")
        self.assertEqual(machines.cell(data(a={"c": "skip"}), "c"), "-")

    def test_a_known_limit_is_no_pass(self):
        self.assertEqual(machines.cell(data(a={"rust": "known"}, b={"rust": "pass"}), "rust"), "1/1, 1 known")

    def test_what_was_run_again_is_said(self):
        found = data(a={"rust": "pass"})
        found["tests"]["a"]["rust"]["failed before"] = ["late"]
        self.assertEqual(machines.cell(found, "rust"), "1/1, 1 again")

    def test_machine_and_columns_are_told_by_the_name(self):
        one = data(a={"rust": "pass"})
        both = data(a={"rust": "pass", "c": "fail"})
        rows = machines.collect([("regress-rust-rt.json", one), ("regress-arm64.json", both),
                                 ("regress-rust-cpus1-nolapic.json", one), ("kunit-rust-rt.json", {"passed": 3, "failed": 1}),
                                 ("regress-rust-only.json", one), ("bench.json", {}),
                                 ("regress-rust-kcsan.json", {"cases": []})])
        commits = {key: row.pop("commits") for key, row in rows.items()}
        self.assertEqual(rows, {"rt": {("regress", "rust"): "1/1", ("kunit", "rust"): "3/4"},
                                "arm64": {("regress", "c"): "0/1", ("regress", "rust"): "1/1"},
                                "cpus1-nolapic": {("regress", "rust"): "1/1"}})
        self.assertEqual(commits["rt"], {("regress", "rust"): "1234", ("kunit", "rust"): "unknown"})

    def test_a_commit_that_was_replaced(self):
        old, new = data(a={"rust": "pass"}), data(a={"rust": "pass"})
        old["built"]["rust"]["repository"] = "5678"
        rows = machines.collect([("regress-rust.json", old), ("regress.json", new)])
        self.assertEqual(rows[""]["commits"], {("regress", "c"): "1234", ("regress", "rust"): "1234"})

    def test_each_machine_has_a_line(self):
        text = machines.render({"rt": {("regress", "rust"): "1/1", "commits": {"a": "1", "b": "2"}}, "other": {}})
        self.assertIn("1, 2", text)
        self.assertEqual([line.split("  ")[0] for line in text.splitlines()],
                         ["machine", "x86-64, PREEMPT_RT", "other"])


if __name__ == "__main__":
    unittest.main()
