# SPDX-License-Identifier: GPL-2.0
"""Anchors: where lines of ours go into a kernel file. Bytes in, bytes out; no files but the table.

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
from contextlib import suppress
from dataclasses import dataclass

REFERENCE = re.compile(r"\{([A-Za-z_]\w*)\}")


class InputError(Exception):
    """A table, or what is to be changed, cannot be used at all; str() is the whole message."""


class Refused(Exception):
    """Something does not fit; every argument is one line that says what."""


@dataclass(frozen=True)
class Anchor:
    name: str
    pattern: str
    where: str
    lines: tuple[str, ...]
    function: str | None = None
    through: str | None = None

    def block(self, match):
        """The lines to insert, with {group} replaced by what the pattern captured."""
        return [REFERENCE.sub(lambda ref: match[ref[1]], line) for line in self.lines]

    def hits(self, lines):
        """[(first line, last line, match)] of each place where the anchor matches."""
        begin, end = 0, len(lines)
        if self.function:
            begins = [i for i, line in enumerate(lines) if re.fullmatch(self.function, line)]
            if len(begins) != 1:
                return []
            begin = begins[0]
            end = next((i for i in range(begin, end) if lines[i] == "}"), end)
        found = []
        for first in range(begin, end):
            if match := re.fullmatch(self.pattern, lines[first]):
                last = first
                if self.through is not None:
                    last = next((i for i in range(first + 1, end) if re.fullmatch(self.through, lines[i])), None)
                if last is not None:
                    found.append((first, last, match))
        return found


@dataclass(frozen=True)
class FileSpec:
    path: str
    trace: str | None
    anchors: tuple[Anchor, ...]

    def insert(self, content, version):
        """`content` with all blocks inserted. Refused names every anchor that does not fit."""
        if content is None:
            raise Refused(f"{self.path}: no such file in kernel {version}")
        lines = split(content)
        before, after, instead, bad = {}, {}, {}, []
        for anchor in self.anchors:
            hits = anchor.hits(lines)
            replaced = [i for first, last, _ in hits for i in range(first, last + 1) if anchor.where == "replace"]
            if len(hits) != 1 or any(i in instead for i in replaced):
                where = f" (lines {', '.join(str(first + 1) for first, _, _ in hits)})" if hits else ""
                bad.append(f'{self.path}: anchor "{anchor.name}" matched {len(hits)} times instead of once'
                           f"{where}, pattern: {anchor.pattern} (kernel {version})")
                continue
            [(index, _, match)] = hits
            instead |= {i: [] for i in replaced}
            side = {"after": after, "before": before, "replace": instead}[anchor.where]
            side.setdefault(index, []).extend(anchor.block(match))
        if bad:
            raise Refused(*bad)
        out = []
        for index, line in enumerate(lines):
            out += before.get(index, []) + instead.get(index, [line]) + after.get(index, [])
        return join(out)

    def remove(self, content):
        """`content` without the blocks that stand exactly where insert() puts them."""
        lines = split(content)
        # The block nearest to its line first: blocks that share a line stand behind one another.
        nearest_first = ([a for a in self.anchors if a.where == "after"]
                         + [a for a in reversed(self.anchors) if a.where == "before"])
        for anchor in nearest_first:
            spots = []
            for index, _, match in anchor.hits(lines):
                block = anchor.block(match)
                start = index + 1 if anchor.where == "after" else index - len(block)
                if start >= 0 and lines[start:start + len(block)] == block:
                    spots.append(slice(start, start + len(block)))
            if len(spots) == 1:
                del lines[spots[0]]
        return join(lines)

    def find_trace(self, content):
        """The first line that bears a trace of ours, for a message; None without such a line."""
        return next((f"line {number} ({line.strip()})" for number, line in enumerate(split(content or b""), 1)
                     if self.trace and re.search(self.trace, line)), None)

    def has_all(self, content, version):
        """Whether all blocks are there. The proof is exact: taken out and inserted again, they give the same."""
        bare = self.remove(content or b"")
        with suppress(Refused):
            return bare != content and self.insert(bare, version) == content
        return False


def split(content):
    """The lines; not splitlines(): kernel files contain form feeds."""
    return content.decode("utf-8", "surrogateescape").split("\n")


def join(lines):
    return "\n".join(lines).encode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class Table:
    kernels: tuple[tuple[int, int], ...]
    files: tuple[FileSpec, ...]


def load(path, edits=False):
    """The table of anchors in the TOML file `path`; InputError says what is wrong with it."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        kernels = tuple(tuple(map(int, series.split("."))) for series in ([] if edits else data["kernels"]))
        files = tuple(_file(entry, edits) for entry in data["file"])
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not valid TOML: {error}") from error
    except KeyError as error:
        raise InputError(f"{path}: the key {error} is missing") from error
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    if len({spec.path for spec in files}) != len(files):
        raise InputError(f"{path}: a file is listed twice")
    return Table(kernels, files)


def _file(entry, edits):
    path, trace = entry["path"], None if edits else entry["trace"]
    anchors = tuple(_anchor(path, trace, anchor) for anchor in entry["anchor"])
    if len({a.name for a in anchors}) != len(anchors):
        raise ValueError(f"{path}: two anchors have one name")
    return FileSpec(path, trace, anchors)


def _anchor(path, trace, entry):
    where = f'{path}: anchor "{entry["name"]}"'
    places = ("before", "after") if trace else ("before", "after", "replace")
    if unknown := set(entry) - {"name", "pattern", "where", "lines", *(() if trace else ("function", "through"))}:
        raise ValueError(f"{where}: unknown key {min(unknown)}")
    lines = tuple(entry["lines"].removesuffix("\n").split("\n")) if trace or entry["lines"] else ()
    anchor = Anchor(entry["name"], entry["pattern"], entry["where"], lines, entry.get("function"), entry.get("through"))
    if anchor.where not in places:
        raise ValueError(f"{where}: where must be {' or '.join(places)}")
    if anchor.through is not None and anchor.where != "replace":
        raise ValueError(f'{where}: through needs where = "replace"')
    try:
        groups = re.compile(anchor.pattern).groupindex
        for other in (trace, anchor.function, anchor.through):
            re.compile(other or "")
    except re.error as error:
        raise ValueError(f"{where}: no regular expression: {error}") from error
    if missing := {ref for line in lines for ref in REFERENCE.findall(line)} - set(groups):
        raise ValueError(f"{where}: the pattern captures no {{{min(missing)}}}")
    if trace and not any(re.search(trace, line) for line in lines):
        raise ValueError(f"{where}: no inserted line matches the trace")
    return anchor
