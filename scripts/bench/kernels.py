# SPDX-License-Identifier: GPL-2.0
"""A kernel that is measured: what is built for it, its boots, what it was built with."""

import os
import re
import subprocess
import sys

from kernels import ROOT, SCRIPTS, BuildError, Kernel, cache

# One instruction of the guest is one tick of its counter.
ICOUNT = {"x86_64": "-icount shift=0,sleep=off",
          "arm64": "-icount shift=0,sleep=off -cpu max,pauth-impdef=on,cntfrq=1000000000"}
LIMIT = 600                         # seconds a boot; most take about 20
SAID = 15                           # lines of an error that are shown


class BenchError(BuildError):
    """Nothing can be measured; the message says what to do."""


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def show(text):
    for line in text.splitlines()[-SAID:]:
        print(f"  {line}", file=sys.stderr)


def output(command, hint):
    """What a command of the host prints."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace",
                              stdin=subprocess.DEVNULL, check=False)
    except FileNotFoundError:
        raise BenchError(f"{command[0]} is missing; {hint}") from None
    if done.returncode:
        show(done.stderr)
        raise BenchError(f"{command[0]} failed with status {done.returncode}; {hint}")
    return done.stdout


def qemu_version():
    found = re.search(r"version (\d+\.\d+)", output(["qemu-system-x86_64", "--version"], "run 'make setup'"))
    return found.group(1) if found else "unknown"


class BenchKernel(Kernel):
    """A kernel's build folder, and the benchmark built for it."""

    def __init__(self, impl, args):
        super().__init__(impl, args)
        self.out = cache() / "bench" / self.label
        self.program = self.out / "bpf_async_bench"

    def make(self):
        log = cache() / "logs" / f"bench-{self.label}.build.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        command = ["make", "-f", ROOT / "tests/bench/bench.mk", f"KBUILD={self.folder}", f"OUT={self.out}",
                   f"KMAKE={SCRIPTS / 'kmake.sh'}", f"TOOLS={cache() / 'tools' / f'libbpf-{self.release}'}",
                   f"ROOT={cache() / f'root-{self.arch}'}"]
        with open(log, "w", encoding="utf-8") as file:
            done = subprocess.run(command, stdout=file, env={**os.environ, "ARCH": self.arch}, stderr=subprocess.STDOUT,
                                  stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            show(log.read_text(encoding="utf-8", errors="replace"))
            raise BenchError(f"building the benchmark for {self.label} failed, the log is {log}; "
                             "fix what it says and run the same command again")

    def boot(self, what, words, *, cpus=1, icount=True, mem="2G", limit=LIMIT, qemu=(), rwdir=None):
        """Run the benchmark in this kernel: the fields of the lines that it prints."""
        console = cache() / "logs" / f"bench-{self.label}-{what}.log"
        command = [SCRIPTS / "vm.py", "--kernel", self.folder, "--cpus", str(cpus), "--timeout", str(limit),
                   "--mem", mem, "--console", console]
        for word in [*([ICOUNT[self.arch]] if icount else []), *qemu]:
            command += ["--qemu", word]
        if rwdir:
            command += ["--rwdir", rwdir]
        # KVM does not count instructions.
        env = {**os.environ, "VM_ACCEL": "tcg"} if icount else None
        done = subprocess.run([*command, "--", self.program, *words], capture_output=True, text=True,
                              errors="replace", check=False, stdin=subprocess.DEVNULL, env=env)
        if done.returncode:
            show(done.stderr)
            raise BenchError(f"the benchmark ({what}) on {self.label} ended with status {done.returncode}, the "
                             f"kernel's messages are in {console}; fix what it says and run it again")
        return [line.split("\t") for line in done.stdout.splitlines()]

    def environment(self):
        """What instruction counts depend on, besides the source and its configuration."""
        found = {"kernel": self.release, "qemu": qemu_version()}
        for name, key in (("clang", "CC"), ("rustc", "RUSTC")):
            # Not where it was packaged and from what.
            version = re.search(r"\d+\.\d+[.\d]*", self.config.get(f"CONFIG_{key}_VERSION_TEXT", ""))
            found[name] = version.group() if version else "unknown"
        return found
