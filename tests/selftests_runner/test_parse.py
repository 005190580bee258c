# SPDX-License-Identifier: GPL-2.0
"""What test_progs and the guest print, and what is made of it."""

import sys
import unittest
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from selftests import catalog, parse  # noqa: E402
from selftests.catalog import Test  # noqa: E402

SILENT = "test_progs gives no reason"
AGAIN = {"attempts": 10, "again": "SKIP"}
KNOWN = {"kind": "own", "known": ("stays", "busy")}

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
    ("t:FAIL:key busy unexpected key busy: got TRUE\n#7 t:FAIL", 1, KNOWN, "known", "key busy: got TRUE", {}),
    ("t:FAIL:load unexpected error: -1\n#7 t:FAIL", 1, KNOWN, "fail", "load: -1", {}),
    ("t:FAIL:it stays\n#7 t:FAIL", 1, {"kind": "own"}, "fail", "t:FAIL:it stays", {}),
    ("SKIP: needs 4 CPUs\n#7 t:SKIP", 0, {"kind": "own"}, "skip", "SKIP: needs 4 CPUs", {}),
    ("no\nsum 12\n", 0, {"kind": "module"}, "pass", "sum 12", {}),
    ("no\nsum 12\n", 1, {"kind": "module"}, "fail", "sum 12", {}),
]


class Parse(unittest.TestCase):
    def feed(self, text):
        stream = parse.Stream([Test("t", "t", 60), Test("u", "u", 60)])
        for line in text.split("\n"):
            stream.feed(line + "\r\n")
        return stream

    def test_judge(self):
        for text, code, more, status, reason, subtests in JUDGED:
            with self.subTest(text):
                result = parse.judge(Test("t", "t", 60, **more), text.split("\n"), code)
                self.assertEqual((result.status, result.reason), (status, reason))
                self.assertEqual({name: (sub.status, sub.reason) for name, sub in result.subtests.items()}, subtests)

    def test_what_one_of_ours_said_is_kept(self):
        result = parse.judge(Test("t", "t", 60, kind="own"), ["t:PASS:one 0 nsec", "12 held", "t:FAIL:two"], 1)
        self.assertEqual(result.as_dict()["output"], ["12 held", "t:FAIL:two"])

    def test_whole_run(self):
        stream = self.feed("noise\n@@ready\n@@begin t 1\n#1       t:OK@@end t 1 0\n@@leftout u no PMU here\n@@done")
        self.assertEqual((stream.done, stream.running), (True, None))
        self.assertEqual({name: res.as_dict() for name, res in stream.results.items()},
                         {"t": {"status": "pass"}, "u": {"status": "left out", "reason": "no PMU here"}})

    def test_last_attempt_counts_and_the_failure_before_it_is_seen(self):
        result = self.feed("@@begin t 1\nt:FAIL:late\n#1       t:FAIL\n@@end t 1 1\n"
                           "@@begin t 2\n#1       t:OK\n@@end t 2 0").results["t"]
        self.assertEqual(result.as_dict(), {"status": "pass", "attempts": 2, "failed before": ["t:FAIL:late"]})

    def test_cut_off_in_a_test(self):
        stream = self.feed("@@ready\n@@begin t 1\nsome words\n[ 1.0] selftests: @@begin u 1")
        self.assertEqual((stream.running, stream.results), ("t", {}))

    def test_reason_of_a_skip(self):
        results = self.feed("@@begin t 1\n#1       t:SKIP\n@@end t 1 0\n@@why t\nSKIP:no event\n#1 t:SKIP\n@@whyend t\n"
                            "@@begin u 1\n#2/1 u/a:SKIP\n#2/2 u/b:SKIP\n#2 u:SKIP\n@@end u 1 0\n@@why u\nskipping a\n"
                            "#2/1 u/a:SKIP\n#2/2 u/b:SKIP\n#2 u:SKIP\n@@whyend u").results
        subtests = results["u"].subtests
        self.assertEqual((results["t"].reason, subtests["a"].reason, subtests["b"].reason),
                         ("SKIP:no event", "skipping a", SILENT))

    def test_a_report_is_of_the_test_that_began_last(self):
        report = "------------[ cut here ]------------\r\nWARNING: x\r\n---[ end trace 0 ]---\r\n"
        begin, end = "[2] selftests: @@begin {} 1\r\n", "[2] selftests: @@end a 1 0\r\n"
        console = report + begin.format("a") + end + report + begin.format("b") + report
        self.assertEqual(parse.blame(console), [(name, "WARNING: x") for name in ("boot", "a", "b")])


class Catalog(unittest.TestCase):
    def upstream(self, **kernel):
        header = "DEFINE_TEST(struct_ops_assoc)\nDEFINE_TEST(timer_lockup)\nDEFINE_TEST(async_stress)\n"
        return catalog.upstream(header, SimpleNamespace(folder=Path("/k"), **kernel))

    def test_what_is_known_of_each(self):
        ops, lockup = self.upstream(impl="c", slowness=1)
        self.assertEqual((ops.filter, lockup.attempts), ("struct_ops_assoc/st_ops_assoc_in_timer*", 10))
        slow, *_, sample = self.upstream(impl="rust", slowness=4)
        self.assertEqual((slow.limit, sample.kind), (4 * ops.limit, "module"))

    def test_sources_and_table_name_the_same(self):
        sources = "".join(path.read_text() for path in (catalog.OWN / "bpf/prog_tests").glob("*.c"))
        tests = catalog.own()
        self.assertEqual(sorted(parse.re.findall(r"^void (?:serial_)?test_(\w+)\(", sources, parse.re.M)),
                         sorted(test.name for test in tests))
        hazards = [test.hazard for test in tests if test.hazard]
        self.assertEqual(len(hazards), len(set(hazards)))


if __name__ == "__main__":
    unittest.main()
