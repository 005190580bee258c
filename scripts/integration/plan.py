# SPDX-License-Identifier: GPL-2.0
"""What a run would write and remove, computed before anything is touched."""

from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from .anchors import ForeignInsertionError, MismatchError
from .tree import MANIFEST, Manifest, digest, load_manifest

# The folders of this repository that mirror the kernel tree.
MIRRORED = ("Documentation", "include", "kernel", "lib", "rust", "samples")
# What building a module in the repository, or an editor, leaves beside the sources.
PRODUCTS = (".*", "*~", "*.a", "*.bak", "*.cmd", "*.d", "*.ko", "*.mod", "*.mod.c", "*.o",
            "*.order", "*.orig", "*.pyc", "*.rej", "*.symvers")

FRESH = "use a fresh tree, or --from with a pristine one"


class Refused(Exception):
    """The tree does not fit; every problem is one line."""

    def __init__(self, problems):
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass
class Plan:
    contents: dict[str, bytes] = field(default_factory=dict)
    removals: list[str] = field(default_factory=list)
    manifest: Manifest = field(default_factory=Manifest)
    problems: list[str] = field(default_factory=list)

    def put(self, tree, relative, content):
        """Write only what differs: the time stamp of anything else is make's to rely on."""
        if tree.read(relative) != content:
            self.contents[relative] = content

    def finish(self, tree):
        if self.problems:
            raise Refused(self.problems)
        self.put(tree, MANIFEST, self.manifest.dump())
        return self


def sources(repository):
    """The files to copy: path in the kernel tree -> content."""
    repository = Path(repository)
    found = {}
    for folder in MIRRORED:
        for path in sorted((repository / folder).rglob("*")):
            relative = path.relative_to(repository)
            ignored = any(fnmatch(part, p) for part in relative.parts for p in PRODUCTS)
            if path.is_file() and not ignored:
                found[relative.as_posix()] = path.read_bytes()
    return found


def _decode(content):
    return content.decode("utf-8", "surrogateescape")


def _encode(text):
    return text.encode("utf-8", "surrogateescape")


def _changed(spec, tree, how):
    """The new content of one kernel file: (content, problems). `how` is ensure or insert."""
    content = tree.read(spec.path)
    if content is None:
        return None, [f"{spec.path}: no such file in kernel {tree.version}"]
    try:
        return _encode(how(_decode(content))), []
    except MismatchError as error:
        return None, [f"{spec.path}: {mismatch} (kernel {tree.version})"
                      for mismatch in error.mismatches]
    except ForeignInsertionError as error:
        return None, [f"{spec.path}: holds another form of our insertions, {error} "
                      f"(kernel {tree.version}): {FRESH}"]


def _pristine(spec):
    """insert() for a file that must not hold anything of ours."""
    def how(text):
        spec.refuse_traces(text)
        return spec.insert(text)
    return how


def in_place(table, copies, tree):
    """Insert and copy into `tree`, which may hold the same already, but nothing older."""
    plan, old = Plan(), load_manifest(tree)
    for spec in table.files:
        content, problems = _changed(spec, tree, spec.ensure)
        plan.problems += problems
        if problems:
            continue
        plan.put(tree, spec.path, content)
        plan.manifest.changed[spec.path] = digest(content)
    for relative, content in copies.items():
        present = tree.read(relative)
        if present not in (None, content) and old.copied.get(relative) != digest(present):
            plan.problems.append(
                f"{relative}: exists in kernel {tree.version} with other content, and is no "
                f"unchanged copy of ours; it is not overwritten: {FRESH}")
        plan.put(tree, relative, content)
        plan.manifest.copied[relative] = digest(content)
    for relative, was in old.changed.items():
        present = tree.read(relative)
        if relative not in plan.manifest.changed and present and digest(present) == was:
            plan.problems.append(f"{relative}: holds insertions of an earlier run that are "
                                 f"no longer wanted (kernel {tree.version}): {FRESH}")
    for relative, was in old.copied.items():
        present = tree.read(relative)
        if relative in copies or present is None:
            continue
        if digest(present) == was:
            plan.removals.append(relative)
        else:
            plan.problems.append(f"{relative}: was copied by an earlier run, is no longer wanted "
                                 f"and was edited since; it is not removed: {FRESH}")
    for relative in plan.contents:
        path = tree.root / relative
        # Asked of the mode, not of access(): root may write anything, the bit still says no.
        if path.exists() and not path.stat().st_mode & 0o200:
            plan.problems.append(f"{relative}: is read-only: make it writable, or {FRESH}")
    return plan.finish(tree)


def from_pristine(table, copies, pristine, tree):
    """Make `tree`, a copy of `pristine` that earlier runs have worked on, what it has to be now."""
    plan, old = Plan(), load_manifest(tree)
    for spec in table.files:
        content, problems = _changed(spec, pristine, _pristine(spec))
        plan.problems += problems
        if not problems:
            plan.put(tree, spec.path, content)
            plan.manifest.changed[spec.path] = digest(content)
    for relative, content in copies.items():
        if pristine.read(relative) is not None:
            plan.problems.append(f"{relative}: is a file of kernel {pristine.version} itself, and "
                                 f"kernel files are not overwritten: rename ours")
        plan.put(tree, relative, content)
        plan.manifest.copied[relative] = digest(content)
    for relative in sorted({*old.copied, *old.changed}):
        if relative in plan.manifest.changed or relative in copies:
            continue
        original = pristine.read(relative)
        if original is not None:
            plan.put(tree, relative, original)
        elif tree.read(relative) is not None:
            plan.removals.append(relative)
    return plan.finish(tree)
