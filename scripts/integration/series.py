# SPDX-License-Identifier: GPL-2.0
"""The mail series: which patch brings which of our files and insertions, and what each leaves.

series/NN-name.txt is one patch. After lines that begin with # come subject, body, a line ---, and
what the patch takes: a file of ours, or a file of the kernel with the anchors whose blocks it
inserts ("rust/kernel/lib.rs: llist; irq_work", or * for all of them).

series/NN-name.diff beside it holds what the patch adds to files that earlier patches take: the
difference from the file without it to the file as it is in this repository, as git diff writes it.

series/NAME/ has the patches of a series of fixes to files of the kernel. What such a patch takes
are the tests in tests/selftests that fail without it and pass with it. NN-name.toml beside it is a
table of edits, see anchors.py. They are made to what the patches before it leave.
"""

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from . import anchors
from .anchors import FileSpec, Refused

LIMIT = 15  # Documentation/process/submitting-patches.rst
SUBJECT_WIDTH, BODY_WIDTH = 70, 75


@dataclass(frozen=True)
class Patch:
    name: str
    subject: str
    body: str
    files: tuple[str, ...]
    anchors: dict[str, tuple[str, ...]]
    diff: Path
    extends: tuple[str, ...]  # the files in diff
    edits: tuple[FileSpec, ...] = ()  # what it does to files of the kernel
    tests: tuple[str, ...] = ()  # of a fix


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
    message, mark, takes = uncommented(path.read_text(encoding="utf-8")).partition("\n---\n")
    subject, _, body = message.partition("\n")
    body = body.strip("\n")
    if not mark or not body or not subject:
        raise Refused(f"{name}: needs a subject, a body, a line --- and what it takes")
    problems = list(wide_lines(name, subject, body))
    files, wanted = [], {}
    for line in filter(None, map(str.strip, takes.split("\n"))):
        file, colon, names = line.partition(":")
        names = tuple(n.strip() for n in names.split(";") if n.strip())
        if not colon:
            files.append(line)
        elif not names or file in wanted:
            problems.append(f'{name}: "{line}" names no anchor, or its file for the second time')
        else:
            wanted[file] = names
    if problems:
        raise Refused(*problems)
    diff = path.with_suffix(".diff")
    text = diff.read_text(encoding="utf-8") if diff.is_file() else ""
    return Patch(name, subject, body, tuple(files), wanted, diff, tuple(re.findall(r"^\+\+\+ b/(.*)$", text, re.M)))


def parse_all(folder):
    """The patches of a folder, in their order."""
    paths = sorted(p for p in folder.glob("*.txt") if p.name != "cover.txt")
    problems = []
    if [p.name[:3] for p in paths] != [f"{n:02d}-" for n in range(1, len(paths) + 1)]:
        problems.append(f"{folder}: the numbers of the patches are not 01, 02 and so on")
    if not 0 < len(paths) <= LIMIT:
        problems.append(f"{folder}: {len(paths)} patches, a series has 1 to {LIMIT}")
    problems += [f"{p.name}: there is no {p.stem}.txt beside it" for p in sorted(folder.iterdir())
                 if p.suffix in (".diff", ".toml") and p.with_suffix(".txt") not in paths]
    if problems:
        raise Refused(*problems)
    return [parse(path) for path in paths]


def load(folder, table, copies):
    """The patches of series/. Each file of ours and each anchor has to be in exactly one, else Refused."""
    all_names = {spec.path: tuple(a.name for a in spec.anchors) for spec in table.files}
    known = {*copies, *(f'{path}: anchor "{name}"' for path, names in all_names.items() for name in names)}
    taken, problems, patches = {}, [], []
    for patch in parse_all(folder):
        things = list(patch.files)
        for path, names in patch.anchors.items():
            names = all_names.get(path, names) if names == ("*",) else names
            things += [f'{path}: anchor "{name}"' for name in names]
        if not things and not patch.extends:
            problems.append(f"{patch.name}: takes nothing")
        for thing in things:
            if thing not in known:
                problems.append(f"{patch.name}: {thing}: there is none in this repository")
            elif thing in taken:
                problems.append(f"{patch.name}: {thing}: is in {taken[thing]} already")
            else:
                taken[thing] = patch.name
        problems += [f"{patch.name}.diff: {file}: no earlier patch takes it" for file in patch.extends
                     if taken.get(file, patch.name) == patch.name]
        # To the kernel's own file, together with the insertions of earlier patches.
        patches.append(replace(patch, edits=tuple(
            replace(spec, anchors=tuple(a for a in spec.anchors if f'{spec.path}: anchor "{a.name}"' in taken))
            for spec in table.files if spec.path in patch.anchors)))
    problems += [f"{thing}: is in no patch, add it to one in series/" for thing in sorted(known - taken.keys())]
    if problems:
        raise Refused(*problems)
    return patches


def load_fixes(folder):
    """The patches of series/NAME/."""
    if not (folder / "cover.txt").is_file():
        known = sorted(p.parent.name for p in folder.parent.glob("*/cover.txt"))
        raise Refused(f"there is no series {folder.name}, but {' '.join(known)}")
    patches = parse_all(folder)
    if problems := [f"{p.name}: names no test, or more than that" for p in patches if p.anchors or not p.files]:
        raise Refused(*problems)
    return [replace(p, files=(), tests=p.files, edits=anchors.load(folder / f"{p.name}.toml", edits=True).files)
            for p in patches]


def git_env():
    """The environment in which git does not look at the caller's settings, and speaks English."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return own | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}


def versions(patches, copies, renew=False):
    """For each patch what our files hold after it: a list of {path: content}.

    With `renew`, each diff is written anew, with the context and line numbers that our files have now.
    """
    contents, found = dict(copies), []
    with tempfile.TemporaryDirectory(prefix="bpf-async-series-") as folder:
        def git(*words):
            return subprocess.run(["git", *words], cwd=folder, env=git_env(), check=False,
                                  capture_output=True, text=True)

        git("init", "-q")
        for patch in reversed(patches):
            found.append(contents)
            if not patch.extends:
                continue
            for relative in patch.extends:
                path = Path(folder, relative)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(contents[relative])
            git("add", "-A", "-f")
            run = git("apply", "-R", "-C1", str(patch.diff.resolve()))
            if run.returncode:
                raise Refused(*(f"{patch.name}.diff: does not fit our files any longer, renew it: {line}"
                                for line in run.stderr.strip().split("\n")))
            contents = contents | {r: Path(folder, r).read_bytes() for r in patch.extends}
            if renew:
                head = re.match(r"(#.*\n)*", patch.diff.read_text(encoding="utf-8"))[0]
                new = git("-c", "core.abbrev=12", "diff", "-R", "--no-color", "--no-ext-diff",
                          "--src-prefix=b/", "--dst-prefix=a/").stdout
                patch.diff.write_text(head + new, encoding="utf-8")
    return found[::-1]


def states(patches, copies, tree):
    """For each patch the files that it changes: a list of {path: content}. `tree` is pristine."""
    edited, found, problems = {}, [], []
    for patch, contents in zip(patches, versions(patches, copies)):
        changed = {path: contents[path] for path in (*patch.files, *patch.extends)}
        problems += [f"{path}: is a file of kernel {tree.version} already"
                     for path in patch.files if tree.read(path) is not None]
        for spec in patch.edits:
            content = tree.read(spec.path)
            if trace := spec.find_trace(content):
                problems.append(f"{spec.path}: holds insertions of ours already, {trace}")
                continue
            try:
                if patch.tests:
                    edited[spec.path] = spec.insert(edited.get(spec.path, content), tree.version)
                else:
                    edited[spec.path] = spec.insert(content, tree.version)
                changed[spec.path] = edited[spec.path]
            except Refused as error:
                problems += [f"{patch.name}: {problem}" if patch.tests else problem for problem in error.args]
        found.append(changed)
    if problems:
        raise Refused(*dict.fromkeys(problems))
    return found
