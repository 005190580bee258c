#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Put into README.md and docs/ what the commands printed, as it was.

A block in README.md between <!-- out/NAME.txt --> and <!-- end of output -->, or
in a document between ".. out/NAME.txt" and ".. end of output", becomes that file,
which make run, make regress, make stats, make test or make bench leaves. The plots that a
document shows as NAME.svg become out/NAME.svg. What is not in out/
stays as it is and is named, and so does the table of machines if one that it has did not run here.
"""

import re
import sys

from kernels import ROOT

README = re.compile(r"(?P<begin><!-- (?P<name>out/[\w-]+\.txt) -->\n```\n)(?P<text>.*?)"
                    r"(?P<end>```\n<!-- end of output -->\n)", re.DOTALL)
DOCUMENT = re.compile(r"(?P<begin>\.\. (?P<name>out/[\w-]+\.txt)\n\n::\n\n)(?P<text>.*?)"
                      r"(?P<end>\n\.\. end of output\n)", re.DOTALL)
MACHINES = "out/machines.txt"
PLOT = re.compile(r"^\.\. figure:: (bench-[\w-]+\.svg)$", re.MULTILINE)


def rows(table):
    """The first column of a table whose columns are two spaces apart."""
    return [line.split("  ")[0] for line in table.splitlines() if line]


def filled(text, block, indent, read, say):
    """The text with its blocks filled; read() gives a file of out/, or None."""
    def fill(match):
        said = read(match["name"])
        if said is None:
            say(f"{match['name']} is not there: its block stays as it is")
            return match[0]
        lost = match["name"] == MACHINES and [row for row in rows(match["text"]) if row not in rows(said)]
        if lost:
            say(f"{MACHINES} has nothing of {'; '.join(lost)}: its block stays as it is (make test-all runs them)")
            return match[0]
        lines = [(indent + line).rstrip() for line in said.rstrip().splitlines()]
        return match["begin"] + "\n".join(lines) + "\n" + match["end"]
    return block.sub(fill, text)


def plots(text):
    """What the document shows: (its name there, its name in out/)."""
    return [(name, f"out/{name}") for name in PLOT.findall(text)]


def main():
    changed = []

    def say(text):
        print(f"readme: {text}", file=sys.stderr)

    def read(name):
        path = ROOT / name
        return path.read_text(encoding="utf-8") if path.is_file() else None

    def write(path, text):
        if read(path) != text:
            part = ROOT / f"{path}.new"
            part.write_text(text, encoding="utf-8")
            part.replace(ROOT / path)
            changed.append(path)

    write("README.md", filled(read("README.md"), README, "", read, say))
    for path in sorted((ROOT / "docs").rglob("*.rst")):
        text = path.read_text(encoding="utf-8")
        write(str(path.relative_to(ROOT)), filled(text, DOCUMENT, "    ", read, say))
        for name, source in plots(text):
            plot = read(source)
            if plot is None:
                say(f"{source} is not there: {name} stays as it is")
            else:
                write(str((path.parent / name).relative_to(ROOT)), plot)
    print("readme: " + (f"changed {', '.join(changed)}" if changed else "nothing to do"))


if __name__ == "__main__":
    main()
