# SPDX-License-Identifier: GPL-2.0
"""What test_progs and the guest print, and what is made of it."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from selftests import catalog, parse  # noqa: E402
from console import Report  # noqa: E402


def judge(text, code=0, name="timer", **more):
    return parse.judge(name, text.strip("\n").split("\n"), code, 60, **more)


class Judge(unittest.TestCase):
    def test_pass_with_subtests(self):
        result = judge("#7/1     timer/one:OK\n#7/2     timer/two/three: four:OK\n#7       timer:OK")
        self.assertEqual(result.status, "pass")
        self.assertEqual({name: sub.status for name, sub in result.subtests.items()},
                         {"one": "pass", "two/three: four": "pass"})

    def test_own_failure_keeps_its_reason(self):
        result = judge("timer:PASS:a 0 nsec\ntimer:FAIL:b actual 10 != expected 11\n"
                       "#7/1     timer/one:OK\n#7       timer:FAIL", 1)
        self.assertEqual((result.status, result.reason),
                         ("fail", "timer:FAIL:b actual 10 != expected 11"))
        self.assertEqual(result.subtests["one"].status, "pass")

    def test_reason_goes_to_the_subtest_it_precedes(self):
        result = judge("#7/1     timer/one:OK\nrun:FAIL:x\n#7/2     timer/two:FAIL\n#7 timer:FAIL\n"
                       "\nAll error logs:\nrun:FAIL:y\n#7/1     timer/one:FAIL", 1)
        self.assertEqual(result.subtests["two"].reason, "run:FAIL:x")
        self.assertEqual(result.subtests["one"].status, "pass")
        self.assertEqual(result.status, "fail")

    def test_skip_is_no_pass(self):
        self.assertEqual(judge("#7       timer:SKIP").status, "skip")

    def test_skipped_subtest_stays_a_skip(self):
        result = judge("#7/1 timer/one:SKIP\n#7/2 timer/two:OK\n#7       timer:OK (SKIP: 1/2)")
        self.assertEqual((result.status, result.subtests["one"].status), ("pass", "skip"))

    def test_test_that_gave_up_beside_its_subtests(self):
        result = judge("#7/1 timer/one:OK\n#7/2 timer/two:OK\n#7       timer:OK (SKIP: 1/2)")
        self.assertEqual(result.status, "skip")

    def test_same_subtest_twice_counts_as_the_worse(self):
        result = judge("#7/1 timer/one:FAIL\n#7/2 timer/one:OK\n#7 timer:FAIL", 1)
        self.assertEqual(result.subtests["one"].status, "fail")

    def test_result_of_another_test_does_not_count(self):
        self.assertEqual(judge("#6       timer_mim:OK").status, "fail")

    def test_no_output(self):
        self.assertIn("no output", judge("", 3).reason)

    def test_time_limit(self):
        result = judge("#7       timer:OK", 124)
        self.assertEqual((result.status, result.reason), ("hang", "not done after 60 s"))

    def test_exit_status_against_the_words(self):
        self.assertEqual(judge("#7       timer:OK", 1).status, "fail")

    def test_missing_module_is_a_failure(self):
        result = judge("WARNING! Selftests relying on bpf_testmod.ko will be skipped.\n#7 timer:SKIP")
        self.assertEqual(result.status, "fail")

    def test_undecided(self):
        result = judge("#7       timer:SKIP", max_attempts=10, attempt=10, again="SKIP")
        self.assertEqual((result.status, result.reason),
                         ("skip", "undecided after 10 of at most 10 runs"))


class Stream(unittest.TestCase):
    def feed(self, text, names=("timer", "wq")):
        stream = parse.Stream([catalog.Test(name, name, 60) for name in names])
        for line in text.strip("\n").split("\n"):
            stream.feed(line + "\n")
        return stream

    def test_whole_run(self):
        stream = self.feed("boot noise\n@@ready\n@@begin timer 1\n#1       timer:OK\n@@end timer 1 0\n"
                           "@@leftout wq no PMU here\n@@begin rust_bpf_async.ko 1\nsum 12\n"
                           "@@end rust_bpf_async.ko 1 1\n@@done")
        self.assertTrue(stream.done)
        self.assertIsNone(stream.running)
        self.assertEqual({name: (res.status, res.reason) for name, res in stream.results.items()},
                         {"timer": ("pass", ""), "wq": ("left out", "no PMU here"),
                          "rust_bpf_async.ko": ("fail", "sum 12")})

    def test_last_attempt_counts(self):
        stream = self.feed("@@begin timer 1\n#1       timer:SKIP\n@@end timer 1 0\n"
                           "@@begin timer 2\n#1       timer:OK\n@@end timer 2 0")
        self.assertEqual((stream.results["timer"].status, stream.results["timer"].attempts), ("pass", 2))

    def test_failure_before_a_pass_stays_to_be_seen(self):
        stream = self.feed("@@begin timer 1\nt:FAIL:late\n#1       timer:FAIL\n@@end timer 1 1\n"
                           "@@begin timer 2\n#1       timer:OK\n@@end timer 2 0")
        result = stream.results["timer"]
        self.assertEqual((result.status, result.attempts, result.earlier), ("pass", 2, ["t:FAIL:late"]))
        self.assertEqual(result.as_dict()["failed before"], ["t:FAIL:late"])

    def test_cut_off_in_a_test(self):
        stream = self.feed("@@ready\n@@begin timer 1\nsome words")
        self.assertEqual((stream.running, stream.results), ("timer", {}))

    def test_mark_after_a_line_without_newline(self):
        stream = self.feed("@@begin timer 1\n#1       timer:OK@@end timer 1 0")
        self.assertEqual(stream.results["timer"].status, "pass")

    def test_copy_of_a_mark_in_the_kernel_log(self):
        stream = self.feed("[ 1.0] selftests: @@begin timer 1")
        self.assertIsNone(stream.running)

    def test_reason_of_a_skip(self):
        stream = self.feed("@@begin timer 1\n#1       timer:SKIP\n@@end timer 1 0\n"
                           "@@begin wq 1\n#2/1 wq/a:SKIP\n#2/2 wq/b:SKIP\n#2 wq:SKIP\n@@end wq 1 0\n"
                           "@@why timer\nSKIP:no such event\n#1       timer:SKIP\n@@whyend timer\n"
                           "@@why wq\nskipping a\n#2/1 wq/a:SKIP\n#2/2 wq/b:SKIP\n#2 wq:SKIP\n@@whyend wq")
        self.assertEqual(stream.results["timer"].reason, "SKIP:no such event")
        subs = stream.results["wq"].subtests
        self.assertEqual((subs["a"].reason, subs["b"].reason),
                         ("skipping a", "test_progs gives no reason"))


class Blame(unittest.TestCase):
    CONSOLE = ("BUG: early\n[1] selftests: @@begin a 1\n[2] selftests: @@end a 1 0\r\n"
               "BUG: one\r\n trace\r\n[3] selftests: @@begin b 1\r\nBUG: one\r\n trace\r\n")

    def test_the_last_mark_before_it(self):
        reports = [Report("BUG", "BUG: early", "BUG: early"), Report("BUG", "BUG: one", "BUG: one\n trace"),
                   Report("BUG", "BUG: one", "BUG: one\n trace")]
        self.assertEqual([name for name, _ in parse.blame(self.CONSOLE, reports)], [None, "a", "b"])


class Catalog(unittest.TestCase):
    HEADER = "DEFINE_TEST(struct_ops_assoc)\nDEFINE_TEST(timer_lockup)\nDEFINE_TEST(timer_stress_nmi_race)\n"

    def test_what_is_known_of_each(self):
        tests = {test.name: test for test in catalog.tests(self.HEADER)}
        self.assertEqual(tests["struct_ops_assoc"].filter, "struct_ops_assoc/st_ops_assoc_in_timer*")
        self.assertEqual(tests["timer_lockup"].attempts, 10)
        self.assertEqual(tests["timer_stress_nmi_race"].needs, "pmu")

    def test_debug_kernels_get_more_time(self):
        plain, debug = catalog.tests(self.HEADER)[0], catalog.tests(self.HEADER, True)[0]
        self.assertGreater(debug.limit, plain.limit)


if __name__ == "__main__":
    unittest.main()
