# SPDX-License-Identifier: GPL-2.0
"""Build the chosen selftests for one kernel, and say what was built from what."""

import os
import re
import subprocess
import time
from pathlib import Path

from flavor import IMAGES

from . import catalog

SCRIPTS = Path(__file__).resolve().parent.parent
ROOT = SCRIPTS.parent
# The compilers are chosen where the kernel's are, in toolchain.sh.
MAKE = """. "$1/lib.sh"; . "$1/toolchain.sh"; find_toolchain
exec nice "${KMAKE[@]}" -j"$(nproc)" -f "$1/selftests/build.mk" ROOT="$GUEST_ROOT" all"""


class BuildError(Exception):
    """The text is for the user: what is wrong and what to do next."""


class Kernel:
    """A kernel's build folder, checked."""

    def __init__(self, folder, impl, hint, arch="x86_64"):
        self.folder, self.impl, self.arch = Path(folder).resolve(), impl, arch
        if self.folder.name in ("bzImage", "Image"):
            self.folder = self.folder.parents[3]
        for part in (IMAGES[arch], "vmlinux", ".config", "Module.symvers"):
            if not (self.folder / part).exists():
                raise BuildError(f"no {impl} kernel: {self.folder / part} is missing; {hint}")
        self.config = self._config()
        switch = self.config.get("CONFIG_BPF_ASYNC_RUST")
        if (impl == "rust") != (switch == "y"):
            raise BuildError(f"{self.folder} is not the {impl} kernel: CONFIG_BPF_ASYNC_RUST "
                             f"is {switch or 'not set'}; {hint}")
        self.image = self.folder / IMAGES[arch]
        self.sample = self.folder / "samples/rust" / catalog.SAMPLE

    def _config(self):
        text = (self.folder / ".config").read_text()
        return {key: value.strip('"') for key, value in re.findall(r"^(CONFIG_\w+)=(.*)$", text, re.M)}

    @property
    def tree(self):
        """The source it was built from (kbuild leaves a link to it)."""
        link = self.folder / "source"
        return link.resolve() if link.exists() else self.folder

    @property
    def release(self):
        return (self.folder / "include/config/kernel.release").read_text().strip()

    def provenance(self, tree):
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
        return {
            "kernel": self.release,
            "source": source_of(tree),
            "switch": f"CONFIG_BPF_ASYNC_RUST={config.get('CONFIG_BPF_ASYNC_RUST', 'n')}",
            "C compiler": f"{config.get('CONFIG_CC_VERSION_TEXT', '?')}, linker "
                          f"{version('CONFIG_LLD_VERSION') or version('CONFIG_LD_VERSION')}",
            "Rust": rust + (f", {bindgen}" if bindgen else "")
                    + (", inline helpers" if config.get("CONFIG_RUST_INLINE_HELPERS") else ""),
            "pahole": config.get("CONFIG_PAHOLE_VERSION", "?"),
            "debugging": ", ".join(key[7:] for key in ("CONFIG_KASAN", "CONFIG_PROVE_LOCKING",
                                                       "CONFIG_DEBUG_OBJECTS", "CONFIG_KCSAN")
                                   if config.get(key)) or "none",
            "repository": commit(),
        }


def commit():
    """The commit of this repository, and whether the work tree differs."""
    def git(*args):
        done = subprocess.run(["git", "-C", str(ROOT), *args], capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else None
    head = git("rev-parse", "--short=12", "HEAD")
    if not head:
        return "no commit"
    return head + (" with changes" if git("status", "--porcelain") else "")


def source_of(tree):
    """Version and place of a kernel source tree."""
    makefile = (Path(tree) / "Makefile").read_text()
    numbers = [re.search(rf"^{key} = (\d*)$", makefile, re.M)
               for key in ("VERSION", "PATCHLEVEL", "SUBLEVEL")]
    if not all(numbers):
        raise BuildError(f"{tree} is no kernel source; give it with --tree")
    version = ".".join(number.group(1) for number in numbers)
    home = os.path.expanduser("~")
    place = str(tree)
    return f"Linux {version}, {'~' + place[len(home):] if place.startswith(home + '/') else place}"


def build(kernel, tree, folder, tools, log, say):
    """Build into folder; ({names of test files}, {left out: reason}, tests.h)."""
    names, absent = catalog.files(tree)
    if not names:
        raise BuildError(f"{tree} has no selftests of BPF; is it a whole kernel source?")
    folder, log = Path(folder), Path(log)
    log.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    env = dict(os.environ, SRC=str(tree), KERNEL=str(kernel.folder), OUT=str(folder),
               TOOLDIR=str(tools), TESTS=" ".join(names), ARCH=kernel.arch, OWN=str(catalog.OWN / "bpf"),
               GUEST_ROOT=str(tools.parents[1] / f"root-{kernel.arch}"))
    with log.open("w") as out:
        process = subprocess.Popen(["bash", "-c", MAKE, "build", str(SCRIPTS)], env=env,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
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
                    say(f"building {match.group(1)}: {match.group(2)}")
        except BaseException:
            process.terminate()
            raise
        finally:
            process.wait()
    if process.returncode:
        wrong = [line for line in last if re.search(r"error:|Error |\*\*\*|No such file|not found", line)]
        for line in (wrong or last)[:10]:
            say(line)
        raise BuildError(f"the selftests for {kernel.folder.name} did not build; the whole log is {log}")
    return absent, (folder / "prog_tests/tests.h").read_text()
