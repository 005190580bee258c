# SPDX-License-Identifier: GPL-2.0
"""Which kernel is taken; its boots, crashes and hangs, with a shell script in the place of a machine; the stress."""

import contextlib
import io
import os
import sys
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import kernels  # noqa: E402
from selftests import run  # noqa: E402
from selftests.catalog import Test  # noqa: E402
from stress import Stress, follow  # noqa: E402  (found beside this file)

# Takes vm.py's arguments and plays what the guest would print: the files
# boot0, boot1, ... of its folder, one for each start, as a piece of shell.
MACHINE = """#!/bin/bash
here=$(dirname "$0")
echo "$*" >> "$here/commands"
while [ "$1" != -- ]; do [ "$1" = --console ] && console=$2; shift; done
number=$(($(wc -l < "$here/commands") - 1))
cut -f 2 "${*: -1}" | paste -s -d ' ' >> "$here/plans"
test() {
    echo "@@begin $1 1"; echo "selftests: @@begin $1 1" >> "$console"
    [ -n "${2:-}" ] || return
    echo "#1       $1:$2"; echo "@@end $1 1 0"
}
log() { echo "$*" >> "$console"; }
. "$here/boot$number"
"""
REST = "test b OK; test c OK; echo @@done"
REPORT = "log 'BUG: KASAN: use-after-free in x'"
KASAN = "BUG: KASAN: use-after-free in x"
PASS = ("pass", "")
GONE = ("crash", "the machine went away after it (status 99), and no report")

# What each boot does, and what of a, b and c comes of it.
BOOTS = {
    "one boot": (["test a OK; test b OK; test c SKIP; echo @@done"], PASS, PASS, ("skip", "")),
    "crash": (["test a OK; test b; log 'Kernel panic - not syncing: sorry'; exit 99", "test c OK; echo @@done"],
              PASS, ("crash", "Kernel panic - not syncing: sorry"), PASS),
    "crash without a word": (["test a; exit 99", REST],
                             ("crash", "the machine went away (status 99), and no report"), PASS, PASS),
    "what was said before a crash": (["test a; echo 'a:FAIL:x unexpected x: got FALSE'; " + REPORT, REST],
                                     ("crash", f"x: got FALSE; {KASAN}"), PASS, PASS),
    # What follows it in that boot does not count.
    "report in a test that passes": ([f"test a OK; test b OK; {REPORT}; test c OK; exit 99",
                                      "test c SKIP; echo @@done"], PASS, ("crash", KASAN), ("skip", "")),
    "report before any test": ([f"{REPORT}; test a OK; {REST}"], PASS, PASS, PASS, ("crash", KASAN)),
    # In a grace period, say.
    "end between tests": (["test a OK; exit 99", REST], GONE, PASS, PASS),
    "end without done": (["test a OK; test b OK; test c OK; exit 99"], PASS, PASS, GONE),
    "boot that fails once": (["exit 124", f"test a OK; {REST}"], PASS, PASS, PASS),
    "hang": (["test a; sleep 1000", REST], ("hang", "no further answer, and no report"), PASS, PASS),
    "lost, after a failure": (["test b; echo b:FAIL:y; sleep 1000", f"test a OK; test c OK; echo @@done"],
                              PASS, ("hang", "b:FAIL:y; no further answer, and no report"), PASS),
}


class Boots(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        machine = self.folder / "machine"
        machine.write_text(MACHINE)
        machine.chmod(0o755)
        for patch in (mock.patch.dict(os.environ, BPF_ASYNC_VM=str(machine), BPF_ASYNC_CACHE=folder.name),
                      mock.patch.multiple(run, GRACE=0, LOST=1)):
            patch.start()
            self.addCleanup(patch.stop)

    def boot(self, boots, tests, impl="rust"):
        for old in ("commands", "plans"):
            (self.folder / old).unlink(missing_ok=True)
        for number, text in enumerate(boots):
            (self.folder / f"boot{number}").write_text(text)
        kernel = SimpleNamespace(impl=impl, label="x", image="bzImage", out=self.folder, slowness=1, say=lambda _: None)
        args = SimpleNamespace(cpus=2, append="quiet", own=True)
        results = run.Runner(kernel, tests, args).run()
        self.plans = (self.folder / "plans").read_text().splitlines()
        self.assertEqual(len(self.plans), len(boots))
        return {name: (res.status, res.reason) for name, res in results.items()}

    def test_boots(self):
        tests = [Test("a", "a", 1), Test("b", "b", 600, kind="own"), Test("c", "c", 600)]
        for name, (boots, *expected) in BOOTS.items():
            with self.subTest(name):
                self.assertEqual(self.boot(boots, tests), dict(zip(["a", "b", "c", "boot"], expected)))

    def test_nothing_can_be_run(self):
        for boots, said in ((2 * ["echo no such thing >&2; exit 125"], "first test .no such thing"),
                            (["echo @@broken bpf_testmod.ko does not load"], "bpf_testmod")):
            with self.assertRaisesRegex(run.RunError, said):
                self.boot(boots, [Test("a", "a", 1)])

    def test_boots_of_the_same_machine(self):
        tests = [Test("a", "a", 9), Test("b", "b", 9, own_boot=True, seconds=7), Test("c", "c", 9, cpus=1),
                 Test("d", "d", 9, cpus=1), Test("e", "e", 9, known=("stays",)), Test("f", "f", 9, append="nolapic"),
                 Test("g", "g", 9, one_thread=True)]
        for impl, plans in (("c", ["a", "b", "c d", "e", "f", "g"]), ("rust", ["a b", "c d", "e", "f", "g"])):
            boots = ["; ".join(f"test {name} OK" for name in plan.split()) + "; echo @@done" for plan in plans]
            self.assertEqual(list(self.boot(boots, tests, impl)), list("abcdefg"))
            self.assertEqual(self.plans, plans)
        commands = (self.folder / "commands").read_text().splitlines()
        for number, words in enumerate(("--cpus 2 .*--env ASYNC_SECONDS=7", "--cpus 1", "--append quiet --",
                                        "--append quiet nolapic", "--one-thread")):
            self.assertRegex(commands[number], words)


class Kernels(unittest.TestCase):
    def kernel(self, name, lacks="", given=False):
        files = {kernels.IMAGES["x86_64"]: "", "vmlinux": "", "Module.symvers": "", "source/Makefile": "",
                 ".config": "CONFIG_BPF_ASYNC_RUST=y\n", "include/config/kernel.release": "7.3.4\n",
                 ".bpf-async-built": ""}
        with tempfile.TemporaryDirectory() as cache, mock.patch.dict(os.environ, BPF_ASYNC_CACHE=cache):
            folder = Path(cache) / "build" / name
            for path in files.keys() - {lacks}:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_text(files[path])
            args = SimpleNamespace(flavor="plain", arch="x86_64", kernel_rust=str(folder) if given else None)
            kernel = kernels.Kernel("rust", args)
            return kernel.label, kernel.usual

    def test_the_one_that_is_built(self):
        self.assertEqual(self.kernel("7.3.4-rust"), ("7.3.4-rust", True))
        self.assertEqual(self.kernel("7.3.4-1234abcd-rust", given=True), ("7.3.4-1234abcd-rust", False))

    def test_what_cannot_be_taken(self):
        for lacks, said in ((".bpf-async-built", "not been built to its end.*make kernel IMPL=rust"),
                            ("vmlinux", "vmlinux is missing"), ("source/Makefile", "no kernel source")):
            with self.assertRaisesRegex(kernels.BuildError, said):
                self.kernel("7.3.4-rust", lacks)
        with self.assertRaisesRegex(kernels.BuildError, "no rust kernel 7.3 in .*; run 'make kernel IMPL=rust' first"):
            self.kernel("7.3.4-c")


STRESS = Test("async_stress", "async_stress", 60, kind="own")
BEGUN = ["@@begin async_stress 1", "seed 100, 4 CPUs, 60 s, objects counted: yes"]
ROUNDS = [*BEGUN, "  5 s: round 1, 10 operations, 2 callbacks, 1 guests",
          " 10 s: round 2, 20 operations, 4 callbacks, 2 guests"]
FAULTED = "the kernel reported a fault, see above"

# What it said, the machine's exit status (or that it was ended), what is wrong, and the seed that repeats it.
SAID = [
    ([*ROUNDS, "#1       async_stress:OK", "@@end async_stress 1 0"], 0, "", 102),
    ([*ROUNDS, "is_wrong:FAIL:123 the answer is 0x1", "#1       async_stress:FAIL", "@@end async_stress 1 1"], 0,
     "the answer is 0x1", 101),
    (ROUNDS, 99, FAULTED, 102),
    ([*ROUNDS, "is_wrong:FAIL:123 the answer is 0x1"], 99, f"the answer is 0x1; {FAULTED}", 102),
    ([*ROUNDS, "#1       async_stress:OK", "@@end async_stress 1 0"], 99, FAULTED, 102),
    ([*ROUNDS, "#1       async_stress:OK", "@@end async_stress 1 0"], 1, "exit status 1", 102),
    (BEGUN, "hung", "it says nothing further: something hangs", 100),
    ([*BEGUN[:1], "SKIP: booted without", "#1       async_stress:SKIP", "@@end async_stress 1 0"], 0,
     "nothing was done: SKIP: booted without", None),
    (BEGUN[:1], 2, "it ended without a result, exit status 2", None),
    ([*BEGUN, "#1       timer:OK", "@@end async_stress 1 0"], 0,
     "test_progs ended with status 0 and no result: #1       timer:OK", 100),
]


class Stresses(unittest.TestCase):
    def test_what_is_wrong(self):
        for lines, status, problem, seed in SAID:
            with self.subTest(problem):
                stress = Stress([STRESS])
                for line in lines:
                    stress.feed(line + "\n")
                self.assertEqual((stress.problem(status, status == "hung"), stress.repeat()), (problem, seed))

    def test_what_it_says_goes_through_until_it_is_silent(self):
        said, words = "\n".join(BEGUN), BEGUN[1] + "\n"
        for end, limit, expected in (("exit 99", 60, (99, False)), ("exec sleep 600", 2, (-15, True))):
            with contextlib.redirect_stdout(io.StringIO()) as out:
                stress, *ended = follow(["sh", "-c", f"echo '{said}'; echo t:PASS:a; {end}"], STRESS, limit)
            self.assertEqual((stress.seed, tuple(ended), out.getvalue()), (100, expected, words))


if __name__ == "__main__":
    unittest.main()
