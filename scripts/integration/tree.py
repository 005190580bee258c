# SPDX-License-Identifier: GPL-2.0
"""A kernel tree on disk: which version it is, what an earlier run left there, and safe writing."""

import hashlib
import json
import os
import re
import signal
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

MANIFEST = ".bpf-async-manifest"
TEMPORARY = ".bpf-async-new"


class TreeError(Exception):
    """Something about a tree that stops the run; str() is the whole message."""


@dataclass(frozen=True)
class Tree:
    root: Path
    version: str
    series: tuple[int, int]

    def read(self, relative):
        """The content of a file, None when there is none."""
        path = self.root / relative
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise TreeError(f"{path}: cannot be read: {error.strerror}") from error


def version_of(makefile):
    """("7.3.4", (7, 3)), or nothing and nothing, of the text of a kernel's Makefile."""
    values = dict(re.findall(
        r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION)[ \t]*=[ \t]*(\S*)[ \t]*$", makefile, re.M))
    numbers = [values.get(key, "") for key in ("VERSION", "PATCHLEVEL", "SUBLEVEL")]
    if not all(number.isdecimal() for number in numbers):
        return None, None
    return ".".join(numbers) + values.get("EXTRAVERSION", ""), (int(numbers[0]), int(numbers[1]))


def open_tree(root, kernels):
    """The kernel tree at `root`, or a TreeError: no kernel tree, or a series not in `kernels`."""
    root = Path(root)
    supported = " or ".join(f"{major}.{minor}.y" for major, minor in kernels)
    hint = f"give the top folder of an unpacked Linux {supported} source"
    if not root.is_dir():
        raise TreeError(f"{root}: no such folder: {hint}")
    try:
        makefile = (root / "Makefile").read_text(encoding="utf-8", errors="replace")
    except OSError:
        makefile = ""
    version, series = version_of(makefile)
    if not version or not (root / "kernel/bpf").is_dir():
        raise TreeError(f"{root}: not a kernel tree (no Makefile with VERSION and PATCHLEVEL, "
                        f"or no kernel/bpf): {hint}")
    if series not in kernels:
        raise TreeError(f"{root}: kernel {version} is not supported: {hint}")
    return Tree(root, version, series)


def digest(content):
    return hashlib.sha256(content).hexdigest()


@dataclass
class Manifest:
    """What a run left in the tree: path -> digest, of copied files and of changed ones."""

    copied: dict[str, str] = field(default_factory=dict)
    changed: dict[str, str] = field(default_factory=dict)

    def dump(self):
        data = {"copied": self.copied, "changed": self.changed}
        return (json.dumps(data, indent=1, sort_keys=True) + "\n").encode()


def load_manifest(tree):
    content = tree.read(MANIFEST)
    if content is None:
        return Manifest()
    try:
        data = json.loads(content)
        manifest = Manifest(dict(data["copied"]), dict(data["changed"]))
        paths = [PurePosixPath(p) for p in (*manifest.copied, *manifest.changed)]
    except (ValueError, KeyError, TypeError) as error:
        raise TreeError(f"{tree.root / MANIFEST}: damaged: start from a fresh tree") from error
    # The manifest names files that may be removed: nothing outside the tree may be among them.
    if any(path.is_absolute() or ".." in path.parts for path in paths):
        raise TreeError(f"{tree.root / MANIFEST}: names a file outside the tree: "
                        f"start from a fresh tree")
    return manifest


@contextmanager
def _uninterrupted():
    """Ctrl-C waits until the renames, which take milliseconds, are done."""
    old = {s: signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def write(tree, contents, removals):
    """Write `contents` (path -> bytes) and remove `removals`: everything, or nothing on an error.

    All new contents are on disk beside their targets before the first rename, so a full disk or a
    folder that cannot be written is found while the tree is still as it was.
    """
    prepared, folders = [], []
    try:
        for relative, content in contents.items():
            target = tree.root / relative
            missing = [p for p in target.parents if not p.exists()]
            folders += reversed(missing)
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f"{target.name}{TEMPORARY}")
            prepared.append((temporary, target))
            temporary.write_bytes(content)
            if target.exists():
                temporary.chmod(target.stat().st_mode & 0o7777)
        with _uninterrupted():
            for temporary, target in prepared:
                os.replace(temporary, target)
            for relative in removals:
                _remove(tree.root, relative)
    except BaseException as error:
        for temporary, _ in prepared:
            temporary.unlink(missing_ok=True)
        for folder in reversed(folders):
            _rmdir(folder)
        if isinstance(error, OSError):
            raise TreeError(f"{error.filename}: cannot be written: {error.strerror}") from error
        raise


def _remove(root, relative):
    (root / relative).unlink(missing_ok=True)
    for folder in PurePosixPath(relative).parents[:-1]:
        if not _rmdir(root / folder):
            break


def _rmdir(folder):
    """Remove a folder when it is empty."""
    try:
        folder.rmdir()
    except OSError:
        return False
    return True
