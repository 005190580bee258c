# SPDX-License-Identifier: GPL-2.0
"""What the stress prints, and what is made of it."""

import contextlib
import io
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from stress import TIMEOUT, Log, follow  # noqa: E402  (found beside this file)

BEGIN = ["@@begin async_stress 1", "seed 100, 4 CPUs, 60 s, objects counted: yes"]
ROUNDS = ["  5 s: round 1, 10 operations, 2 callbacks, 1 guests",
          " 10 s: round 2, 20 operations, 4 callbacks, 2 guests"]


def log(*lines):
    made = Log()
    for line in lines:
        made.add(line + "\n")
    return made


class Stress(unittest.TestCase):
    def test_pass(self):
        made = log(*BEGIN, *ROUNDS, "#1       async_stress:OK")
        self.assertEqual((made.problem(0), made.seed, made.rounds), ("", 100, 2))

    def test_failure_repeats_the_round_it_was_in(self):
        made = log(*BEGIN, *ROUNDS, "say_what_is_wrong:FAIL:123 the answer is 0x1", "#1       async_stress:FAIL")
        self.assertEqual((made.problem(1), made.repeat()), ("the answer is 0x1", 101))

    def test_crash_repeats_the_round_that_did_not_end(self):
        made = log(*BEGIN, *ROUNDS)
        self.assertIn("reported a fault", made.problem(99))
        self.assertEqual(made.repeat(), 102)

    def test_report_after_a_pass_is_a_failure(self):
        self.assertIn("reported a fault", log(*BEGIN, *ROUNDS, "#1       async_stress:OK").problem(99))

    def test_hang(self):
        made = log(*BEGIN)
        self.assertIn("hangs", made.problem(124))
        self.assertEqual(made.repeat(), 100)

    def test_silence(self):
        """It begins to be silent after its seed: what was said before is kept."""
        with contextlib.redirect_stdout(io.StringIO()):
            for silence in (1, 4, 16, 64):      # a busy machine may be silent before it
                made, status = follow(["sh", "-c", f"echo '{BEGIN[1]}'; exec sleep 600"], silence)
                self.assertEqual((status, made.rounds), (TIMEOUT, 0))
                if made.seed:
                    break
        self.assertEqual(made.seed, 100)

    def test_exit_status(self):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            made, status = follow(["sh", "-c", f"echo '{BEGIN[1]}'; exit 99"], 60)
        self.assertEqual((made.seed, status, out.getvalue()), (100, 99, BEGIN[1] + "\n"))

    def test_skip_is_no_pass(self):
        self.assertIn("nothing was done", log("SKIP: booted without", "#1       async_stress:SKIP").problem(0))

    def test_no_result(self):
        made = log(BEGIN[0])
        self.assertIn("without a result", made.problem(2))
        self.assertIsNone(made.repeat())

    def test_result_of_another_case_does_not_count(self):
        self.assertIn("without a result", log(*BEGIN, "#1       timer:OK").problem(0))


if __name__ == "__main__":
    unittest.main()
