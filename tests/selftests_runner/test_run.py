# SPDX-License-Identifier: GPL-2.0
"""Boots, crashes and hangs, with a shell script in the place of a machine."""

import os
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from selftests import catalog, run  # noqa: E402

# Takes vm.py's arguments and plays what the guest would print: the files
# boot0, boot1, ... of its folder, one for each start, as a piece of shell.
MACHINE = """#!/bin/bash
here=$(dirname "$0")
while [ "$1" != -- ]; do [ "$1" = --console ] && console=$2; shift; done
number=$(cat "$here/count" 2> /dev/null || echo 0)
echo $((number + 1)) > "$here/count"
cp "${*: -1}" "$here/plan$number"
test() {
    echo "@@begin $1 1"; echo "selftests: @@begin $1 1" >> "$console"
    [ -n "${2:-}" ] || return
    echo "#1       $1:$2"; echo "@@end $1 1 0"
}
log() { echo "$*" >> "$console"; }
. "$here/boot$number"
"""


class Boots(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        machine = self.folder / "machine"
        machine.write_text(MACHINE)
        machine.chmod(0o755)
        patch = mock.patch.dict(os.environ, BPF_ASYNC_VM=str(machine))
        patch.start()
        self.addCleanup(patch.stop)

    def run_boots(self, *boots, names=("a", "b", "c"), limits=(), sample=None):
        for number, text in enumerate(boots):
            (self.folder / f"boot{number}").write_text(text)
        tests = [catalog.Test(name, name, dict(limits).get(name, 600)) for name in names]
        runner = run.Runner("bzImage", self.folder, tests, self.folder / "logs", "x", sample)
        results = runner.run()
        self.assertEqual(runner.boots, len(boots))
        return {name: (res.status, res.reason) for name, res in results.items()}

    def test_one_boot(self):
        found = self.run_boots("test a OK; test b OK; test c SKIP; echo @@done")
        self.assertEqual([status for status, _ in found.values()], ["pass", "pass", "skip"])

    def test_crash_in_the_middle(self):
        found = self.run_boots("test a OK; test b; log 'Kernel panic - not syncing: sorry'; exit 99",
                               "test c OK; echo @@done")
        self.assertEqual(found, {"a": ("pass", ""), "c": ("pass", ""),
                                 "b": ("crash", "Kernel panic - not syncing: sorry")})
        self.assertEqual((self.folder / "plan1").read_text().split("\t")[0], "c")

    def test_crash_without_a_word(self):
        found = self.run_boots("test a; exit 99", "test b OK; test c OK; echo @@done")
        self.assertEqual(found["a"], ("crash", "the machine went away (status 99), and no report"))

    def test_report_while_a_test_passes(self):
        """What follows it in that boot does not count."""
        found = self.run_boots("test a OK; test b OK; log 'BUG: KASAN: use-after-free in x'; test c OK; exit 99",
                               "test c SKIP; echo @@done")
        self.assertEqual(found["b"], ("crash", "BUG: KASAN: use-after-free in x"))
        self.assertEqual(found["c"][0], "skip")

    def test_what_was_said_before_a_crash(self):
        found = self.run_boots("test a; echo 'a:FAIL:x unexpected x: got FALSE'; "
                               "log 'Kernel panic - not syncing: y'; exit 99", "test b OK; test c OK; echo @@done")
        self.assertEqual(found["a"], ("crash", "x: got FALSE; Kernel panic - not syncing: y"))

    def test_hang(self):
        with mock.patch.object(run, "GRACE", 0):
            found = self.run_boots("test a; sleep 1000", "test b OK; test c OK; echo @@done", limits={"a": 1})
        self.assertEqual(found["a"], ("hang", "no further answer, and no report"))

    def test_machine_ends_between_tests(self):
        """After a test, in a grace period say: not before the next one."""
        for end in ("exit 99", "exit 0"):
            found = self.run_boots(f"test a OK; {end}", "test b OK; test c OK; echo @@done")
            self.assertEqual([status for status, _ in found.values()], ["crash", "pass", "pass"])
            (self.folder / "count").unlink()

    def test_machine_ends_after_the_last(self):
        found = self.run_boots("test a OK; test b OK; test c OK")
        self.assertEqual([status for status, _ in found.values()], ["pass", "pass", "crash"])

    def test_no_boot(self):
        with self.assertRaisesRegex(run.RunError, "no such thing"):
            self.run_boots(*2 * ["echo no such thing >&2; exit 125"])

    def test_boot_that_fails_once(self):
        found = self.run_boots("exit 124", "test a OK; test b OK; test c OK; echo @@done")
        self.assertEqual({status for status, _ in found.values()}, {"pass"})

    def test_module_that_does_not_load(self):
        with self.assertRaisesRegex(run.RunError, "bpf_testmod"):
            self.run_boots("echo @@broken bpf_testmod.ko does not load")

    def test_sample_module(self):
        (self.folder / "m.ko").write_text("")
        found = self.run_boots("test a OK; test b OK; test c OK; echo @@begin rust_bpf_async.ko 1;"
                               "echo it adds up; echo @@end rust_bpf_async.ko 1 0; echo @@done",
                               sample=self.folder / "m.ko")
        self.assertEqual(found["rust_bpf_async.ko"], ("pass", "it adds up"))


if __name__ == "__main__":
    unittest.main()
