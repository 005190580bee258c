#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Runs our KUnit suites, and the doctests of our modules, in one boot, or in
two on a kernel with debug objects (see boots()). On PREEMPT_RT the doctests are
left out: one of the kernel's own takes a spinlock with interrupts disabled.

    kunit.py --kernel FOLDER [--c]

A suite that is missing, empty, failed or skipped is a failure: the suites are
named here and the doctests are counted against the files of the work tree.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from kernels import ROOT, commit, write_json

SUITES = ["rust_irq_work", "rust_llist", "rust_rcu_callback"]
SUITES_RUST = ["rust_hrtimer_raw", "rust_bpf_async", "rust_bpf_async_callback"]
DOCTESTS = "rust_doctests_kernel"

# Every suite is run through debugfs, where its results are then found.
GUEST = r"""
mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug
for suite in $SUITES; do
    dir=/sys/kernel/debug/kunit/$suite
    echo "@suite $suite"
    [ -d "$dir" ] || { echo "@missing"; continue; }
    echo 1 >"$dir/run"
    cat "$dir/results"
done
"""


def parse(text):
    """{suite: [(name, ok, skipped)]}; the suite's own result line is left out."""
    results, suite = {}, None
    for line in text.splitlines():
        if line.startswith("@suite "):
            suite = line.split()[1]
            results[suite] = []
        elif line.startswith("@missing"):
            results[suite] = None
        elif match := re.match(r"\s+(not )?ok \d+ (\S+)( # SKIP.*)?", line):
            results[suite].append((match[2], not match[1], bool(match[3])))
    return results


def doctest_files():
    """Files of ours with an example, by the name that a doctest has for them."""
    for path in sorted((ROOT / "rust" / "kernel").rglob("*.rs")):
        fences = re.findall(r"^\s*//[/!] ```(.*)$", path.read_text(), re.M)
        if "" in fences[::2]:
            relative = path.relative_to(ROOT / "rust" / "kernel")
            yield re.sub(r"\W", "_", str(relative))


def judge(results, suites, files):
    """(passed, list of complaints)"""
    tests, bad = [], []
    for suite in suites:
        found = results.get(suite)
        if not found:
            bad.append(f"{suite}: " + ("no test in it" if found == [] else "not in this kernel"))
        tests += [(f"{suite}.{name}", *how) for name, *how in found or []]
    for file in files:
        ours = [test for test in results.get(DOCTESTS) or [] if test[0].startswith(f"rust_doctest_kernel_{file}_")]
        if not ours:
            bad.append(f"doctests of {file}: none in this kernel")
        tests += ours
    failed = [f"{name}: " + ("skipped" if skipped else "failed") for name, ok, skipped in tests if skipped or not ok]
    return len(tests) - len(failed), bad + failed


def has(build, option):
    config = Path(build) / ".config"
    return config.is_file() and f"{option}=y\n" in config.read_text()


def boots(build, suites):
    """[(suites, words for the kernel's command line)]. The doctests can only be
    run as a whole, and upstream's own one for hrtimers has a timer on the stack,
    which debug objects report: those are off for the doctests."""
    if has(build, "CONFIG_PREEMPT_RT"):
        return [(suites, "")]
    if has(build, "CONFIG_DEBUG_OBJECTS"):
        return [(suites, ""), ([DOCTESTS], "no_debug_objects")]
    return [(suites + [DOCTESTS], "")]


def run(args, suites, words):
    """(exit status of the virtual machine, what the guest wrote)"""
    guest = f"SUITES='{' '.join(suites)}'\n{GUEST}"
    with tempfile.NamedTemporaryFile("w+") as out:
        status = subprocess.run(
            [sys.executable, ROOT / "scripts" / "vm.py", "--kernel", args.kernel,
             "--append", f"kunit.enable=1 {words}".strip(), "--timeout", "600", "--", guest],
            stdout=out, check=False).returncode
        return status, Path(out.name).read_text()


def keep(build, from_commit, passed, failed):
    """For make machines, if the folder's name says which kernel this is, and that neither tree
    nor options are the user's."""
    match = re.fullmatch(r"7\.3(?:\.\d+)?-(rust|c)((?:-(?!extra)[a-z0-9_]+)*)", Path(build).name)
    if match:
        write_json(ROOT / "out" / f"kunit-{match[1]}{match[2]}.json", {
            "passed": passed, "failed": failed, "built": {match[1]: {"repository": from_commit}}})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kernel", required=True, help="the build folder")
    parser.add_argument("--c", action="store_true", help="a kernel with the switch off")
    args = parser.parse_args()

    suites = SUITES + ([] if args.c else SUITES_RUST)
    files = [] if has(args.kernel, "CONFIG_PREEMPT_RT") else list(doctest_files())
    print(f"kunit: {len(suites)} suites and the doctests" if files else
          f"kunit: {len(suites)} suites; doctests: left out, one of the kernel's own takes a spinlock with "
          "interrupts disabled, which PREEMPT_RT reports", file=sys.stderr)
    from_commit = commit()              # before it runs: work may go on meanwhile
    statuses, texts = zip(*(run(args, *boot) for boot in boots(args.kernel, suites)))
    text = "".join(texts)
    passed, bad = judge(parse(text), suites, files)
    bad += [f"the virtual machine ended with status {status}" for status in statuses if status]
    for complaint in bad:
        print(f"kunit: {complaint}", file=sys.stderr)
    if bad:
        sys.stderr.write(text)
    keep(args.kernel, from_commit, passed, len(bad))
    print(f"kunit: {passed} passed, {len(bad)} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
