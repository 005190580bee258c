#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Put into README.md and docs/ what the commands printed, as it was.

A block in README.md between <!-- out/NAME.txt --> and <!-- end of output -->, or
in a document between ".. out/NAME.txt" and ".. end of output", becomes that file,
which make run, make regress, make stats, make test or make bench leaves. The plots that a
document shows as NAME.svg become out/NAME.svg. What is not in out/ stays as it is and is
named. So does what the table of machines has and did not run here, with the commits at which it ran.
"""

import re
import sys

from kernels import ROOT, grid
from machines import TITLES

README = re.compile(r"(?P<begin><!-- (?P<name>out/[\w-]+\.txt) -->\n```\n)(?P<text>.*?)"
                    r"(?P<end>```\n<!-- end of output -->\n)", re.DOTALL)
DOCUMENT = re.compile(r"(?P<begin>\.\. (?P<name>out/[\w-]+\.txt)\n\n::\n\n)(?P<text>.*?)"
                      r"(?P<end>\n\.\. end of output\n)", re.DOTALL)
MACHINES = "out/machines.txt"
PLOT = re.compile(r"^\.\. figure:: (bench-[\w-]+\.svg)$", re.MULTILINE)


def say(text):
    print(f"readme: {text}", file=sys.stderr)


def read(path):
    return path.read_text(encoding="utf-8") if path.is_file() else None


def merged(old, new):
    """The table of machines, in which what did not run here stays."""
    before, rows = ({cells[0]: cells for cells in (re.split("  +", line) for line in table.splitlines() if line)}
                    for table in (old, new))
    for name, was in before.items():
        now = rows.get(name, [name] + ["-"] * (len(was) - 1))
        cells = [there if here == "-" else here for here, there in zip(now[:-1], was)]
        if cells != now[:-1]:
            commits = sorted({*now[-1].split(", "), *was[-1].split(", ")} - {"-"})
            rows[name] = [*cells, ", ".join(commits)]
            say(f"{MACHINES} has not all of {name}: what it lacks stays as it is (make test-all runs it)")
    order = [*rows][:1] + [*TITLES.values()]
    return grid([rows[name] for name in dict.fromkeys([*order, *rows]) if name in rows])


def filled(text, block, indent, root=ROOT):
    """The text with its blocks filled, from files of out/."""
    def fill(match):
        said = read(root / match["name"])
        if said is None:
            say(f"{match['name']} is not there: its block stays as it is")
            return match[0]
        if match["name"] == MACHINES:
            said = merged(match["text"], said)
        lines = [(indent + line).rstrip() for line in said.rstrip().splitlines()]
        return match["begin"] + "\n".join(lines) + "\n" + match["end"]
    return block.sub(fill, text)


def files(root=ROOT):
    """What README.md and the documents become: {path: text}."""
    found = {root / "README.md": filled(read(root / "README.md"), README, "", root)}
    for path in sorted((root / "docs").rglob("*.rst")):
        found[path] = filled(read(path), DOCUMENT, "    ", root)
        for name in PLOT.findall(found[path]):
            found[path.parent / name] = read(root / "out" / name)
            if found[path.parent / name] is None:
                say(f"out/{name} is not there: {name} stays as it is")
    return found


def main():
    changed = {path: text for path, text in files().items() if text not in (None, read(path))}
    for path, text in changed.items():
        path.write_text(text, encoding="utf-8")
    names = ", ".join(str(path.relative_to(ROOT)) for path in changed)
    print("readme: " + (f"changed {names}" if changed else "nothing to do"))


if __name__ == "__main__":
    main()
