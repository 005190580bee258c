# SPDX-License-Identifier: GPL-2.0
"""Build the chosen selftests for one kernel, and say what was built from what."""

import contextlib
import fcntl
import hashlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from kernels import SCRIPTS, BuildError, Kernel, cache, commit

from . import catalog


class Tests(Kernel):
    """A kernel and test_progs with all tests that are built for it."""

    def __init__(self, impl, args):
        super().__init__(impl, args)
        self.commit = commit()          # before it runs: work may go on meanwhile
        self.out = cache() / "selftests" / self.label
        # Trees of one version can differ: each has its own bpftool and libbpf.
        digest = hashlib.sha256(f"{self.tree}\n".encode()).hexdigest()
        self.tools = cache() / "selftests" / f"tools-{self.tree.name}-{digest[:8]}"

    def say(self, text):
        print(f"selftests: {self.label}: {text}", file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def locked(self, folder):
        """Two runs in one folder would spoil each other."""
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "lock", "w", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.say("waiting for another run")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def built(self):
        """(what is left out and why, the generated tests.h), and the folder is ours."""
        names, absent = catalog.files(self.tree)
        if not names:
            raise BuildError(f"{self.tree} has no selftests of BPF; is it a whole kernel source?")
        with self.locked(self.out):
            with self.locked(self.tools):
                self.build(names)
            yield absent, (self.out / "prog_tests/tests.h").read_text(encoding="utf-8")

    def build(self, names):
        log = cache() / "logs" / f"selftests-{self.label}.build.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        env = {**os.environ, "SRC": str(self.tree), "KERNEL": str(self.folder), "OUT": str(self.out),
               "TOOLDIR": str(self.tools), "TESTS": " ".join(names), "ARCH": self.arch, "OWN": str(catalog.OWN / "bpf")}
        # The compilers are chosen where the kernel's are.
        command = ["nice", SCRIPTS / "kmake.sh", f"-j{os.cpu_count()}", "-f", SCRIPTS / "selftests/build.mk",
                   f"ROOT={cache() / f'root-{self.arch}'}", "all"]
        said = time.monotonic()
        with log.open("w", encoding="utf-8") as out, \
             subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace") as make:
            try:
                for line in make.stdout:
                    out.write(line)
                    # Enough to see that it lives.
                    if re.match("(tools|gen|bpf|test|helper|link|module): ", line) and time.monotonic() > said + 2:
                        said = time.monotonic()
                        self.say(f"building {line.rstrip()}")
            except BaseException:
                make.terminate()
                raise
        if make.returncode:
            lines = log.read_text(encoding="utf-8").splitlines()[-300:]
            for line in ([line for line in lines if re.search(r"error:|Error |\*\*\*|No such file|not found", line)]
                         or lines)[:10]:
                self.say(line)
            raise BuildError(f"the selftests for {self.folder.name} did not build; the whole log is {log}")

    def provenance(self):
        """What was built from what, for people."""
        def option(name, default=""):
            return self.config.get(f"CONFIG_{name}", default)

        linker = option("LLD_VERSION", "0")
        linker = int(linker if linker != "0" else option("LD_VERSION", "0"))
        bindgen, tree, home = option("BINDGEN_VERSION_TEXT"), self.tree, Path.home()
        if tree.is_relative_to(home):
            tree = "~" / tree.relative_to(home)
        debugging = [name for name in ("KASAN", "PROVE_LOCKING", "DEBUG_OBJECTS", "KCSAN") if option(name)]
        return {
            "kernel": self.release,
            "source": f"Linux {self.release.split('-')[0]}, {tree}",
            "switch": f"CONFIG_BPF_ASYNC_RUST={option('BPF_ASYNC_RUST', 'n')}",
            "C compiler": f"{option('CC_VERSION_TEXT', '?')}, linker "
                          f"{linker // 10000}.{linker // 100 % 100}.{linker % 100}",
            "Rust": option("RUSTC_VERSION_TEXT", "none") + (f", {bindgen}" if bindgen else "")
                    + (", inline helpers" if option("RUST_INLINE_HELPERS") else ""),
            "pahole": option("PAHOLE_VERSION", "?"),
            "debugging": ", ".join(debugging) or "none",
            "repository": self.commit,
        }
