#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Bring this repository into a kernel tree: new files copied, lines inserted at anchors.

Existing kernel files get inserted lines only, where integration/anchors.toml says. Every anchor
must match exactly once; otherwise the tree is left as it was and the exit status is 1.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import sys
from contextlib import ExitStack, suppress
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from integration import anchors
from integration.anchors import InputError, Refused

REPOSITORY = Path(__file__).resolve().parent.parent
# The folders of this repository that mirror the kernel tree.
MIRRORED = ("Documentation", "include", "kernel", "lib", "rust", "samples")
# What building a module in the repository, or an editor, leaves beside the sources.
PRODUCTS = (".*", "*~", "*.a", "*.bak", "*.cmd", "*.d", "*.ko", "*.mod", "*.mod.c", "*.o",
            "*.order", "*.orig", "*.pyc", "*.rej", "*.symvers")
# What a run left in the tree: path -> digest, of copied files and of changed ones.
MANIFEST = ".bpf-async-manifest"
FRESH = "use a fresh tree, or --from with a pristine one"


def version_of(makefile):
    """("7.3.4", (7, 3)), or nothing and nothing, of the text of a kernel's Makefile."""
    values = dict(re.findall(
        r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION)[ \t]*=[ \t]*(\S*)[ \t]*$", makefile, re.M))
    numbers = [values.get(key, "") for key in ("VERSION", "PATCHLEVEL", "SUBLEVEL")]
    if not all(number.isdecimal() for number in numbers):
        return None, None
    return ".".join(numbers) + values.get("EXTRAVERSION", ""), (int(numbers[0]), int(numbers[1]))


class Tree:
    """The kernel tree at `root`, or an InputError: no kernel tree, or a series not in `kernels`."""

    def __init__(self, root, kernels):
        self.root = Path(root)
        supported = " or ".join(f"{major}.{minor}.y" for major, minor in kernels)
        hint = f"give the top folder of an unpacked Linux {supported} source"
        if not self.root.is_dir():
            raise InputError(f"{root}: no such folder: {hint}")
        self.version, series = version_of((self.read("Makefile") or b"").decode(errors="replace"))
        if not self.version or not (self.root / "kernel/bpf").is_dir():
            raise InputError(f"{root}: not a kernel tree (no Makefile with VERSION and PATCHLEVEL, "
                             f"or no kernel/bpf): {hint}")
        if series not in kernels:
            raise InputError(f"{root}: kernel {self.version} is not supported: {hint}")

    def read(self, relative):
        """The content of a file, None when there is none."""
        path = self.root / relative
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def sources():
    """The files to copy: path in the kernel tree -> content."""
    found = {}
    for folder in MIRRORED:
        for path in sorted((REPOSITORY / folder).rglob("*")):
            relative = path.relative_to(REPOSITORY)
            ignored = any(fnmatch(part, p) for part in relative.parts for p in PRODUCTS)
            if path.is_file() and not ignored:
                found[relative.as_posix()] = path.read_bytes()
    return found


def load_manifest(tree):
    content = tree.read(MANIFEST)
    if content is None:
        return {}, {}
    try:
        data = json.loads(content)
        copied, changed = dict(data["copied"]), dict(data["changed"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{tree.root / MANIFEST}: damaged: start from a fresh tree") from error
    # The manifest names files that may be removed: nothing outside the tree may be among them.
    if any(path.startswith("/") or ".." in path.split("/") for path in (*copied, *changed)):
        raise InputError(f"{tree.root / MANIFEST}: names a file outside the tree: "
                         f"start from a fresh tree")
    return copied, changed


def plan(table, copies, tree, pristine=None):
    """What a run would write (path -> content) and remove, computed before anything is touched.

    With `pristine`, `tree` is a copy of it that earlier runs have worked on, and becomes what it
    has to be now. Without, `tree` may hold the same already, or copies of ours that are older.
    """
    def digest(content):
        return hashlib.sha256(content).hexdigest()

    old_copied, old_changed = load_manifest(tree)
    base, kernel = pristine or tree, f"kernel {tree.version}"
    wanted, removals, problems = {}, [], []
    for spec in table.files:
        content = base.read(spec.path)
        if not pristine and spec.has_all(content, base.version):
            wanted[spec.path] = content
        elif trace := spec.find_trace(content):
            problems.append(f"{spec.path}: holds another form of our insertions, {trace} ({kernel}): {FRESH}")
        else:
            try:
                wanted[spec.path] = spec.insert(content, base.version)
            except Refused as error:
                problems += error.args
    changed = {path: digest(content) for path, content in wanted.items()}
    for path, content in copies.items():
        present = base.read(path)
        if pristine and present is not None:
            problems.append(f"{path}: is a file of {kernel} itself, and kernel files are not overwritten: rename ours")
        elif present not in (None, content) and old_copied.get(path) != digest(present):
            problems.append(f"{path}: exists in {kernel} with other content, and is no "
                            f"unchanged copy of ours; it is not overwritten: {FRESH}")
        wanted[path] = content
    for path, was in sorted((old_changed | old_copied).items()):
        present, original = tree.read(path), pristine and pristine.read(path)
        if path in wanted:
            continue
        if original is not None:
            wanted[path] = original
        elif present is None:
            continue
        elif pristine or path in old_copied and digest(present) == was:
            removals.append(path)
        elif path in old_copied:
            problems.append(f"{path}: was copied by an earlier run, is no longer wanted "
                            f"and was edited since; it is not removed: {FRESH}")
        elif digest(present) == was:
            problems.append(f"{path}: holds insertions of an earlier run that are no longer wanted ({kernel}): {FRESH}")
    manifest = {"copied": {path: digest(content) for path, content in copies.items()}, "changed": changed}
    wanted[MANIFEST] = (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode()
    # Only what differs: the time stamp of anything else is make's to rely on.
    wanted = {path: content for path, content in wanted.items() if tree.read(path) != content}
    for path in wanted:
        # Asked of the mode, not of access(): root may write anything, the bit still says no.
        if not pristine and (tree.root / path).exists() and not (tree.root / path).stat().st_mode & 0o200:
            problems.append(f"{path}: is read-only: make it writable, or {FRESH}")
    if problems:
        raise Refused(*problems)
    return wanted, removals


def write(tree, contents, removals):
    """Write `contents` (path -> bytes) and remove `removals`: everything, or nothing on an error.

    All new contents are on disk beside their targets before the first rename, so a full disk or a
    folder that cannot be written is found while the tree is still as it was.
    """
    prepared = []
    try:
        with ExitStack() as undo:
            for relative, content in contents.items():
                target = tree.root / relative
                for folder in reversed([p for p in target.parents if not p.exists()]):
                    folder.mkdir()
                    undo.callback(folder.rmdir)
                new = target.with_name(f"{target.name}.bpf-async-new")
                undo.callback(new.unlink, missing_ok=True)
                new.write_bytes(content)
                if target.exists():
                    shutil.copymode(target, new)
                prepared.append((new, target))
            # Ctrl-C waits until the renames, which take milliseconds, are done.
            handlers = {s: signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, signal.SIGTERM)}
            undo.pop_all()
        for new, target in prepared:
            os.replace(new, target)
        for relative in removals:
            (tree.root / relative).unlink(missing_ok=True)
            with suppress(OSError):  # up to the first folder that is not empty
                for folder in PurePosixPath(relative).parents[:-1]:
                    (tree.root / folder).rmdir()
        for number, handler in handlers.items():
            signal.signal(number, handler)
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be written: {error.strerror}") from error


def run(args):
    table, copies = anchors.load(REPOSITORY / "integration/anchors.toml"), sources()
    if args.list:
        for relative in copies:
            print(f"copy   {relative}")
        for spec in table.files:
            print(f"change {spec.path} ({len(spec.anchors)} insertions)")
        return
    tree, pristine = Tree(args.tree, table.kernels), None
    if args.pristine:
        pristine = Tree(args.pristine, table.kernels)
        if pristine.root.resolve() == tree.root.resolve():
            raise Refused("PRISTINE and TREE are the same folder: give TREE its own copy")
        if pristine.version != tree.version:
            raise Refused(f"{tree.root} is kernel {tree.version}, {pristine.root} is "
                          f"{pristine.version}: copy PRISTINE to a new TREE")
    contents, removals = plan(table, copies, tree, pristine)
    if args.check and pristine:
        if contents or removals:
            raise Refused(f"{tree.root} is not up to date: {len(contents)} files to write, {len(removals)} to remove")
        return
    if args.check:
        for spec in table.files:
            state = f"{len(spec.anchors)} insertions" if spec.path in contents else "has our insertions"
            print(f"{spec.path}: {state} (kernel {tree.version})")
        there = len(copies.keys() - contents.keys())
        print(f"{len(copies)} new files, {there} of them there already (kernel {tree.version})")
        return
    write(tree, contents, removals)
    written = len(contents.keys() - {MANIFEST})
    if written or removals:
        print(f"kernel {tree.version}: {written} files written, {len(removals)} removed")
    else:
        print(f"kernel {tree.version}: nothing to do")


def main(argv=None):
    parser = argparse.ArgumentParser(prog="integrate.py", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("tree", nargs="?", metavar="TREE", help="the kernel tree to change")
    parser.add_argument("--from", dest="pristine", metavar="PRISTINE",
                        help="compute every changed file from this untouched tree; TREE is a copy of "
                             "it, and what earlier runs left there is updated or taken away")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true",
                      help="only say whether TREE can be changed, or has been; with --from, whether it is up to date")
    mode.add_argument("--list", action="store_true", help="list what is copied and changed")
    args = parser.parse_args(argv)
    if (args.tree is None) != args.list or args.list and args.pristine:
        parser.error("give a TREE, or --list alone")
    try:
        run(args)
        return 0
    except Refused as error:
        for problem in (*error.args, "nothing was changed"):
            print(f"integrate.py: {problem}", file=sys.stderr)
    except InputError as error:
        print(f"integrate.py: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("integrate.py: interrupted: nothing was changed", file=sys.stderr)
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
