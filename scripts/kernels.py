# SPDX-License-Identifier: GPL-2.0
"""Which kernel is meant: its build folder, checked. And what the commands in Python share: the cache, how they end."""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent
ROOT = SCRIPTS.parent
# What each is stands in config/.
FLAVORS = ("plain", "debug", "kcsan", "rt", "cfi", "up")
SLOW, SLOWNESS = ("debug", "kcsan", "rt"), 4    # they check what they do, and are that much slower
IMAGES = {"x86_64": "arch/x86/boot/bzImage", "arm64": "arch/arm64/boot/Image"}
TITLES = {"c": "C", "rust": "Rust"}


class BuildError(Exception):
    """The text is for the user: what is wrong and what to do next."""


def cache():
    return Path(os.environ.get("BPF_ASYNC_CACHE") or "~/.cache/bpf-async").expanduser().absolute()


def add_arguments(parser):
    parser.add_argument("--flavor", choices=FLAVORS, default="plain", help="of the kernel (default: plain)")
    parser.add_argument("--arch", choices=(*IMAGES,), default="x86_64", help="its machine (default: x86_64)")


def at_least(smallest, type_=int):
    """For an argument that is a number."""
    def check(text):
        number = type_(text)
        if number < smallest:
            raise argparse.ArgumentTypeError(f"{text} is less than {smallest}")
        return number
    check.__name__ = "number"
    return check


def words(args):
    """What is not the default, for a name."""
    return [word for word in (args.flavor, args.arch) if word not in ("plain", "x86_64")]


def grid(rows, right=()):
    """Rows of text as a table; the columns with these numbers end at their right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(text.rjust(width) if i in right else text.ljust(width)
                               for i, (text, width) in enumerate(zip(row, widths))).rstrip() for row in rows)


def write_json(path, data):
    """All of it, or the file stays as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    new.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    new.replace(path)


def commit():
    """The commit of this repository, and whether the work tree differs."""
    def git(*args):
        done = subprocess.run(["git", "-C", str(ROOT), *args], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None
    head = git("rev-parse", "--short=12", "HEAD")
    if not head:
        return "no commit"
    return head + (" with changes" if git("status", "--porcelain") else "")


class Kernel:
    """The kernel that a command's arguments mean: --kernel-rust, --kernel-c, or the newest 7.3 in the cache."""

    def __init__(self, impl, args):
        self.impl, self.arch = impl, args.arch
        self.slowness = SLOWNESS if args.flavor in SLOW or args.arch != "x86_64" else 1
        given, suffix = getattr(args, f"kernel_{impl}"), "".join(f"-{word}" for word in words(args))
        usual, builds = re.compile(rf"7\.3(?:\.(\d+))?-{impl}{suffix}"), cache() / "build"
        hint = f"give its build folder with --kernel-{impl}" if given else f"run 'make kernel IMPL={impl}" + (
            f" FLAVOR={args.flavor}" if args.flavor != "plain" else "") + (
            f" ARCH={args.arch}" if args.arch != "x86_64" else "") + "' first"
        found = [(int(match[1] or 0), path) for path in builds.glob("*") if (match := usual.fullmatch(path.name))]
        if not given and not found:
            raise BuildError(f"no {impl} kernel 7.3 in {builds}; {hint}")
        self.folder = Path(given or max(found)[1]).resolve()
        if self.folder.name in ("bzImage", "Image"):
            self.folder = self.folder.parents[3]
        self.image, self.vmlinux = self.folder / IMAGES[self.arch], self.folder / "vmlinux"
        for part in (self.image, self.vmlinux, self.folder / ".config", self.folder / "Module.symvers"):
            if not part.exists():
                raise BuildError(f"no {impl} kernel: {part} is missing; {hint}")
        self.config = {key: value.strip('"') for key, value in re.findall(
            r"^(CONFIG_\w+)=(.*)$", (self.folder / ".config").read_text(encoding="utf-8"), re.M)}
        switch = self.config.get("CONFIG_BPF_ASYNC_RUST")
        if (impl == "rust") != (switch == "y"):
            raise BuildError(f"{self.folder} is not the {impl} kernel: CONFIG_BPF_ASYNC_RUST "
                             f"is {switch or 'not set'}; {hint}")
        self.release = (self.folder / "include/config/kernel.release").read_text(encoding="utf-8").strip()
        # kernel.sh writes this file when a build has ended well.
        in_cache = self.folder.parent == builds
        if in_cache and not (self.folder / ".bpf-async-built").exists():
            raise BuildError(f"no {impl} kernel: what was begun in {self.folder} has not been built to its end; {hint}")
        # The source it was built from: kbuild leaves a link to it.
        self.tree = (self.folder / "source").resolve()
        if not (self.tree / "Makefile").is_file():
            raise BuildError(f"{self.tree} is no kernel source; {hint}")
        self.label = self.folder.name if in_cache else f"{self.release}-{impl}{suffix}"
        # Neither from a tree of the user's, nor with other options.
        self.usual = bool(usual.fullmatch(self.folder.name))


def interrupted(*_):
    raise KeyboardInterrupt


def run(main, *errors):
    """The exit status of main(argv); 2 for one of the errors, which say what to do."""
    signal.signal(signal.SIGTERM, interrupted)       # a virtual machine must end with us
    try:
        return main(sys.argv[1:])
    except errors as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error.filename or 'a file'}: {error.strerror}; see to it and run the "
              "same command again", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        if "BPF_ASYNC_OUTER" not in os.environ:      # else the script that called us says it
            print("interrupted: nothing is lost, run the same command again", file=sys.stderr)
        return 130
