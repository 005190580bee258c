# SPDX-License-Identifier: GPL-2.0
"""Build the chosen selftests for one kernel, and say what was built from what."""

import contextlib
import hashlib
import os
import re
import subprocess
import sys
import time

from kernels import ROOT, SCRIPTS, BuildError, Kernel, cache, commit, locked

from . import catalog


def say(text):
    print(f"selftests: {text}", file=sys.stderr, flush=True)


class Tests(Kernel):
    """A kernel and test_progs with all tests that are built for it."""

    def __init__(self, impl, args):
        super().__init__(impl, args)
        self.commit = commit()          # before it runs: work may go on meanwhile
        self.out = cache() / "selftests" / self.label
        # Trees of one version can differ: each has its own bpftool and libbpf.
        self.tools = cache() / "selftests" / "-".join(
            ("tools", self.tree.name, hashlib.sha256(f"{self.tree}\n".encode()).hexdigest()[:8]))

    def say(self, text):
        say(f"{self.label}: {text}")

    @contextlib.contextmanager
    def built(self):
        """(what is left out and why, the generated tests.h), and the folder is ours."""
        with locked(self.out, lambda: self.say("waiting for another run")):
            with locked(self.tools, lambda: self.say("waiting for another run")):
                found = build(self)
            yield found

    def provenance(self):
        """What was built from what, for people."""
        config = self.config

        def version(key):
            digits = config.get(key, "")
            if not digits.isdigit() or int(digits) == 0:
                return digits
            number = int(digits)
            return f"{number // 10000}.{number // 100 % 100}.{number % 100}"

        rust = config.get("CONFIG_RUSTC_VERSION_TEXT", "none")
        bindgen = config.get("CONFIG_BINDGEN_VERSION_TEXT")
        home = os.path.expanduser("~/")
        return {
            "kernel": self.release,
            "source": f"Linux {self.release.split('-')[0]}, {re.sub('^' + re.escape(home), '~/', str(self.tree))}",
            "switch": f"CONFIG_BPF_ASYNC_RUST={config.get('CONFIG_BPF_ASYNC_RUST', 'n')}",
            "C compiler": f"{config.get('CONFIG_CC_VERSION_TEXT', '?')}, linker "
                          f"{version('CONFIG_LLD_VERSION') or version('CONFIG_LD_VERSION')}",
            "Rust": rust + (f", {bindgen}" if bindgen else "")
                    + (", inline helpers" if config.get("CONFIG_RUST_INLINE_HELPERS") else ""),
            "pahole": config.get("CONFIG_PAHOLE_VERSION", "?"),
            "debugging": ", ".join(key[7:] for key in ("CONFIG_KASAN", "CONFIG_PROVE_LOCKING",
                                                       "CONFIG_DEBUG_OBJECTS", "CONFIG_KCSAN")
                                   if config.get(key)) or "none",
            "repository": self.commit,
        }


def build(tests):
    """({left out: reason}, tests.h)"""
    names, absent = catalog.files(tests.tree)
    if not names:
        raise BuildError(f"{tests.tree} has no selftests of BPF; is it a whole kernel source?")
    log = cache() / "logs" / f"selftests-{tests.label}.build.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    env = dict(os.environ, SRC=str(tests.tree), KERNEL=str(tests.folder), OUT=str(tests.out),
               TOOLDIR=str(tests.tools), TESTS=" ".join(names), ARCH=tests.arch, OWN=str(catalog.OWN / "bpf"))
    # The compilers are chosen where the kernel's are.
    command = ["nice", SCRIPTS / "kmake.sh", f"-j{os.cpu_count()}", "-f", SCRIPTS / "selftests/build.mk",
               f"ROOT={cache() / f'root-{tests.arch}'}", "all"]
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, errors="replace")
        last, said = [], time.monotonic()
        try:
            for line in process.stdout:
                out.write(line)
                last = [*last, line.rstrip()][-300:]
                if match := re.match(r"(tools|gen|bpf|test|helper|link|module): (.*)", line):
                    if time.monotonic() < said + 2:      # enough to see that it lives
                        continue
                    said = time.monotonic()
                    tests.say(f"building {match.group(1)}: {match.group(2)}")
        except BaseException:
            process.terminate()
            raise
        finally:
            process.wait()
    if process.returncode:
        wrong = [line for line in last if re.search(r"error:|Error |\*\*\*|No such file|not found", line)]
        for line in (wrong or last)[:10]:
            tests.say(line)
        raise BuildError(f"the selftests for {tests.folder.name} did not build; the whole log is {log}")
    return absent, (tests.out / "prog_tests/tests.h").read_text(encoding="utf-8")
