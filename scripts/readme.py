#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Put into README.md what the commands printed, as it was.

Each block between <!-- out/NAME.txt --> and <!-- end of output --> becomes that
file, which make run, make regress and make test leave; a block whose file is
not there stays as it is and is named.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"(<!-- (out/[\w-]+\.txt) -->\n```\n).*?(```\n<!-- end of output -->\n)", re.DOTALL)


def filled(text, read, say):
    def fill(match):
        said = read(match[2])
        if said is None:
            say(f"{match[2]} is not there: its block stays as it is")
            return match[0]
        return match[1] + said.rstrip() + "\n" + match[3]
    return BLOCK.sub(fill, text)


def main():
    def read(name):
        path = ROOT / name
        return path.read_text(encoding="utf-8") if path.is_file() else None

    readme = ROOT / "README.md"
    old = readme.read_text(encoding="utf-8")
    new = filled(old, read, lambda text: print(f"readme: {text}", file=sys.stderr))
    if new != old:
        part = readme.with_name("README.md.new")
        part.write_text(new, encoding="utf-8")
        part.replace(readme)
    print("readme: " + ("changed" if new != old else "nothing to do"))


if __name__ == "__main__":
    main()
