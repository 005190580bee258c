# SPDX-License-Identifier: GPL-2.0
"""This repository's tests: what is known of them, their boots and their verdict."""

import importlib.util
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from selftests import catalog, parse, run, table  # noqa: E402
from selftests.parse import Result  # noqa: E402

# The command has the name of the package.
spec = importlib.util.spec_from_file_location("command_selftests", Path(run.SCRIPTS) / "selftests.py")
command = importlib.util.module_from_spec(spec)
spec.loader.exec_module(command)


def own(name="x", **more):
    return catalog.Test(name, name, 60, own=True, what="what it shows", **more)


class Problems(unittest.TestCase):
    def problems(self, test, c, rust, small=False):
        ran = {"another": Result("pass")}
        return table.own_problems([test], {"c": {test.name: c, **ran}, "rust": {test.name: rust, **ran}}, small)

    def test_each_way_a_bug_shows(self):
        bug = own(c_says=("called after", "int3"))
        for status, reason in (("fail", "called after the grace period"), ("crash", "Oops: int3: 0000")):
            self.assertEqual(self.problems(bug, Result(status, reason), Result("pass")), [], reason)

    def test_another_failure_is_not_the_bug(self):
        found = self.problems(own(c_says=("called after", "int3")), Result("fail", "cannot load"), Result("pass"))
        self.assertEqual(found, ["x on C does not show the known bug ('called after' or 'int3'): fail cannot load"])

    def test_a_bug_that_is_gone(self):
        self.assertEqual(len(self.problems(own(c_says=("int3",)), Result("pass"), Result("pass"))), 1)

    def test_a_bug_on_another_machine(self):
        bug = own(c_says=("int3",))
        for result, number in ((Result("pass"), 0), (Result("crash", "int3: 0000"), 0), (Result("fail", "why"), 1),
                               (Result("skip", "why"), 1)):
            self.assertEqual(len(table.own_problems([bug], {"c": {"x": result}}, usual=False)), number)

    def test_a_bug_that_is_fixed(self):
        bug = own(c_says=("int3",))
        for result, number in ((Result("pass"), 0), (Result("crash", "Oops: int3: 0000"), 1)):
            self.assertEqual(len(table.own_problems([bug], {"c": {"x": result}}, fixed=["x"])), number)

    def test_what_passed_on_c(self):
        for status in ("fail", "crash", "hang"):
            columns = {"c": {"x": Result(status, "why")}}
            self.assertEqual(table.own_problems([own()], columns), [f"x on C: {status}: why"])
            self.assertEqual(len(table.own_problems([own()], columns, fixed=["y"])), 1)

    def test_what_c_shows_by_chance(self):
        chance = own(c_may_say=("int3",))
        for c, number in ((Result("pass"), 0), (Result("crash", "int3: 0000"), 0), (Result("fail", "why"), 1)):
            self.assertEqual(len(self.problems(chance, c, Result("pass"))), number)

    def test_nothing_ran(self):
        for status in ("left out", "skip"):
            self.assertTrue(table.own_problems([own()], {"rust": {"x": Result(status, "needs 4 CPUs")}}, True))

    def test_skip_in_a_part(self):
        rust = Result("pass", subtests={"a": Result("pass"), "b": Result("skip", "no PMU")})
        self.assertEqual(table.own_problems([own()], {"rust": {"x": rust}}), ["x/b on Rust: skip: no PMU"])

    def test_what_a_fix_leaves_alone(self):
        tests = [own("x", c_says=("int3",)), own("y", known=("stays",))]
        columns = {"c": {"x": Result("crash", "Oops: int3: 0000"), "y": Result("known", "it stays")}}
        self.assertEqual(table.own_problems(tests, columns, fixed=["z"]), [])

    def test_what_fails_on_rust(self):
        for status in ("fail", "crash", "hang", "skip", "known"):
            self.assertEqual(len(self.problems(own(), Result("pass"), Result(status, "why"))), 1, status)

    def test_what_c_refuses(self):
        columns = {"c": parse.Stream([own(), own("y")])}
        for line in ("@@begin x 1", "bpf_timer cannot be used for PREEMPT_RT.", "x:FAIL:load", "#1 x:FAIL", "@@end x 1 1",
                     "@@begin y 1", "y:FAIL:load", "#1 y:FAIL", "@@end y 1 1"):
            columns["c"].feed(line + "\n")
        results = columns["c"].results
        command.leave_out_lacking(results, *catalog.C_LACKS["rt"])
        self.assertEqual([results[name].status for name in "xy"], ["left out", "fail"])
        self.assertEqual(self.problems(own(c_says=("int3",)), results["x"], Result("pass")), [])
        self.assertEqual(len(self.problems(own(), results["x"], Result("fail", "why"))), 1)

    def test_what_did_not_run(self):
        self.assertEqual(len(table.own_problems([own()], {"c": {}, "rust": {}})), 2)
        self.assertEqual(len(table.own_problems([own()], {"rust": {}})), 1)

    def test_a_limit_of_both(self):
        limit = own(known=("stays behind",))
        known = Result("known", "the map stays behind")
        self.assertEqual(self.problems(limit, known, known), [])
        for other in (Result("pass"), Result("fail", "cannot load")):
            self.assertEqual(len(self.problems(limit, known, other)), 1)
            self.assertEqual(len(self.problems(limit, other, known)), 1)

    def test_what_a_small_machine_cannot_show(self):
        needs, bug = Result("skip", "SKIP: needs 4 CPUs"), own(c_says=("int3",))
        self.assertEqual(self.problems(bug, needs, needs, True), [])
        self.assertNotEqual(self.problems(bug, needs, needs), [])
        self.assertNotEqual(table.own_problems([own()], {"rust": {"x": Result("skip", "no module")}}, True), [])

    def test_report_outside_of_any_test(self):
        found = table.own_problems([own()], {"rust": {"x": Result("pass"), "boot": Result("crash", "BUG: y")}})
        self.assertEqual(found, ["boot on Rust: BUG: y"])


class Known(unittest.TestCase):
    def result(self, test, *lines):
        stream = parse.Stream([test])
        for line in ("@@begin x 1", *lines, "#1       x:FAIL", "@@end x 1 1"):
            stream.feed(line)
        return stream.results["x"]

    def test_is_no_pass(self):
        said = self.result(own(known=("stays", "busy")), "x:FAIL:key busy unexpected key busy: got TRUE")
        self.assertEqual((said.status, said.reason), ("known", "key busy: got TRUE"))

    def test_is_no_other_failure(self):
        self.assertEqual(self.result(own(known=("stays",)), "x:FAIL:load unexpected error: -1").status, "fail")
        self.assertEqual(self.result(own(), "x:FAIL:it stays").status, "fail")

    def test_what_it_said_is_kept(self):
        said = self.result(own(), "x:PASS:one 0 nsec", "12 held", "x:FAIL:two")
        self.assertEqual(said.as_dict()["output"], ["12 held", "x:FAIL:two"])


class Boots(unittest.TestCase):
    def test_groups(self):
        tests = [own("a"), own("b", own_boot=True), own("c", cpus=1), own("d", cpus=1),
                 own("e", known=("stays",)), own("f", append="nolapic"), own("g", one_thread=True)]

        def names(impl):
            return [[one.name for one in group] for group in catalog.groups(tests, impl)]
        self.assertEqual(names("c"), [["a"], ["b"], ["c", "d"], ["e"], ["f"], ["g"]])
        self.assertEqual(names("rust"), [["a", "b"], ["c", "d"], ["e"], ["f"], ["g"]])

    def test_machines(self):
        """Each group has its own, in the order of the groups; results are in that of the tests."""
        begun = []

        def boot(runner, tests, sample):
            begun.append([test.name for test in tests])
            for test in tests:
                runner.results[test.name] = Result("pass")
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(run.Runner, "_boot", boot):
            tests = [own("a"), own("b", cpus=1), own("c")]
            results = run.Runner("bzImage", folder, tests, folder, "x").run()
        self.assertEqual((begun, list(results)), ([["a", "c"], ["b"]], ["a", "b", "c"]))

    def test_command(self):
        words = run.vm_command("k", "c", 9, 3, False, "a b", True, ("ASYNC_SEED=1",))
        self.assertEqual(words[words.index("--append") + 1], "a b")
        self.assertEqual(words[words.index("--env") + 1], "ASYNC_SEED=1")
        self.assertIn("--one-thread", words)


class Chosen(unittest.TestCase):
    TESTS = [own("timer_a", hazard="H1"), own("timer_b", hazard="expiry")]

    def test_by_name_and_by_number(self):
        for names, found in ((None, ["timer_a", "timer_b"]), (["timer_b"], ["timer_b"]), (["h1"], ["timer_a"]),
                             (["timer_b", "h1"], ["timer_a", "timer_b"])):
            self.assertEqual([test.name for test in command.choose_own(self.TESTS, names)], found)

    def test_unknown_name_is_told_what_there_is(self):
        with self.assertRaisesRegex(command.BuildError, r"H2; there are: timer_a \(H1\) timer_b \(expiry\)"):
            command.choose_own(self.TESTS, ["timer_a", "H2"])


class Arch(unittest.TestCase):
    def test_what_is_not_there_is_left_out_with_its_reason(self):
        tests = [own("a", arch="x86_64", append="nolapic"), own("b")]
        self.assertEqual(command.for_arch(tests, "x86_64"), (tests, {}))
        chosen, absent = command.for_arch(tests, "arm64")
        self.assertEqual((chosen, absent), ([tests[1]], {"a": "there is no nolapic on arm64"}))
        columns = {"rust": {"a": Result("left out", absent["a"]), "b": Result("pass")}}
        self.assertEqual(table.own_problems(tests, columns), [])


class Table(unittest.TestCase):
    def test_sources_and_table_name_the_same(self):
        self.assertEqual(sorted(catalog.defined()), sorted(test.name for test in catalog.own()))

    def test_hazards_are_named_once(self):
        hazards = [test.hazard for test in catalog.own() if test.hazard]
        self.assertEqual(len(hazards), len(set(hazards)))

    def test_text(self):
        text = table.render_own([own("a"), own("b")], {"c": {"a": Result("fail", "why"), "b": Result("pass")}})
        self.assertEqual(text.split("\n"), ["test  C     what", "a     fail  what it shows",
                                            "b     pass  what it shows", "C, a: why"])


if __name__ == "__main__":
    unittest.main()
