#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Runs our KUnit suites, and the doctests of our modules, in one boot, or in
two on a kernel with debug objects (see boots()). On PREEMPT_RT the doctests are
left out: one of the kernel's own takes a spinlock with interrupts disabled.

    kunit.py --kernel FOLDER [--c] [--cpus N] [--append TEXT]

A suite that is missing, empty, failed or skipped is a failure: the suites are
named here and the doctests are counted against the files of the work tree.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

from kernels import ROOT, commit, write_json

SUITES = ["rust_irq_work", "rust_llist", "rust_rcu_callback"]
SUITES_RUST = ["rust_hrtimer_raw", "rust_bpf_async", "rust_bpf_async_callback"]
DOCTESTS = "rust_doctests_kernel"

# Every suite is run through debugfs, where its results are then found, as KTAP.
GUEST = """
mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug
for suite in $SUITES; do
    cd "/sys/kernel/debug/kunit/$suite" || continue
    echo 1 >run
    cat results
done
true
"""


def parse(text):
    """{suite: [("not " or "", name, "# SKIP" or "")]} of the tests in it."""
    _, *parts = re.split(r"^    # Subtest: (\S+)", text, flags=re.M)
    return {suite: re.findall(r"^ +(not )?ok \d+ (\S+) ?(# SKIP)?", body, re.M)
            for suite, body in zip(parts[::2], parts[1::2])}


def doctest_files():
    """Files of ours with an example, by the name that a doctest has for them."""
    folder = ROOT / "rust/kernel"
    for path in sorted(folder.rglob("*.rs")):
        fences = re.findall(r"^\s*//[/!] ```(.*)$", path.read_text(encoding="utf-8"), re.M)
        if "" in fences[::2]:
            yield re.sub(r"\W", "_", str(path.relative_to(folder)))


def judge(results, suites, files):
    """(passed, list of complaints)"""
    tests, bad = [], []
    for suite in suites:
        if not results.get(suite):
            bad.append(f"{suite}: " + ("no test in it" if suite in results else "not in this kernel"))
        tests += [(f"{suite}.{name}", wrong, skipped) for wrong, name, skipped in results.get(suite, [])]
    for file in files:
        ours = [(name, wrong, skipped) for wrong, name, skipped in results.get(DOCTESTS, [])
                if name.startswith(f"rust_doctest_kernel_{file}_")]
        if not ours:
            bad.append(f"doctests of {file}: none in this kernel")
        tests += ours
    failed = [f"{name}: " + ("skipped" if skipped else "failed") for name, wrong, skipped in tests if wrong or skipped]
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
    append = " ".join(["kunit.enable=1", *words.split(), *args.append.split()])
    done = subprocess.run(
        [ROOT / "scripts/vm.py", "--kernel", args.kernel, "--cpus", args.cpus or "2", "--append", append,
         "--timeout", "600", "--", f"SUITES='{' '.join(suites)}'\n{GUEST}"],
        stdout=subprocess.PIPE, text=True, errors="replace", check=False)
    return done.returncode, done.stdout


def keep(args, from_commit, passed, failed):
    """For make machines, if the folder's name says which kernel this is, and that neither tree
    nor options are the user's."""
    match = re.fullmatch(r"7\.3(?:\.\d+)?-(rust|c)((?:-(?!extra)[a-z0-9_]+)*)", Path(args.kernel).name)
    if match:
        words = [match[1] + match[2], *([f"cpus{args.cpus}"] if args.cpus else []), *re.findall(r"\w+", args.append)]
        write_json(ROOT / "out" / f"kunit-{'-'.join(words)}.json", {
            "passed": passed, "failed": failed, "built": {match[1]: {"repository": from_commit}}})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kernel", required=True, help="the build folder")
    parser.add_argument("--c", action="store_true", help="a kernel with the switch off")
    parser.add_argument("--cpus", help="of the virtual machine (default: 2)")
    parser.add_argument("--append", default="", metavar="TEXT", help="more of the kernel's command line")
    args = parser.parse_args()

    suites = SUITES + ([] if args.c else SUITES_RUST)
    files = [] if has(args.kernel, "CONFIG_PREEMPT_RT") else list(doctest_files())
    print(f"kunit: {len(suites)} suites and the doctests" if files else
          f"kunit: {len(suites)} suites; doctests: left out, one of the kernel's own takes a spinlock with "
          "interrupts disabled, which PREEMPT_RT reports", file=sys.stderr)
    from_commit = commit()              # before it runs: work may go on meanwhile
    statuses, texts = zip(*(run(args, *boot) for boot in boots(args.kernel, suites)))
    passed, bad = judge(parse("".join(texts)), suites, files)
    bad += [f"the virtual machine ended with status {status}" for status in statuses if status]
    for complaint in bad:
        print(f"kunit: {complaint}", file=sys.stderr)
    if bad:
        sys.stderr.write("".join(texts))
    keep(args, from_commit, passed, len(bad))
    print(f"kunit: {passed} passed, {len(bad)} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
