# SPDX-License-Identifier: GPL-2.0
"""Which tests are chosen; what test_progs and the guest print; the verdict, the table and the file."""

import contextlib
import importlib.util
import io
import json
import re
import sys
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from selftests import catalog, parse, table  # noqa: E402
from selftests.parse import Result  # noqa: E402

# The command has the name of the package.
spec = importlib.util.spec_from_file_location("command", Path(table.__file__).parents[1] / "selftests.py")
command = importlib.util.module_from_spec(spec)
spec.loader.exec_module(command)


def results(**by_name):
    return {name: res if isinstance(res, Result) else Result(res) for name, res in by_name.items()}


def own(name="x", **more):
    return catalog.Test(name, name, 60, kind="own", what="what it shows", **more)


AGAIN = {"attempts": 10, "again": "SKIP"}
KNOWN_LIMIT = {"kind": "own", "known": ("stays", "busy")}

# What a test prints and its exit status, and what that is: status, reason, and status and reason of each subtest.
JUDGED = [
    ("#7/1     t/one:OK\n#7/2     t/two/three: four:OK\n#7       t:OK", 0, {}, "pass", "",
     {"one": ("pass", ""), "two/three: four": ("pass", "")}),
    ("t:PASS:a 0 nsec\nt:FAIL:b actual 10 != expected 11\n#7/1     t/one:OK\n#7       t:FAIL", 1, {},
     "fail", "t:FAIL:b actual 10 != expected 11", {"one": ("pass", "")}),
    # A reason is of the subtest before whose line it stands, and what is repeated does not count.
    ("#7/1 t/one:OK\nrun:FAIL:x\n#7/2 t/two:FAIL\n#7 t:FAIL\n\nAll error logs:\nrun:FAIL:y\n#7/1 t/one:FAIL", 1, {},
     "fail", "run:FAIL:x", {"one": ("pass", ""), "two": ("fail", "run:FAIL:x")}),
    ("#7       t:SKIP", 0, {}, "skip", "", {}),
    ("#7/1 t/one:SKIP\n#7/2 t/two:OK\n#7       t:OK (SKIP: 1/2)", 0, {}, "pass", "",
     {"one": ("skip", ""), "two": ("pass", "")}),
    # More skips than subtests that were skipped: it gave up itself.
    ("#7/1 t/one:OK\n#7       t:OK (SKIP: 1/2)", 0, {}, "skip", "", {"one": ("pass", "")}),
    ("#7/1 t/one:FAIL\n#7/1 t/one:OK\n#7 t:FAIL", 1, {}, "fail", "one", {"one": ("fail", "")}),
    ("#6       t_mim:OK", 0, {}, "fail", "test_progs ended with status 0 and no result: #6       t_mim:OK", {}),
    ("", 3, {}, "fail", "test_progs ended with status 3 and no result: no output", {}),
    ("t:FAIL:5 late\n#7       t:OK", 124, {}, "hang", "late; not done after 60 s", {}),
    ("#7       t:OK", 1, {}, "fail", "test_progs ended with status 1 after saying pass", {}),
    ("WARNING! Selftests relying on bpf_testmod.ko will be skipped.\n#7 t:SKIP", 0, {},
     "fail", "test_progs could not load bpf_testmod.ko", {}),
    ("#7       t:SKIP", 0, AGAIN, "skip", "undecided after 1 of at most 10 runs", {}),
    # Of ours: a known limit is no pass, and no other failure is known.
    ("t:FAIL:key busy unexpected key busy: got TRUE\n#7 t:FAIL", 1, KNOWN_LIMIT, "known", "key busy: got TRUE", {}),
    ("t:FAIL:load unexpected error: -1\n#7 t:FAIL", 1, KNOWN_LIMIT, "fail", "load: -1", {}),
    ("t:FAIL:it stays\n#7 t:FAIL", 1, {"kind": "own"}, "fail", "t:FAIL:it stays", {}),
    ("SKIP: needs 4 CPUs\n#7 t:SKIP", 0, {"kind": "own"}, "skip", "SKIP: needs 4 CPUs", {}),
    ("no\nsum 12\n", 0, {"kind": "module"}, "pass", "sum 12", {}),
    ("no\nsum 12\n", 1, {"kind": "module"}, "fail", "sum 12", {}),
]


class Parse(unittest.TestCase):
    def feed(self, text):
        stream = parse.Stream([catalog.Test("t", "t", 60), catalog.Test("u", "u", 60)])
        for line in text.split("\n"):
            stream.feed(line + "\r\n")
        return stream

    def test_judge(self):
        for text, code, more, status, reason, subtests in JUDGED:
            with self.subTest(text):
                result = parse.judge(catalog.Test("t", "t", 60, **more), text.split("\n"), code)
                self.assertEqual((result.status, result.reason), (status, reason))
                self.assertEqual({name: (sub.status, sub.reason) for name, sub in result.subtests.items()}, subtests)

    def test_what_one_of_ours_said_is_kept(self):
        result = parse.judge(catalog.Test("t", "t", 60, kind="own"), ["t:PASS:one 0 nsec", "12 held", "t:FAIL:two"], 1)
        self.assertEqual(result.as_dict()["output"], ["12 held", "t:FAIL:two"])

    def test_whole_run(self):
        stream = self.feed("noise\n@@ready\n@@begin t 1\n#1       t:OK@@end t 1 0\n@@leftout u no PMU here\n@@done\n"
                           "[ 1.0] selftests: @@begin u 1")
        self.assertEqual((stream.done, stream.running), (True, None))
        self.assertEqual({name: res.as_dict() for name, res in stream.results.items()},
                         {"t": {"status": "pass"}, "u": {"status": "left out", "reason": "no PMU here"}})

    def test_last_attempt_counts_and_the_failure_before_it_is_seen(self):
        result = self.feed("@@begin t 1\nt:FAIL:late\n#1       t:FAIL\n@@end t 1 1\n"
                           "@@begin t 2\n#1       t:OK\n@@end t 2 0").results["t"]
        self.assertEqual(result.as_dict(), {"status": "pass", "attempts": 2, "failed before": ["t:FAIL:late"]})

    def test_reason_of_a_skip(self):
        results = self.feed("@@begin t 1\n#1       t:SKIP\n@@end t 1 0\n@@why t\nSKIP:no event\n#1 t:SKIP\n@@whyend t\n"
                            "@@begin u 1\n#2/1 u/a:SKIP\n#2/2 u/b:SKIP\n#2 u:SKIP\n@@end u 1 0\n@@why u\nskipping a\n"
                            "#2/1 u/a:SKIP\n#2/2 u/b:SKIP\n#2 u:SKIP\n@@whyend u").results
        subtests = results["u"].subtests
        self.assertEqual((results["t"].reason, subtests["a"].reason, subtests["b"].reason),
                         ("SKIP:no event", "skipping a", parse.SILENT))

    def test_a_report_is_of_the_test_that_began_last(self):
        report = "------------[ cut here ]------------\r\nWARNING: x\r\n---[ end trace 0 ]---\r\n"
        begin, end = "[2] selftests: @@begin {} 1\r\n", "[2] selftests: @@end a 1 0\r\n"
        console = report + begin.format("a") + end + report + begin.format("b") + report
        self.assertEqual(parse.blame(console), [(name, "WARNING: x") for name in ("boot", "a", "b")])


class Catalog(unittest.TestCase):
    def test_sources_and_table_name_the_same(self):
        sources = "".join(path.read_text() for path in (catalog.OWN / "bpf/prog_tests").glob("*.c"))
        tests = catalog.own()
        self.assertEqual(sorted(re.findall(r"^void (?:serial_)?test_(\w+)\(", sources, re.M)),
                         sorted(test.name for test in tests))
        hazards = [test.hazard for test in tests if test.hazard]
        self.assertEqual(len(hazards), len(set(hazards)))


PARTS = Result("pass", subtests=results(x="pass", y="pass"))

# What a test gave on C and on Rust (or did not run), and what is said of it.
VERDICTS = [
    ("pass", "pass", []),
    *(("pass", status, [f"a: {status} on Rust; C passes"]) for status in ("fail", "skip", "crash", "hang", "left out")),
    ("pass", None, ["a: not run on Rust (did not appear in the output); C passes"]),
    *((c, rust, [f"a: {rust} on Rust"]) for c in ("fail", "skip", "crash", "hang", "left out", None)
      for rust in ("fail", "crash", "hang")),
    ("skip", "skip", []), ("left out", "left out", []), ("left out", "skip", ["a: skip on Rust"]),
    ("crash", "pass", []), (None, "pass", []),
    (PARTS, Result("pass", subtests=results(x="pass")),
     ["a/y: not run on Rust (did not appear in the output); C passes"]),
    (PARTS, Result("pass", subtests=results(x="pass", y="skip")), ["a/y: skip on Rust; C passes"]),
    (PARTS, Result("fail", "own", subtests=PARTS.subtests), ["a: fail on Rust (own); C passes"]),
]

BUG, CHANCE, LIMIT = own(c_says=("called after", "int3")), own(c_may_say=("int3",)), own(known=("stays",))
INT3, WHY = Result("crash", "Oops: int3: 0000"), Result("fail", "why")
SMALL = Result("skip", "SKIP: needs 4 CPUs")
STAYS = Result("known", "the map stays")
NOT_THE_BUG = "x on C does not show the known bug ('called after' or 'int3'): fail why"

# One of ours, what it gave on C and on Rust, what is unusual, and the number of complaints or the one there is.
OWN = [
    (own(), "pass", "pass", {}, 0),
    *((own(), "pass", Result(status, "why"), {}, f"x on Rust: {status}: why")
      for status in ("fail", "crash", "hang", "skip", "known")),
    *((own(), Result(status, "why"), "pass", {}, f"x on C: {status}: why")
      for status in ("fail", "crash", "hang", "skip")),
    (own(), None, None, {}, 2),
    (own(), "pass", Result("pass", subtests=results(a="pass", b=Result("skip", "no PMU"))), {},
     "x/b on Rust: skip: no PMU"),
    # A bug of C must show, each way it can, and no other failure is it.
    (BUG, Result("fail", "called after the grace period"), "pass", {}, 0), (BUG, INT3, "pass", {}, 0),
    (BUG, WHY, "pass", {}, NOT_THE_BUG), (BUG, "pass", "pass", {}, 1), (BUG, SMALL, "pass", {}, 1),
    (BUG, INT3, INT3, {}, "x on Rust: crash: Oops: int3: 0000"),
    # On another machine it need not.
    (BUG, "pass", "pass", {"usual": False}, 0), (BUG, INT3, "pass", {"usual": False}, 0),
    (BUG, WHY, "pass", {"usual": False}, NOT_THE_BUG), (BUG, "skip", "pass", {"usual": False}, 1),
    # Where it is fixed, it may not, and nothing else may happen by chance.
    (BUG, "pass", "pass", {"fixed": ["x"]}, 0),
    (BUG, INT3, "pass", {"fixed": ["x"]}, "x on C: crash: Oops: int3: 0000"),
    (BUG, INT3, "pass", {"fixed": ["z"]}, 0), (LIMIT, STAYS, STAYS, {"fixed": ["z"]}, 0),
    (CHANCE, "pass", "pass", {}, 0), (CHANCE, INT3, "pass", {}, 0), (CHANCE, WHY, "pass", {}, "x on C: fail: why"),
    (CHANCE, INT3, "pass", {"fixed": ["z"]}, "x on C: crash: Oops: int3: 0000"),
    # A limit must show on both.
    (LIMIT, STAYS, STAYS, {}, 0),
    *((LIMIT, STAYS, other, {}, 1) for other in ("pass", WHY)),
    *((LIMIT, other, STAYS, {}, 1) for other in ("pass", WHY)),
    # What a small machine cannot show, and other machines must.
    (BUG, SMALL, SMALL, {"small": True}, 0), (own(), "pass", SMALL, {}, 1),
    (own(), "pass", Result("skip", "no module"), {"small": True}, 1),
    (own(), "left out", "left out", {}, 0), (BUG, "left out", "pass", {}, 0),
]


class Verdict(unittest.TestCase):
    def test_of_the_kernels(self):
        for c, rust, said in VERDICTS:
            with self.subTest(c=c, rust=rust):
                columns = {impl: results(b="pass", **({"a": result} if result else {}))
                           for impl, result in (("c", c), ("rust", rust))}
                self.assertEqual(table.problems(columns), said)

    def test_what_c_refuses_and_rust_does_not(self):
        columns = {"c": results(a="skip", b="pass"), "rust": results(a="skip", b="pass")}
        self.assertEqual(table.problems(columns, True), ["a: skip on Rust"])

    def test_one_kernel_alone(self):
        for status in ("fail", "skip", "crash"):
            found = table.problems({"c": results(a=status, b="pass", d="left out")})
            self.assertEqual(found, [f"a: {status} on C"])

    def test_of_ours(self):
        for test, c, rust, how, said in OWN:
            with self.subTest(c=c, rust=rust, how=how):
                columns = {impl: results(b="pass", **({"x": result} if result else {}))
                           for impl, result in (("c", c), ("rust", rust))}
                found = table.own_problems([test], columns, **how)
                if isinstance(said, str):
                    self.assertEqual(found, [said])
                else:
                    self.assertEqual(len(found), said)

    def test_nothing_ran(self):
        self.assertEqual(len(table.problems({"c": {}, "rust": results(a="left out")})), 2)
        for status in ("left out", "skip"):
            columns = {"rust": {"x": Result(status, "needs 4 CPUs")}}
            self.assertEqual(table.own_problems([own()], columns, True), ["nothing ran on Rust: nothing was tested"])

    def test_report_outside_of_any_test(self):
        found = table.own_problems([own()], {"rust": results(x="pass", boot=Result("crash", "BUG: y"))})
        self.assertEqual(found, ["boot on Rust: BUG: y"])

    def test_what_c_lacks_is_left_out(self):
        refused = Result("fail", lines=["bpf_timer cannot be used for PREEMPT_RT."])
        columns = results(x=refused, y=Result("fail", lines=["y:FAIL:load"]))
        command.leave_out_lacking(columns, *catalog.C_LACKS["rt"])
        self.assertEqual([result.status for result in columns.values()], ["left out", "fail"])


class Chosen(unittest.TestCase):
    def test_by_name_and_by_number(self):
        tests = [own("timer_a", hazard="H1"), own("timer_b", hazard="expiry")]
        for names, found in ((None, tests), (["timer_b"], tests[1:]), (["h1"], tests[:1]), (["timer_b", "h1"], tests)):
            self.assertEqual(command.choose(tests, names), found)
        with self.assertRaisesRegex(command.BuildError, r"H2; there are: timer_a \(H1\) timer_b \(expiry\)"):
            command.choose(tests, ["timer_a", "H2"])

    def test_what_is_not_there_is_left_out_with_its_reason(self):
        nolapic = own(arch="x86_64", append="nolapic")
        for test, arch, cpus, why in ((nolapic, "arm64", 4, "there is no nolapic on arm64"),
                                      (nolapic, "x86_64", 4, ""), (own(), "arm64", 1, ""),
                                      (own("timer_lockup"), "arm64", 1, "a race between two CPUs")):
            self.assertEqual(command.why_not(test, SimpleNamespace(arch=arch, cpus=cpus)), why)

    def test_the_whole_command(self):
        kernel = mock.MagicMock(impl="rust", slowness=1, usual=True, label="x", folder=Path("/k"))
        kernel.provenance.return_value = {"kernel": "7.3.4"}
        kernel.built.return_value.__enter__.return_value = (
            {"ksock_wq": "gone"}, "DEFINE_TEST(timer)\nDEFINE_TEST(timer_lockup)\nDEFINE_TEST(async_stress)\n")
        kernel.built.return_value.__exit__.return_value = False
        theirs = ["ksock_wq", "timer", "timer_lockup", catalog.SAMPLE]
        with (tempfile.TemporaryDirectory() as folder, mock.patch.object(command, "Tests", lambda *_: kernel),
              mock.patch.object(command.kernels, "Kernel", lambda *_: kernel),
              mock.patch.object(command, "Runner") as run, mock.patch.object(command, "ROOT", Path(folder)),
              contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())):
            for words, result, status, name, tests in (
                    ("", "pass", 0, "selftests-rust", theirs),
                    ("--flavor debug", "fail", 1, "selftests-rust-debug", theirs),
                    ("--flavor up", "pass", 0, "selftests-rust-up", [*theirs[:1], *theirs[2:3], "timer", theirs[3]]),
                    ("--only wq", "pass", 2, "", []), ("--only timer", "pass", 0, "selftests-rust-only", ["timer"]),
                    ("--own --only H1 --cpus 1 --append nolapic", "pass", 0, "regress-rust-cpus1-nolapic-only",
                     ["wq_prog_uaf"])):
                run.side_effect = lambda _, tests, __: mock.Mock(
                    **{"run.return_value": {test.name: Result(result) for test in tests}})
                with mock.patch.object(sys, "argv", ["x", "--impl", "rust", *words.split()]):
                    self.assertEqual(command.kernels.run(command.main, command.BuildError), status)
                if status < 2:
                    data = json.loads((Path(folder) / f"out/{name}.json").read_text())
                    self.assertEqual(list(data["tests"]), tests)


class Output(unittest.TestCase):
    SUBTESTS = results(x="pass", y=Result("skip", "no PMU"))
    COLUMNS = {"c": results(a=Result("pass", subtests=SUBTESTS), b=Result("skip", "why"), d="pass"),
               "rust": results(a=Result("pass", subtests=SUBTESTS), b=Result("crash", "BUG: here"),
                               d=Result("pass", attempts=2, earlier=["late"]), m="pass")}
    BUILT = {"c": {"kernel": "7.3.4"}, "rust": {"kernel": "7.3.4"}}

    def test_table(self):
        self.assertEqual(table.render(self.COLUMNS, self.BUILT).split("\n"), [
            "test  C           Rust         reason",
            "----  ----------  -----------  ------",
            "a     pass (1/2)  pass (1/2)",
            "  y   skip        skip         no PMU",
            "b     skip        crash        C: why; Rust: BUG: here",
            "d     pass        pass, run 2  Rust: failed before: late",
            "m     -           pass",
            "", "C kernel:", "  kernel  7.3.4", "", "Rust kernel:", "  kernel  7.3.4", "",
            "note: a/y: skip on C (no PMU), skip on Rust", "note: b: skip on C (why), crash on Rust"])

    def test_table_of_ours(self):
        text = table.render_own([own("a"), own("b")], {"c": {"a": Result("fail", "why"), "b": Result("pass")}})
        self.assertEqual(text.split("\n"), ["test  C     what", "a     fail  what it shows",
                                            "b     pass  what it shows", "C, a: why"])

    def test_file_has_the_same(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "out/results.json"
            table.write_json(path, self.COLUMNS, self.BUILT, ["b"], [own("b")])
            data = json.loads(path.read_text())
            self.assertEqual([entry.name for entry in path.parent.iterdir()], ["results.json"])
        self.assertFalse(data["ok"])
        self.assertEqual(data["tests"]["b"], {
            "what": "what it shows", "hazard": "", "c": {"status": "skip", "reason": "why"},
            "rust": {"status": "crash", "reason": "BUG: here"}})
        self.assertEqual(data["tests"]["a"]["c"]["subtests"]["y"]["reason"], "no PMU")
        self.assertNotIn("c", data["tests"]["m"])


if __name__ == "__main__":
    unittest.main()
