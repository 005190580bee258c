#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""One table of what ran on which machine, kernel and flavor, and what it gave, C
beside Rust, from what make run, make regress, make kunit and make test-all left in
out/*.json. Also in out/machines.txt, from where make readme takes it.

A cell is passed/run: what a machine is too small for, or has no device for, is
not run. Tests of ours that fail on C find the bugs that the README lists; a limit
that both kernels have counts as shown, not as passed. What failed at first and passed
when it was run again is said. The last column has the commits at which it ran, with a +
where the work tree differed.
"""

import json
import re
import sys

from kernels import ROOT, grid
from selftests.table import NOT_RUN

KINDS = ("selftests", "regress", "kunit")
NAME = re.compile(rf"({'|'.join(KINDS)})((?:-[a-z0-9_]+)*)\.json")
TITLES = {
    "": "x86-64", "debug": "x86-64, debug (KASAN, lockdep ...)", "kcsan": "x86-64, KCSAN",
    "rt": "x86-64, PREEMPT_RT", "cfi": "x86-64, CFI", "cfi-cfi-kcfi": "x86-64, CFI, cfi=kcfi", "up": "x86-64, SMP=n",
    "cpus1": "x86-64, one CPU", "cpus1-nolapic": "x86-64, one CPU, no irq_work interrupt",
    "arm64": "arm64",
}

def cell(data, impl):
    """What the tests that one kernel ran gave."""
    ran = [test[impl] for test in data["tests"].values() if impl in test and test[impl]["status"] not in NOT_RUN]
    found = [result["status"] for result in ran]
    known, again = found.count("known"), sum("failed before" in result for result in ran)
    return f"{found.count('pass')}/{len(found) - known}" + (f", {known} known" if known else "") + (
        f", {again} again" if again else "") if ran else "-"


def collect(files):
    """{machine: {column: text}}; files: [(name, data)], of which a later one replaces."""
    rows = {}
    for name, data in files:
        match = NAME.fullmatch(name)
        words = match[2][1:].split("-") if match and match[2] else []
        if not match or "only" in words or match[1] != "kunit" and "tests" not in data:     # of an earlier form
            continue
        impls = [word for word in words if word in ("rust", "c")] or ["c", "rust"]
        row = rows.setdefault("-".join(word for word in words if word not in ("rust", "c")), {})
        commits = row.setdefault("commits", {})
        for impl in impls:
            built = data.get("built", {}).get(impl, {}).get("repository", "unknown")
            commits[match[1], impl] = built[:7] + ("+" if " " in built else "")
            if match[1] == "kunit":
                row["kunit", impl] = f"{data['passed']}/{data['passed'] + data['failed']}"
            else:
                row[match[1], impl] = cell(data, impl)
    return rows


def render(rows):
    columns = [("selftests", "c"), ("selftests", "rust"), ("regress", "c"), ("regress", "rust"), ("kunit", "rust")]
    lines = [["machine", "selftests: C", "Rust", "ours: C", "Rust", "KUnit", "commit"]]
    order = [*(key for key in TITLES if key in rows), *sorted(key for key in rows if key not in TITLES)]
    lines += [[TITLES.get(key, key), *(rows[key].get(column, "-") for column in columns),
               ", ".join(sorted(set(rows[key].get("commits", {}).values()))) or "-"] for key in order]
    return grid(lines)


def main():
    paths = [path for path in (ROOT / "out").glob("*.json") if NAME.fullmatch(path.name)]
    paths.sort(key=lambda path: path.stat().st_mtime)
    if not paths:
        print("machines: nothing was run; run 'make run', 'make regress IMPL=both' or 'make test-all' first",
              file=sys.stderr)
        return 2
    text = render(collect([(path.name, json.loads(path.read_text(encoding="utf-8"))) for path in paths]))
    (ROOT / "out/machines.txt").write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
