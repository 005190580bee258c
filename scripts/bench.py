#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Measure bpf_timer and bpf_wq on the C kernel and on the Rust kernel, side by
side, with what is in tests/bench:

counts      the instructions of every operation. QEMU counts: under -icount
            shift=0 one instruction of the guest is one tick of its time stamp
            counter. So the numbers are exact, and the same in every boot; each
            kernel is booted twice and a number that differs is an error.
            Numbers with a ~ have other things of the kernel's in them, and may
            differ a little.
trace       what is executed in an operation: locked instructions, shared cache
            lines written, allocations, and how many instructions in which
            function (these are in out/bench.json only).
memory      bytes of a timer, a work item, a deferred operation, and of the
            implementation.
scale       instructions and bytes for each of 1000 to a million timers in one
            hash map. It is an error when Rust grows and C does not.
load        throughput of several CPUs, and how late callbacks are; in time,
            not in instructions, with its noise.

Everything is also in out/bench.json, with plots (bench-*.svg) and what was
printed (bench.txt) beside it; the file before it goes to out/bench-history/.
When not everything was measured, the file's name says so
(out/bench-rust-only.json).

--check counts on the Rust kernel once, and compares with a committed baseline.
--diff measures nothing: it names what changed between two files of results.

The exit status is 0 when everything was measured, whatever came out, 1 on one
of the errors above (with --check: on a regression), 2 when something could not
be measured, and with --check 4 when it could not be decided.
"""

import argparse
import os
import re
import sys
import time
from pathlib import Path

import kernels
from bench import compare, parts, plots
from bench.kernel import BenchKernel, say
from bench.trace import trace
from kernels import ROOT, BuildError

BASELINE = ROOT / "tests/bench/baseline.json"
OPERATIONS = ROOT / "tests/bench/ops.h"
# In the order of the report.
PARTS = {"counts": parts.counts, "trace": trace, "memory": parts.memory, "scale": parts.scale, "load": parts.load}


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--impl", choices=("rust", "c", "both"), default="both")
    parser.add_argument("--arch", choices=(*kernels.IMAGES,), default="x86_64", help="its machine (default: x86_64)")
    parser.add_argument("--only", action="append", default=[], metavar="NAME",
                        help=f"one of {', '.join(PARTS)}, or operations that begin with this; may be repeated")
    parser.add_argument("--kernel-c", metavar="DIR", help="build folder of the C kernel")
    parser.add_argument("--kernel-rust", metavar="DIR", help="build folder of the Rust kernel")
    parser.add_argument("--dry-run", action="store_true", help="look at the arguments, no more")
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--check", action="store_true", help="compare the counts with the baseline")
    one.add_argument("--renew", action="store_true", help="make the counts the new baseline")
    one.add_argument("--diff", nargs="*", type=Path, metavar="FILE",
                     help="name what changed between these two files, or between the last two")
    args = parser.parse_args(argv)
    args.flavor = "plain"       # other kernels' instructions are not what counts
    if args.diff and len(args.diff) != 2:
        parser.error("--diff takes two files, the earlier one first, or none")
    if (args.check or args.renew) and (args.impl != "rust" or args.only):
        parser.error("--check and --renew take --impl rust and no --only: the baseline is one of Rust, and whole")
    args.parts = [part for part in PARTS if part in args.only]
    args.only = [name for name in args.only if name not in PARTS]
    if args.arch != "x86_64":
        if args.check or args.renew or {*args.parts} - {"counts"}:
            parser.error(f"on {args.arch} there are the counts only, and no baseline of them")
        args.parts = ["counts"]
    if args.only and "counts" not in args.parts:
        args.parts = ["counts", *args.parts]
    args.parts = args.parts or [*PARTS]

    known = re.findall(r'^\t\{ "([^"]+)"', OPERATIONS.read_text(encoding="utf-8"), re.M)
    for name in args.only:
        if not any(operation.startswith(name) for operation in known):
            raise BuildError(f"no part is called and no operation begins with '{name}'; the parts are "
                             f"{', '.join(PARTS)}, the operations are in {OPERATIONS.relative_to(ROOT)}, "
                             f"the first is '{known[0]}'")
    return args


def check(kernel, renew):
    """--check and --renew: the counts of the Rust kernel and the baseline."""
    kernel.make()
    results, different = parts.count(kernel, [], parts.BOOTS if renew else 1)
    if not renew:
        status, lines = compare.verdict(BASELINE, kernel.environment, results)
        print("\n".join(lines))
        return status
    if different:
        print("\n".join(f"DIFFERENT: {line}" for line in different))
        print("FAIL: the counts of two boots differ, so the baseline stays as it was")
        return 1
    compare.save_baseline(BASELINE, kernel.environment, results)
    print(f"OK: {len(results)} operations are the new {os.path.relpath(BASELINE)}; commit it")
    return 0


def diff(files):
    """--diff: two files, or the last two."""
    if not files:
        path = ROOT / "out/bench.json"
        compare.read(path)          # says what to do when there is none
        files = [*sorted((path.parent / "bench-history").glob("bench-[0-9]*.json"))[-1:], path]
        if len(files) < 2:
            raise BuildError("there is nothing before out/bench.json; run 'make bench' once more to compare")
    old, new = (compare.read(path) for path in files)
    lines = [*compare.changes(old, new)]
    print("\n".join(lines))
    names = " -> ".join(f"{os.path.relpath(path)} ({data.get('time', 'unknown time')})"
                        for path, data in zip(files, (old, new)))
    print(f"{len(lines) or 'no'} changes beyond noise: {names}")
    return 0


def measure(args, measured):
    report, problems = [], []

    def tell(text):
        print(text, flush=True)
        report.append(text)

    data = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "kernels": {kernel.impl: kernel.environment for kernel in measured}, "seconds": {}}
    for kernel in measured:
        kernel.make()
    for part in args.parts:
        started = time.monotonic()
        results, text, found = PARTS[part](measured, args.only)
        seconds = data["seconds"][part] = round(time.monotonic() - started, 1)
        data.update(results)
        problems += found
        tell(f"{text}\n" if text else "")
        say(f"{part}: {seconds:.0f} s")

    whole = not args.only and (args.parts == [*PARTS] or args.arch != "x86_64")
    name = "-".join(["bench", *([] if args.impl == "both" else [args.impl]), *kernels.words(args),
                     *([] if whole else ["only"])])
    path = ROOT / "out" / f"{name}.json"
    compare.write(path, {**data, "problems": problems})
    for plot in plots.write(path):
        say(f"plot: {os.path.relpath(plot)}")
    words = []
    if "operations" in data:
        words.append(f"{len(data['operations'])} operations, {parts.BOOTS} boots each")
        if args.impl == "both":
            more = [name for name, op in data["operations"].items() if op["rust"]["median"] > op["c"]["median"]]
            words.append(f"Rust takes more instructions in {len(more)} of them")
    words.append(f"{sum(data['seconds'].values()):.0f} s")
    for line in problems:
        tell(f"PROBLEM: {line}")
    tell(f"{'FAIL' if problems else 'OK'}: {'; '.join(words)} (also in {os.path.relpath(path)})")
    path.with_suffix(".txt").write_text("\n".join(report) + "\n", encoding="utf-8")
    return 1 if problems else 0


def main(argv):
    args = arguments(argv)
    if args.dry_run:
        return 0
    if args.diff is not None:
        return diff(args.diff)
    measured = [BenchKernel(impl, args) for impl in (("c", "rust") if args.impl == "both" else (args.impl,))]
    return check(measured[0], args.renew) if args.check or args.renew else measure(args, measured)


if __name__ == "__main__":
    sys.exit(kernels.run(main, BuildError))
