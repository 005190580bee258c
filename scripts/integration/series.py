# SPDX-License-Identifier: GPL-2.0
"""The mail series: which patch brings which of our files and insertions, and what each leaves.

series/NN-name.txt is one patch. After lines that begin with # come subject, body, a line ---, and
what the patch takes: a file of ours, or a file of the kernel with the anchors whose blocks it
inserts ("rust/kernel/lib.rs: llist; irq_work", or * for all of them).

series/NN-name.diff beside it holds what the patch adds to files that earlier patches take: the
difference from the file without it to the file as it is in this repository, as git diff writes it.
"""

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from .anchors import ForeignInsertionError, MismatchError
from .plan import Refused

NAME = re.compile(r"(\d\d)-[\w-]+\.txt")
LIMIT = 15  # Documentation/process/submitting-patches.rst
SUBJECT_WIDTH, BODY_WIDTH = 70, 75


class SeriesError(Exception):
    """series/ does not fit the repository; every problem is one line."""

    def __init__(self, problems):
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Patch:
    name: str
    subject: str
    body: str
    files: tuple[str, ...]
    anchors: dict[str, tuple[str, ...]]
    diff: Path | None
    extends: tuple[str, ...]  # the files in diff


def uncommented(text):
    """The text without the lines at its beginning that begin with #."""
    return re.sub(r"\A(#.*\n)*\n*", "", text)


def wide_lines(name, subject, body):
    if len(subject) > SUBJECT_WIDTH:
        yield f"{name}: the subject has {len(subject)} characters, more than {SUBJECT_WIDTH}"
    for line in body.split("\n"):
        if len(line) > BODY_WIDTH and "://" not in line:
            yield f'{name}: more than {BODY_WIDTH} characters in "{line}"'


def parse(path):
    name = path.stem
    text = uncommented(path.read_text(encoding="utf-8"))
    message, mark, takes = text.partition("\n---\n")
    subject, _, body = message.partition("\n")
    body = body.strip("\n")
    if not mark or not body or not subject:
        raise SeriesError([f"{name}: needs a subject, a body, a line --- and what it takes"])
    problems = list(wide_lines(name, subject, body))
    files, anchors = [], {}
    for line in filter(None, map(str.strip, takes.split("\n"))):
        file, colon, names = line.partition(":")
        wanted = tuple(n.strip() for n in names.split(";") if n.strip())
        if not colon:
            files.append(line)
        elif not wanted or file in anchors:
            problems.append(f'{name}: "{line}" names no anchor, or its file for the second time')
        else:
            anchors[file] = wanted
    diff = path.with_suffix(".diff")
    extends = ()
    if diff.is_file():
        extends = tuple(re.findall(r"^\+\+\+ b/(.*)$", diff.read_text(encoding="utf-8"), re.M))
    if problems:
        raise SeriesError(problems)
    return Patch(name, subject, body, tuple(files), anchors, diff if extends else None, extends)


def _all_of(table, patch):
    """The patch with * replaced by the names of all anchors of the file."""
    names = {spec.path: tuple(a.name for a in spec.anchors) for spec in table.files}
    return replace(patch, anchors={path: names.get(path, wanted) if wanted == ("*",) else wanted
                                   for path, wanted in patch.anchors.items()})


def parse_all(folder):
    """The patches of a folder, in their order."""
    paths = sorted(p for p in Path(folder).glob("*.txt") if p.name != "cover.txt")
    problems = [f"{p.name}: is not named like 01-word.txt" for p in paths if not NAME.fullmatch(p.name)]
    numbers = [p.name[:2] for p in paths]
    if numbers != [f"{n:02d}" for n in range(1, len(paths) + 1)]:
        problems.append(f"{folder}: the numbers of the patches are not 01, 02 and so on")
    if not 0 < len(paths) <= LIMIT:
        problems.append(f"{folder}: {len(paths)} patches, a series has 1 to {LIMIT}")
    stems = {p.stem for p in paths}
    problems += [f"{p.name}: there is no {p.stem}.txt beside it"
                 for p in sorted(Path(folder).glob("*.diff")) if p.stem not in stems]
    if problems:
        raise SeriesError(problems)
    return [parse(path) for path in paths]


def load(folder, table):
    """The patches of series/, in their order."""
    return [_all_of(table, patch) for patch in parse_all(folder)]


def check(patches, table, copies):
    """Each file of ours and each anchor has to be in exactly one patch, else SeriesError."""
    known = {(c, None) for c in copies}
    known |= {(s.path, a.name) for s in table.files for a in s.anchors}
    taken, problems = {}, []

    def show(thing):
        return thing[0] if thing[1] is None else f'{thing[0]}: anchor "{thing[1]}"'

    for patch in patches:
        things = [(f, None) for f in patch.files]
        things += [(f, a) for f, names in patch.anchors.items() for a in names]
        if not things and not patch.extends:
            problems.append(f"{patch.name}: takes nothing")
        for thing in things:
            if thing not in known:
                problems.append(f"{patch.name}: {show(thing)}: there is none in this repository")
            elif thing in taken:
                problems.append(f"{patch.name}: {show(thing)}: is in {taken[thing]} already")
            else:
                taken[thing] = patch.name
        for file in patch.extends:
            if taken.get((file, None), patch.name) == patch.name:
                problems.append(f"{patch.name}.diff: {file}: no earlier patch takes it")
    problems += [f"{show(thing)}: is in no patch, add it to one in series/"
                 for thing in sorted(known - set(taken), key=str)]
    if problems:
        raise SeriesError(problems)


def _without(patch, contents):
    """`contents` as they were before the patch's diff."""
    with tempfile.TemporaryDirectory(prefix="bpf-async-series-") as folder:
        for relative in patch.extends:
            path = Path(folder, relative)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(contents[relative])
        # In a folder that is no repository, git apply works like patch.
        env = os.environ | {"GIT_CEILING_DIRECTORIES": str(Path(folder).parent), "LC_ALL": "C"}
        for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
            env.pop(name, None)
        run = subprocess.run(["git", "apply", "-R", "-C1", str(patch.diff.resolve())], cwd=folder,
                             env=env, capture_output=True, text=True, check=False)
        if run.returncode:
            raise SeriesError([f"{patch.name}.diff: does not fit our files any longer, renew it: {line}"
                               for line in run.stderr.strip().split("\n")])
        return contents | {r: Path(folder, r).read_bytes() for r in patch.extends}


def versions(patches, copies):
    """For each patch what our files hold after it: a list of {path: content}."""
    contents, found = dict(copies), []
    for patch in reversed(patches):
        found.append(contents)
        if patch.diff:
            contents = _without(patch, contents)
    return found[::-1]


def renew(patches, copies):
    """Write each diff anew, with the context and the line numbers that our files have now."""
    before = versions(patches, copies)
    for patch, old, new in zip(patches, [{}, *before], before):
        if not patch.diff:
            continue
        head = "".join(line for line in patch.diff.read_text(encoding="utf-8").splitlines(True)
                       if line.startswith("#"))
        with tempfile.TemporaryDirectory(prefix="bpf-async-series-") as folder:
            for side, contents in (("a", old), ("b", new)):
                for relative in patch.extends:
                    path = Path(folder, side, relative)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(contents[relative])
            run = subprocess.run(["git", "-c", "core.abbrev=12", "diff", "--no-index", "--no-color",
                                  "--no-ext-diff", "--no-prefix", "a", "b"], cwd=folder,
                                 capture_output=True, text=True, check=False)
        patch.diff.write_text(head + run.stdout, encoding="utf-8")


def states(patches, table, copies, tree):
    """For each patch the files that it changes: a list of {path: content}. `tree` is pristine."""
    versioned = versions(patches, copies)
    specs = {spec.path: spec for spec in table.files}
    ours, inserted, found, problems = set(), {}, [], []
    for patch, contents in zip(patches, versioned):
        ours.update(patch.files)
        changed = {path: contents[path] for path in (*patch.files, *patch.extends)}
        for path, names in patch.anchors.items():
            inserted.setdefault(path, set()).update(names)
            spec = specs[path]
            spec = replace(spec, anchors=tuple(a for a in spec.anchors if a.name in inserted[path]))
            text = tree.read(path)
            if text is None:
                problems.append(f"{path}: no such file in kernel {tree.version}")
                continue
            text = text.decode("utf-8", "surrogateescape")
            try:
                specs[path].refuse_traces(text)
                changed[path] = spec.insert(text).encode("utf-8", "surrogateescape")
            except ForeignInsertionError as error:
                problems.append(f"{path}: holds insertions of ours already, {error}")
            except MismatchError as error:
                problems += [f"{path}: {m} (kernel {tree.version})" for m in error.mismatches]
        problems += [f"{path}: is a file of kernel {tree.version} already"
                     for path in patch.files if tree.read(path) is not None]
        found.append(changed)
    if problems:
        raise Refused(list(dict.fromkeys(problems)))
    return found
