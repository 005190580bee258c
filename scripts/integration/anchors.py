# SPDX-License-Identifier: GPL-2.0
"""Anchors: where lines of ours go into a kernel file. Text in, text out; no files but the table.

A file is changed by inserted lines only. An anchor is a regular expression that must match exactly
one whole line; its block goes right before or right after that line. Every block holds a line that
matches the file's `trace`, an expression that no line of the kernel's own file matches: this is how
insertions of ours are recognised later, whatever their form.

A table of edits (load(path, edits=True)) may also replace the line by its block, or delete it with
an empty one. It needs no trace: its edits are not looked for later. An anchor with `function`
matches exactly one line between the one line of that pattern and the next line that is "}". With
`through` it replaces all lines up to the next one of that pattern, in that function too.
"""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

REFERENCE = re.compile(r"\{([A-Za-z_]\w*)\}")


class TableError(Exception):
    """The table of anchors itself is wrong."""


@dataclass(frozen=True)
class Anchor:
    name: str
    pattern: re.Pattern
    where: str
    lines: tuple[str, ...]
    function: re.Pattern | None = None
    through: re.Pattern | None = None

    def block(self, match):
        """The lines to insert, with {group} replaced by what the pattern captured."""
        return [REFERENCE.sub(lambda ref: match[ref[1]], line) for line in self.lines]

    def hits(self, lines):
        first, end = self.scope(lines)
        return [(i, m) for i in range(first, end) if (m := self.pattern.fullmatch(lines[i]))]

    def last(self, lines, index):
        """The last line to replace, when `index` is the first; None without such a line."""
        if not self.through:
            return index
        end = self.scope(lines)[1]
        return next((i for i in range(index + 1, end) if self.through.fullmatch(lines[i])), None)

    def scope(self, lines):
        first, end = 0, len(lines)
        if self.function:
            begins = [i for i, line in enumerate(lines) if self.function.fullmatch(line)]
            if len(begins) != 1:
                return 0, 0
            first = begins[0]
            end = next((i for i in range(first, end) if lines[i] == "}"), end)
        return first, end


@dataclass(frozen=True)
class Mismatch:
    """An anchor that did not match exactly once."""

    anchor: Anchor
    found: tuple[int, ...]  # line numbers

    def __str__(self):
        where = f" (lines {', '.join(map(str, self.found))})" if self.found else ""
        return (f'anchor "{self.anchor.name}" matched {len(self.found)} times instead of once'
                f"{where}, pattern: {self.anchor.pattern.pattern}")


class MismatchError(Exception):
    def __init__(self, mismatches):
        super().__init__("; ".join(map(str, mismatches)))
        self.mismatches = mismatches


class ForeignInsertionError(Exception):
    """The file holds insertions of ours, but not exactly those that the table gives."""

    def __init__(self, number, line):
        super().__init__(f"line {number} ({line.strip()})")


@dataclass(frozen=True)
class FileSpec:
    path: str
    trace: re.Pattern
    anchors: tuple[Anchor, ...]

    def insert(self, text):
        """`text` with all blocks inserted. MismatchError names every anchor that does not fit."""
        lines = text.split("\n")  # not splitlines(): kernel files contain form feeds
        after, before, instead, bad = {}, {}, {}, []
        for anchor in self.anchors:
            hits = anchor.hits(lines)
            if len(hits) != 1:
                bad.append(Mismatch(anchor, tuple(i + 1 for i, _ in hits)))
                continue
            index, match = hits[0]
            if anchor.where == "replace":
                last = anchor.last(lines, index)
                if last is None or any(i in instead for i in range(index, last + 1)):
                    bad.append(Mismatch(anchor, (index + 1,)))
                    continue
                instead |= {i: [] for i in range(index, last + 1)}
            side = {"after": after, "before": before, "replace": instead}[anchor.where]
            side.setdefault(index, []).extend(anchor.block(match))
        if bad:
            raise MismatchError(bad)
        out = []
        for index, line in enumerate(lines):
            out += before.get(index, []) + instead.get(index, [line]) + after.get(index, [])
        return "\n".join(out)

    def remove(self, text):
        """`text` without the blocks that stand exactly where insert() puts them."""
        lines = text.split("\n")
        # The block nearest to its line first: blocks that share a line stand behind one another.
        nearest_first = ([a for a in self.anchors if a.where == "after"]
                         + [a for a in reversed(self.anchors) if a.where == "before"])
        for anchor in nearest_first:
            spots = []
            for index, match in anchor.hits(lines):
                block = anchor.block(match)
                start = index + 1 if anchor.where == "after" else index - len(block)
                if start >= 0 and lines[start:start + len(block)] == block:
                    spots.append((start, start + len(block)))
            if len(spots) == 1:
                del lines[slice(*spots[0])]
        return "\n".join(lines)

    def refuse_traces(self, text):
        for number, line in enumerate(text.split("\n"), 1):
            if self.trace.search(line):
                raise ForeignInsertionError(number, line)

    def ensure(self, text):
        """`text` with the blocks: as it is when it has them already, else inserted.

        The proof of "already" is exact: taking our blocks out and inserting them again gives the
        same text. Whatever else bears a trace of ours is refused, never patched over.
        """
        bare = self.remove(text)
        if bare != text:
            try:
                if self.insert(bare) == text:
                    return text
            except MismatchError:
                pass
        self.refuse_traces(text)
        return self.insert(text)


@dataclass(frozen=True)
class Table:
    kernels: tuple[tuple[int, int], ...]
    files: tuple[FileSpec, ...]


def load(path, edits=False):
    """The table of anchors in the TOML file `path`; TableError says what is wrong with it."""
    path = Path(path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        kernels = tuple(tuple(map(int, series.split("."))) for series in ([] if edits else data["kernels"]))
        specs = tuple(_file(entry, edits) for entry in data["file"])
    except OSError as error:
        raise TableError(f"{path}: cannot be read: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise TableError(f"{path}: not valid TOML: {error}") from error
    except KeyError as error:
        raise TableError(f"{path}: the key {error} is missing") from error
    except ValueError as error:
        raise TableError(f"{path}: {error}") from error
    paths = [spec.path for spec in specs]
    if len(set(paths)) != len(paths):
        raise TableError(f"{path}: a file is listed twice")
    return Table(kernels, specs)


def _file(entry, edits):
    path = entry["path"]
    trace = None if edits else _regex(entry["trace"], f"{path}: trace")
    if path.startswith("/") or ".." in Path(path).parts:
        raise ValueError(f"{path}: must be a path inside the kernel tree")
    anchors = tuple(_anchor(path, trace, anchor) for anchor in entry["anchor"])
    if len({a.name for a in anchors}) != len(anchors):
        raise ValueError(f"{path}: two anchors have one name")
    return FileSpec(path, trace, anchors)


def _regex(text, where):
    try:
        return re.compile(text)
    except re.error as error:
        raise ValueError(f"{where}: no regular expression: {error}") from error


def _anchor(path, trace, entry):
    name = entry["name"]
    unknown = set(entry) - {"name", "pattern", "where", "lines", *(() if trace else ("function", "through"))}
    if unknown:
        raise ValueError(f'{path}: anchor "{name}": unknown key {min(unknown)}')
    pattern = _regex(entry["pattern"], f'{path}: anchor "{name}"')
    lines = tuple(entry["lines"].removesuffix("\n").split("\n")) if trace or entry["lines"] else ()
    places = ("before", "after") if trace else ("before", "after", "replace")
    if entry["where"] not in places:
        raise ValueError(f'{path}: anchor "{name}": where must be {" or ".join(places)}')
    missing = {ref for line in lines for ref in REFERENCE.findall(line)} - set(pattern.groupindex)
    if missing:
        raise ValueError(f'{path}: anchor "{name}": the pattern captures no {{{min(missing)}}}')
    if trace and not any(trace.search(line) for line in lines):
        raise ValueError(f'{path}: anchor "{name}": no inserted line matches the trace')
    function, through = (_regex(entry[key], f'{path}: anchor "{name}"') if key in entry else None
                         for key in ("function", "through"))
    if through and entry["where"] != "replace":
        raise ValueError(f'{path}: anchor "{name}": through needs where = "replace"')
    return Anchor(name, pattern, entry["where"], lines, function, through)
