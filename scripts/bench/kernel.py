# SPDX-License-Identifier: GPL-2.0
"""A kernel that is measured: what is built for it, its boots, what it was built with."""

import os
import re
import shutil
import subprocess
import sys

from kernels import ROOT, SCRIPTS, BuildError, Kernel, cache

# One instruction of the guest is one tick of its counter.
ICOUNT = {"x86_64": "-icount shift=0,sleep=off",
          "arm64": "-icount shift=0,sleep=off -cpu max,pauth-impdef=on,cntfrq=1000000000"}
REBUILD = "build the kernel again with 'make kernel'"


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def show(text):
    """The end of what a command said."""
    for line in text.splitlines()[-15:]:
        print(f"  {line}", file=sys.stderr)


def output(command, hint="run 'make setup'", failed=None, env=None):
    """What a command prints. Else: failed, or that it failed and the hint; STATUS stands for its exit status."""
    if not shutil.which(command[0]):
        raise BuildError(f"{command[0]} is missing; run 'make setup'")
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL,
                          env=env, check=False)
    if done.returncode:
        show(done.stderr)
        failed = failed or f"{command[0]} failed with status STATUS; {hint}"
        raise BuildError(failed.replace("STATUS", str(done.returncode)))
    return done.stdout


class BenchKernel(Kernel):
    """A kernel's build folder, and the benchmark built for it."""

    def __init__(self, impl, args):
        super().__init__(impl, args)
        self.out = cache() / "bench" / self.label
        # What instruction counts depend on, besides the source and its configuration.
        found = re.search(r"version (\d+\.\d+)", output(["qemu-system-x86_64", "--version"]))
        self.environment = {"kernel": self.release, "qemu": found[1] if found else "unknown"}
        for name, key in (("clang", "CC"), ("rustc", "RUSTC")):
            # Not where it was packaged and from what.
            version = re.search(r"\d+\.\d+[.\d]*", self.config.get(f"CONFIG_{key}_VERSION_TEXT", ""))
            self.environment[name] = version[0] if version else "unknown"

    def make(self):
        log = cache() / "logs" / f"bench-{self.label}.build.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        command = ["make", "-f", ROOT / "tests/bench/bench.mk", f"KBUILD={self.folder}", f"OUT={self.out}",
                   f"KMAKE={SCRIPTS / 'kmake.sh'}", f"TOOLS={cache() / 'tools' / f'libbpf-{self.release}'}",
                   f"ROOT={cache() / f'root-{self.arch}'}", f"CLANG={self.tool('clang')}"]
        with open(log, "w", encoding="utf-8") as file:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                                  env={**os.environ, "ARCH": self.arch}, check=False)
        if done.returncode:
            show(log.read_text(encoding="utf-8", errors="replace"))
            raise BuildError(f"building the benchmark for {self.label} failed, the log is {log}; "
                             "fix what it says and run the same command again")

    def boot(self, what, words, *options, icount=True):
        """Run the benchmark in this kernel: the fields of the lines that it prints. The options are vm.py's."""
        console = cache() / "logs" / f"bench-{self.label}-{what}.log"
        # Most boots take about 20 seconds.
        command = [SCRIPTS / "vm.py", "--kernel", self.folder, "--cpus", "1", "--timeout", "600", "--console", console,
                   *(("--qemu", ICOUNT[self.arch]) if icount else ()), *options,
                   "--", self.out / "bpf_async_bench", *words]
        # KVM does not count instructions.
        env = {**os.environ, "VM_ACCEL": "tcg"} if icount else None
        printed = output(command, env=env, failed=f"the benchmark ({what}) on {self.label} ended with status STATUS, "
                         f"the kernel's messages are in {console}; fix what it says and run it again")
        return [line.split("\t") for line in printed.splitlines()]

    def tool(self, name):
        """Of the LLVM that the kernel was compiled with, or else the plain one."""
        of_kernel = f"{name}-{self.environment['clang'].split('.')[0]}"
        return next(filter(shutil.which, (of_kernel, name)), of_kernel)

    def llvm(self, name, *arguments, hint="run 'make setup'"):
        """What a tool prints."""
        return output([self.tool(name), *arguments], hint)

    def symbols(self, *options):
        """The lines of llvm-nm."""
        return self.llvm("llvm-nm", "--defined-only", *options, hint=REBUILD).splitlines()
