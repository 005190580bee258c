# SPDX-License-Identifier: GPL-2.0
"""The verdict, the table and the file."""

import json
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from selftests import table  # noqa: E402
from selftests.parse import Result  # noqa: E402


def results(**by_name):
    return {name: res if isinstance(res, Result) else Result(res) for name, res in by_name.items()}


class Verdict(unittest.TestCase):
    def problems(self, c, rust):
        return table.problems({"c": results(**c), "rust": results(**rust)})

    def test_all_pass(self):
        self.assertEqual(self.problems({"a": "pass"}, {"a": "pass"}), [])

    def test_each_way_not_to_pass(self):
        for status in ("fail", "skip", "crash", "left out"):
            found = self.problems({"a": "pass", "b": "pass"}, {"a": status, "b": "pass"})
            self.assertEqual(found, [f"a: {status} on Rust; C passes"], status)

    def test_missing_on_rust(self):
        self.assertEqual(len(self.problems({"a": "pass", "b": "pass"}, {"b": "pass"})), 1)

    def test_what_c_does_not_run_either(self):
        for status in ("skip", "left out"):
            self.assertEqual(self.problems({"a": status, "b": "pass"}, {"a": status, "b": "pass"}), [])

    def test_what_c_refuses_and_rust_does_not(self):
        columns = {"c": results(a="skip", b="pass"), "rust": results(a="skip", b="pass")}
        self.assertEqual(table.problems(columns, True), ["a: skip on Rust"])

    def test_a_failure_whatever_c_does(self):
        for c in ("fail", "skip", "crash", "hang", "left out"):
            for status in ("fail", "crash", "hang"):
                self.assertEqual(self.problems({"a": c, "b": "pass"}, {"a": status, "b": "pass"}),
                                 [f"a: {status} on Rust"])

    def test_what_c_leaves_out(self):
        self.assertEqual(self.problems({"a": "left out", "b": "pass"}, {"a": "fail", "b": "pass"}), ["a: fail on Rust"])

    def test_but_it_is_said(self):
        columns = {"c": results(a="crash", b="pass"), "rust": results(a="pass", b="pass")}
        self.assertEqual(len(table.remarks(columns)), 1)

    def test_subtests(self):
        c = Result("pass", subtests=results(x="pass", y="pass"))
        self.assertEqual(self.problems({"a": c}, {"a": Result("pass", subtests=results(x="pass"))}),
                         ["a/y: not run on Rust (did not appear in the output); C passes"])
        self.assertEqual(self.problems({"a": c}, {"a": Result("pass", subtests=results(x="pass", y="skip"))}),
                         ["a/y: skip on Rust; C passes"])

    def test_own_failure_beside_good_subtests(self):
        c = Result("pass", subtests=results(x="pass"))
        rust = Result("fail", "own", subtests=results(x="pass"))
        self.assertIn("a: fail on Rust (own); C passes", self.problems({"a": c}, {"a": rust}))

    def test_nothing_ran(self):
        self.assertTrue(self.problems({}, {}))
        self.assertTrue(self.problems({"a": "left out"}, {"a": "left out"}))
        self.assertTrue(table.problems({"rust": results(a="left out")}))

    def test_sample_module_is_rust_only(self):
        self.assertEqual(self.problems({"a": "pass"}, {"a": "pass", "m.ko": "pass"}), [])
        self.assertEqual(self.problems({"a": "pass"}, {"a": "pass", "m.ko": "fail"}), ["m.ko: fail on Rust"])

    def test_one_kernel_alone(self):
        self.assertEqual(table.problems({"rust": results(a="pass", b="left out")}), [])
        for status in ("fail", "skip", "crash"):
            self.assertEqual(table.problems({"rust": results(a=status, b="pass")}), [f"a: {status} on Rust"])


class Output(unittest.TestCase):
    COLUMNS = {"c": results(a=Result("pass", subtests=results(x="pass", y=Result("skip", "no PMU"))),
                            b=Result("skip", "why")),
               "rust": results(a=Result("pass", subtests=results(x="pass", y=Result("skip", "no PMU"))),
                               b=Result("crash", "BUG: here"), m="pass")}
    BUILT = {"c": {"kernel": "7.3.4"}, "rust": {"kernel": "7.3.4"}}

    def test_rows(self):
        rows = {name: (cells, note) for name, cells, note in table.rows(self.COLUMNS)}
        self.assertEqual(rows["a"][0], {"c": "pass (1/2)", "rust": "pass (1/2)"})
        self.assertEqual(rows["  y"], ({"c": "skip", "rust": "skip"}, "no PMU"))
        self.assertNotIn("  x", rows)
        self.assertEqual(rows["b"], ({"c": "skip", "rust": "crash"}, "C: why; Rust: BUG: here"))
        self.assertEqual(rows["m"][0], {"c": "-", "rust": "pass"})

    def test_earlier_failure(self):
        rows = table.rows({"c": results(a="pass"), "rust": results(a=Result("pass", attempts=2, earlier=["late"]))})
        self.assertEqual(rows[0], ("a", {"c": "pass", "rust": "pass, run 2"}, "Rust: failed before: late"))

    def test_render(self):
        text = table.render(self.COLUMNS, self.BUILT)
        self.assertRegex(text.split("\n")[0], r"^test +C +Rust +reason$")
        self.assertIn("Rust kernel:", text)

    def test_file_has_the_same(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "out/results.json"
            table.write_json(path, self.COLUMNS, self.BUILT, ["b"])
            data = json.loads(path.read_text())
            self.assertEqual([entry.name for entry in path.parent.iterdir()], ["results.json"])
        self.assertFalse(data["ok"])
        self.assertEqual(data["tests"]["b"]["rust"], {"status": "crash", "reason": "BUG: here"})
        self.assertEqual(data["tests"]["a"]["c"]["subtests"]["y"]["reason"], "no PMU")
        self.assertNotIn("c", data["tests"]["m"])


if __name__ == "__main__":
    unittest.main()
