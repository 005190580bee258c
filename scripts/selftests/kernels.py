# SPDX-License-Identifier: GPL-2.0
"""Which kernel is meant, and where what is built for it goes."""

import contextlib
import fcntl
import os
import re
import sys
import zlib
from pathlib import Path

import flavor

from . import build


def say(text):
    print(f"selftests: {text}", file=sys.stderr, flush=True)


def cache():
    return Path(os.environ.get("BPF_ASYNC_CACHE") or Path.home() / ".cache/bpf-async").absolute()


def newest(impl, series, suffix):
    """The build folder of the newest kernel of a series (7.3, or 7.3.4 itself)."""
    pattern = re.compile(rf"{re.escape(series)}((?:\.\d+)?)-{impl}{suffix}")
    found = [(int(match.group(1)[1:] or 0), path) for path in (cache() / "build").glob("*")
             if (match := pattern.fullmatch(path.name))]
    return max(found, default=(0, None))[1]


def find(impl, args):
    """The kernel that a command's arguments mean."""
    given = args.kernel_c if impl == "c" else args.kernel_rust
    hint = f"run '{flavor.command(impl, args)}' first"
    if given:
        return build.Kernel(given, impl, f"give its build folder with --kernel-{impl}", args.arch)
    folder = newest(impl, args.kver or "7.3", flavor.suffix(args))
    if not folder:
        raise build.BuildError(f"no {impl} kernel {args.kver or '7.3'} in {cache() / 'build'}; {hint}")
    return build.Kernel(folder, impl, hint, args.arch)


@contextlib.contextmanager
def locked(folder, text):
    """Two runs in one folder would spoil each other."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{text}: waiting for another run")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Tests:
    """A kernel and test_progs with all tests that are built for it."""

    def __init__(self, impl, args):
        self.kernel = find(impl, args)
        self.tree = Path(args.tree).resolve() if getattr(args, "tree", None) else self.kernel.tree
        if not (self.tree / "Makefile").is_file():
            raise build.BuildError(f"{self.tree} is no kernel source; give it with --tree")
        version = re.search(r"Linux (\S+),", build.source_of(self.tree)).group(1)
        self.label = f"{version}-{impl}{flavor.suffix(args)}"
        if self.kernel.folder.parent == cache() / "build":
            self.label = self.kernel.folder.name
        self.folder = cache() / "selftests" / self.label
        # Trees of one version can differ: each has its own bpftool and libbpf.
        self.tools = cache() / "selftests" / f"tools-{self.tree.name}-{zlib.crc32(str(self.tree).encode()):08x}"

    @contextlib.contextmanager
    def built(self):
        """(what is left out and why, the generated tests.h), and the folder is ours."""
        with locked(self.folder, self.label):
            with locked(self.tools, self.label):
                found = build.build(self.kernel, self.tree, self.folder, self.tools,
                                    cache() / "logs" / f"selftests-{self.label}.build.log",
                                    lambda text: say(f"{self.label}: {text}"))
            yield found
