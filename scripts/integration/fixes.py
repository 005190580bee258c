# SPDX-License-Identifier: GPL-2.0
"""A series of fixes to files of the kernel: series/NAME/.

NN-name.txt is one patch: subject, body, a line ---, and the tests in tests/selftests that fail
without it and pass with it, one in each line. NN-name.toml beside it is a table of edits, see anchors.py. They
are made to what the patches before it leave.
"""

from pathlib import Path

from . import anchors
from .anchors import MismatchError
from .plan import Refused
from .series import SeriesError, parse_all


def load(folder):
    """[(patch, table of its edits)]. The tests are in `patch.files`."""
    folder = Path(folder)
    if not (folder / "cover.txt").is_file():
        known = sorted(p.parent.name for p in folder.parent.glob("*/cover.txt"))
        raise SeriesError([f"there is no series {folder.name}, but {' '.join(known)}"])
    patches = parse_all(folder)
    problems = [f"{p.name}: names no test, or more than that" for p in patches if p.anchors or not p.files]
    stems = {p.name for p in patches}
    problems += [f"{p.name}: there is no {p.stem}.txt beside it" for p in sorted(folder.glob("*.toml"))
                 if p.stem not in stems]
    if problems:
        raise SeriesError(problems)
    return [(patch, anchors.load(folder / f"{patch.name}.toml", edits=True)) for patch in patches]


def states(fixes, tree):
    """For each patch the files that it changes: a list of {path: content}."""
    contents, found, problems = {}, [], []
    for patch, table in fixes:
        changed = {}
        for spec in table.files:
            old = contents.get(spec.path, tree.read(spec.path))
            if old is None:
                problems.append(f"{patch.name}: {spec.path}: no such file in kernel {tree.version}")
                continue
            try:
                new = spec.insert(old.decode("utf-8", "surrogateescape"))
                changed[spec.path] = new.encode("utf-8", "surrogateescape")
            except MismatchError as error:
                problems += [f"{patch.name}: {spec.path}: {m} (kernel {tree.version})" for m in error.mismatches]
        contents |= changed
        found.append(changed)
    if problems:
        raise Refused(problems)
    return found
