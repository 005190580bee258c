#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""One table of what ran on which machine, kernel and flavor, and what it gave, C
beside Rust, from what make run, make regress, make kunit and make test-all left in
out/*.json. Also in out/machines.txt, from where make readme takes it.

A cell is passed/run: what a machine is too small for, or has no device for, is
not run. Tests of ours that fail on C find the bugs that the README lists; a limit
that both kernels have counts as shown, not as passed. What failed at first and passed
when it was run again is said. The last column has the commits of the kernel code that
ran: the last ones that changed it, with a + where the work tree differed.
"""

import json
import re
import subprocess
import sys

from kernels import ROOT, grid
from selftests.table import NOT_RUN

NAME = re.compile(r"(selftests|regress|kunit)((?:-[a-z0-9_]+)*)\.json")
COLUMNS = {("selftests", "c"): "selftests: C", ("selftests", "rust"): "Rust", ("regress", "c"): "ours: C",
           ("regress", "rust"): "Rust", ("kunit", "rust"): "KUnit", "commits": "commit"}
TITLES = {
    "": "x86-64", "debug": "x86-64, debug (KASAN, lockdep ...)", "kcsan": "x86-64, KCSAN",
    "rt": "x86-64, PREEMPT_RT", "cfi": "x86-64, CFI", "cfi-cfi-kcfi": "x86-64, CFI, cfi=kcfi", "up": "x86-64, SMP=n",
    "cpus1": "x86-64, one CPU", "cpus1-nolapic": "x86-64, one CPU, no irq_work interrupt",
    "arm64": "arm64",
}


def cell(data, impl):
    """What the tests that one kernel ran gave."""
    if "passed" in data:        # of KUnit
        return f"{data['passed']}/{data['passed'] + data['failed']}"
    ran = [test[impl] for test in data["tests"].values() if impl in test and test[impl]["status"] not in NOT_RUN]
    found = [result["status"] for result in ran]
    known, again = found.count("known"), sum("failed before" in result for result in ran)
    return f"{found.count('pass')}/{len(found) - known}" + (f", {known} known" if known else "") + (
        f", {again} again" if again else "") if ran else "-"


def code_of(commit):
    """The last commit, up to this one, that changed what a kernel is made from."""
    log = subprocess.run(["git", "-C", str(ROOT), "log", "-1", "--format=%h", "--abbrev=7", commit, "--", "rust",
                          "kernel", "include", "samples", "config", ":!config/matrix", "integration/anchors.toml"],
                         capture_output=True, text=True, check=False)
    return log.stdout.strip() or commit


def collect(files):
    """{machine: {column: text}}; files: [(name, data)], of which a later one replaces."""
    rows = {}
    for name, data in files:
        kind, words = NAME.fullmatch(name).groups()
        words = words.split("-")[1:]
        if "only" in words or not data.keys() & {"tests", "passed"}:    # of an earlier form
            continue
        row = rows.setdefault("-".join(word for word in words if word not in ("rust", "c")), {"commits": {}})
        for impl in {"rust", "c"} & {*words} or {"rust", "c"}:
            built = data.get("built", {}).get(impl, {}).get("repository", "unknown")
            row["commits"][kind, impl] = code_of(built[:7]) + ("+" if " " in built else "")
            row[kind, impl] = cell(data, impl)
    for row in rows.values():
        row["commits"] = ", ".join(sorted(set(row["commits"].values())))
    return rows


def render(rows):
    order = [*(key for key in TITLES if key in rows), *sorted(rows.keys() - TITLES.keys())]
    return grid([["machine", *COLUMNS.values()],
                 *([TITLES.get(key, key), *(rows[key].get(column, "-") for column in COLUMNS)] for key in order)])


def main():
    paths = sorted((path for path in (ROOT / "out").glob("*.json") if NAME.fullmatch(path.name)),
                   key=lambda path: path.stat().st_mtime)
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
