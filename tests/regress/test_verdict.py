# SPDX-License-Identifier: GPL-2.0
"""What makes a run fail, and which cases share a boot."""

import sys
import unittest
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import regress  # noqa: E402
from regress import Boot, Case, Result  # noqa: E402


def case(name="X1", boot="shared", threads="any", cpus="0", append="-", c_says="-", known="-"):
    return Case("\t".join((name, boot, threads, cpus, append, "0", c_says, known, "what it shows")))


def booted(case, result, report=None):
    boot = Boot.__new__(Boot)
    boot.results, boot.begun = {case.name: result}, [case.name]
    boot.reports = {case.name: report} if report else {}
    boot.hung, boot.status, boot.errors = False, 0, ""
    return boot.verdict(case)[0]


class Problems(unittest.TestCase):
    def problems(self, case, c, rust):
        return regress.problems([case], {"c": {case.name: c}, "rust": {case.name: rust}})

    def test_each_way_a_bug_shows(self):
        bug = case(c_says="called after|int3")
        for status, reason in (("fail", "called after the grace period"), ("crash", "Oops: int3: 0000")):
            self.assertEqual(self.problems(bug, Result(status, reason), Result("pass")), [], reason)

    def test_another_failure_is_not_the_bug(self):
        found = self.problems(case(c_says="called after|int3"), Result("fail", "cannot load"), Result("pass"))
        self.assertEqual(found, ["X1 on C does not show the known bug ('called after' or 'int3'): "
                                 "fail cannot load"])

    def test_a_bug_that_is_gone(self):
        self.assertEqual(len(self.problems(case(c_says="int3"), Result("pass"), Result("pass"))), 1)

    def test_a_bug_that_is_fixed(self):
        bug = case("H1", c_says="int3")
        for result, number in ((Result("pass"), 0), (Result("crash", "Oops: int3: 0000"), 1)):
            self.assertEqual(len(regress.problems([bug], {"c": {"H1": result}}, fixed=["H1"])), number)

    def test_a_fix_that_breaks_what_passed(self):
        for name, number in (("H4", 1), ("stress", 0)):
            columns = {"c": {name: Result("fail", "why")}}
            self.assertEqual(regress.problems([case(name)], columns), [])
            self.assertEqual(len(regress.problems([case(name)], columns, fixed=["H1"])), number, name)

    def test_what_fails_on_rust(self):
        for status in ("fail", "crash", "hang", "skip", "known"):
            self.assertEqual(len(self.problems(case(), Result("pass"), Result(status, "why"))), 1, status)

    def test_a_limit_of_both(self):
        limit = case(known="stays behind")
        known = Result("known", "the map stays behind")
        self.assertEqual(self.problems(limit, known, known), [])
        for other in (Result("pass"), Result("fail", "cannot load")):
            self.assertEqual(len(self.problems(limit, known, other)), 1)
            self.assertEqual(len(self.problems(limit, other, known)), 1)


    def test_what_a_small_machine_cannot_show(self):
        needs = Result("skip", "needs 4 CPUs")
        for columns in ({"rust": {"X1": needs}}, {"c": {"X1": needs}, "rust": {"X1": needs}}):
            self.assertEqual(regress.problems([case(c_says="int3")], columns, True), [])
            self.assertNotEqual(regress.problems([case()], columns, False), [])
        self.assertNotEqual(regress.problems([case()], {"rust": {"X1": Result("skip", "no module")}}, True), [])


class Known(unittest.TestCase):
    def test_is_no_pass(self):
        said = booted(case(known="stays|busy"), Result("fail", "the new key is busy"))
        self.assertEqual(said.status, "known")

    def test_is_no_other_failure(self):
        self.assertEqual(booted(case(known="stays"), Result("fail", "cannot load")).status, "fail")
        self.assertEqual(booted(case(known="stays"), Result("fail", "it stays"), "BUG: x").status, "crash")
        self.assertEqual(booted(case(), Result("fail", "it stays")).status, "fail")

    def test_is_in_the_summary(self):
        self.assertEqual(regress.counts({"a": Result("pass"), "b": Result("known")}), "1 pass, 1 known")


class Groups(unittest.TestCase):
    def test_boots(self):
        cases = [case("a"), case("b", boot="own"), case("c", cpus="1"), case("d", cpus="1"),
                 case("e", known="stays"), case("f", append="nolapic"), case("g", threads="one")]

        def names(impl):
            return [[one.name for one in group] for group in regress.groups(cases, impl)]
        self.assertEqual(names("c"), [["a"], ["b"], ["c", "d"], ["e"], ["f"], ["g"]])
        self.assertEqual(names("rust"), [["a", "b"], ["c", "d"], ["e"], ["f"], ["g"]])


if __name__ == "__main__":
    unittest.main()
