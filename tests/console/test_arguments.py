# SPDX-License-Identifier: GPL-2.0
"""What is wrong with the words of a command is said at once, in one line, before any build or boot."""

import re
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from test_kernel import ROOT, WithClone  # noqa: E402

KERNEL = """#!/bin/bash
touch "$BPF_ASYNC_CACHE/started"
exit 3
"""


class Arguments(WithClone):
    def setUp(self):
        super().setUp()
        shutil.copy(ROOT / "Makefile", self.clone)
        shutil.copytree(ROOT / "tests/bench", self.clone / "tests/bench")
        self.install(self.clone / "scripts/kernel.sh", KERNEL)

    def make(self, *words):
        """(what was said without make's own line, whether a kernel was asked for)"""
        (self.cache / "started").unlink(missing_ok=True)
        # Also where make itself runs this test.
        env = {name: value for name, value in self.env.items() if not name.startswith(("MAKE", "MFLAGS"))}
        done = subprocess.run(["make", "-C", self.clone, *words], env=env, text=True, capture_output=True,
                              timeout=120, check=False)
        said = [line for line in done.stderr.splitlines() if not line.startswith("make: ")]
        return said, (self.cache / "started").exists()

    def test_refused(self):
        for words, says in ((("stress", "SECONDS=abc"), "SECONDS is a number from 1, not 'abc'; "),
                            (("stress", "SECONDS=0"), "SECONDS is a number from 1, not '0'; "),
                            (("stress", "SEED=-1"), "SEED is a number, not '-1'; "),
                            (("stress", "IMPL=zzz"), "IMPL is rust or c, not 'zzz'; "),
                            (("bench", "ONLY=zzz"), "no operation begins with 'zzz'; "),
                            (("bench", "IMPL=zzz"), "IMPL is rust, c or both, not 'zzz'; "),
                            (("vm", "CMD=true", "TIMEOUT=abc"), "TIMEOUT is a number of seconds, not 'abc'; "),
                            (("vm", "CMD=true", "CPUS=0"), "CPUS is a number from 1 to 16, not '0'; "),
                            (("vm", "CMD=true", "CPUS=17"), "CPUS is a number from 1 to 16, not '17'; "),
                            (("selftests", "IMPL=zzz"), "IMPL is rust, c or both, not 'zzz'; "),
                            (("vm",), "CMD is empty; ")):
            said, started = self.make(*words)
            self.assertEqual((len(said), started), (1, False), said)
            self.assertIn(says, said[0])

    def test_accepted(self):
        for words in (("stress",), ("stress", "SECONDS=5", "SEED=0"), ("bench",), ("bench", "ONLY=load"),
                      ("bench", "ONLY=off st"), ("vm", "CMD=true", "TIMEOUT=5")):
            self.assertTrue(self.make(*words)[1], words)

    def test_every_operation_that_is_measured(self):
        table = (ROOT / "tests/bench/ops.h").read_text().split("ops[] = {")[1]
        names = re.findall(r'\{\s*"([^"]+)",', table)
        self.assertEqual(len(names), table.count(".what ="))
        words = [word for name in names for word in ("--only", name)]
        done = subprocess.run([sys.executable, ROOT / "scripts/bench.py", *words, "--dry-run"], check=False)
        self.assertEqual(done.returncode, 0)


if __name__ == "__main__":
    unittest.main()
