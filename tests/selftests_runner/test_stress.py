# SPDX-License-Identifier: GPL-2.0
"""What the stress prints, and what is made of it."""

import contextlib
import io
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from selftests.catalog import Test  # noqa: E402
from stress import Stress, follow  # noqa: E402  (found beside this file)

TEST = Test("async_stress", "async_stress", 60, kind="own")
BEGIN = ["@@begin async_stress 1", "seed 100, 4 CPUs, 60 s, objects counted: yes"]
ROUNDS = [*BEGIN, "  5 s: round 1, 10 operations, 2 callbacks, 1 guests",
          " 10 s: round 2, 20 operations, 4 callbacks, 2 guests"]
FAULT = "the kernel reported a fault, see above"

# What it said, the machine's exit status (or that it was ended), what is wrong, and the seed that repeats it.
SAID = [
    ([*ROUNDS, "#1       async_stress:OK", "@@end async_stress 1 0"], 0, "", 102),
    ([*ROUNDS, "is_wrong:FAIL:123 the answer is 0x1", "#1       async_stress:FAIL", "@@end async_stress 1 1"], 0,
     "the answer is 0x1", 101),
    (ROUNDS, 99, FAULT, 102),
    ([*ROUNDS, "is_wrong:FAIL:123 the answer is 0x1"], 99, f"the answer is 0x1; {FAULT}", 102),
    ([*ROUNDS, "#1       async_stress:OK", "@@end async_stress 1 0"], 99, FAULT, 102),
    ([*ROUNDS, "#1       async_stress:OK", "@@end async_stress 1 0"], 1, "exit status 1", 102),
    (BEGIN, "hung", "it says nothing further: something hangs", 100),
    ([*BEGIN[:1], "SKIP: booted without", "#1       async_stress:SKIP", "@@end async_stress 1 0"], 0,
     "nothing was done: SKIP: booted without", None),
    (BEGIN[:1], 2, "it ended without a result, exit status 2", None),
    ([*BEGIN, "#1       timer:OK", "@@end async_stress 1 0"], 0,
     "test_progs ended with status 0 and no result: #1       timer:OK", 100),
]


class Stresses(unittest.TestCase):
    def test_what_is_wrong(self):
        for lines, status, problem, seed in SAID:
            with self.subTest(problem):
                stress = Stress([TEST])
                for line in lines:
                    stress.feed(line + "\n")
                self.assertEqual((stress.problem(status, status == "hung"), stress.repeat()), (problem, seed))

    def test_what_it_says_goes_through_until_it_is_silent(self):
        said, words = "\n".join(BEGIN), BEGIN[1] + "\n"
        for end, limit, expected in (("exit 99", 60, (99, False)), ("exec sleep 600", 2, (-15, True))):
            with contextlib.redirect_stdout(io.StringIO()) as out:
                stress, *ended = follow(["sh", "-c", f"echo '{said}'; echo t:PASS:a; {end}"], TEST, limit)
            self.assertEqual((stress.seed, tuple(ended), out.getvalue()), (100, expected, words))


if __name__ == "__main__":
    unittest.main()
