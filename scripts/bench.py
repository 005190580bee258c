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
            function (--profile NAME prints these).
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
from bench import baseline, counts, diff, load, memory, plots, scale, store, trace
from bench.kernels import BenchKernel, say
from kernels import ROOT, BuildError

BASELINE = ROOT / "tests/bench/baseline.json"
BOOTS = 2                           # of each kernel: their counts must be the same
OPERATIONS = ROOT / "tests/bench/ops.h"


class Run:
    """What is asked for, the kernels, and what was found."""

    def __init__(self, args, impls):
        self.args, self.impls = args, impls
        self.kernels = [BenchKernel(impl, args) for impl in impls]
        self.problems = []          # what makes the exit status 1
        self.report = []            # what was printed, for the file beside the results
        self.data = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                     "kernels": {kernel.impl: kernel.environment() for kernel in self.kernels},
                     "seconds": {}}

    def tell(self, text):
        print(text)
        self.report.append(text)

    def counts(self):
        columns = {}
        for kernel in self.kernels:
            columns[kernel.impl], found = counts.measure(kernel, self.args.only, BOOTS)
            self.problems += [f"two boots differ: {line}" for line in found]
        self.data.update(boots=BOOTS, operations=counts.collect(columns))
        self.tell(counts.render(self.data["operations"], self.impls))

    def trace(self):
        operations = self.data["trace"] = trace.collect(self.kernels)
        if not operations:
            return
        self.tell(trace.render(operations, self.impls))
        for name in self.args.profile:
            if name not in operations:
                raise BuildError(f"no operation '{name}' was traced; take one of: {', '.join(operations)}")
            print(trace.render_profile(operations, name, self.impls))

    def memory(self):
        self.data["memory"] = {kernel.impl: memory.measure(kernel) for kernel in self.kernels}
        self.tell(memory.render(self.data["memory"], self.impls))

    def scale(self):
        self.data["scale"] = {kernel.impl: scale.measure(kernel) for kernel in self.kernels}
        self.tell(scale.render(self.data["scale"], self.impls))
        self.problems += [f"more timers make '{phase}' slower on Rust than on C"
                          for phase in scale.steeper(self.data["scale"])]

    def load(self):
        results = self.data["load"] = load.collect(self.kernels)
        self.tell(load.render_throughput(results, self.impls) + "\n")
        self.tell(load.render_latency(results, self.impls))


# In the order of the report, each a method of Run.
PARTS = ("counts", "trace", "memory", "scale", "load")


def check(run):
    """--check and --renew: the counts of one kernel and the baseline."""
    kernel = run.kernels[0]
    kernel.make()
    environment = run.data["kernels"][kernel.impl]
    results, different = counts.measure(kernel, [], 2 if run.args.renew else 1)
    if not run.args.renew:
        status, lines = baseline.verdict(BASELINE, environment, results)
        print("\n".join(lines))
        return status
    if different:
        print("\n".join(f"DIFFERENT: {line}" for line in different))
        print("FAIL: the counts of two boots differ, so the baseline stays as it was")
        return 1
    baseline.save(BASELINE, environment, results)
    print(f"OK: {len(results)} operations are the new {os.path.relpath(BASELINE)}; commit it")
    return 0


def compare(files):
    """--diff: two files, or the last two."""
    if not files:
        path = ROOT / "out/bench.json"
        store.read(path)            # says what to do when there is none
        files = [*store.history(path)[-1:], path]
        if len(files) < 2:
            raise BuildError("there is nothing before out/bench.json; run 'make bench' once more to compare")
    old, new = (store.read(path) for path in files)
    lines = diff.compare(old, new)
    print("\n".join(lines))
    names = " -> ".join(f"{os.path.relpath(path)} ({data.get('time', 'unknown time')})"
                        for path, data in zip(files, (old, new)))
    print(f"{len(lines) or 'no'} changes beyond noise: {names}")
    return 0


def measure(run, parts):
    args = run.args
    for kernel in run.kernels:
        kernel.make()
    for part in parts:
        started = time.monotonic()
        getattr(run, part)()
        seconds = run.data["seconds"][part] = round(time.monotonic() - started, 1)
        run.tell("")
        sys.stdout.flush()
        say(f"{part}: {seconds:.0f} s")
    run.data["problems"] = run.problems
    whole = list(parts) == list(PARTS) and not args.only
    name = "-".join(["bench", *([] if args.impl == "both" else [args.impl]), *kernels.words(args),
                     *([] if whole or (args.arch != "x86_64" and not args.only) else ["only"])])
    path = ROOT / "out" / f"{name}.json"
    store.write(path, run.data)
    for plot in plots.write(path):
        say(f"plot: {os.path.relpath(plot)}")
    return path


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--impl", choices=("rust", "c", "both"), default="both")
    parser.add_argument("--arch", choices=(*kernels.IMAGES,), default="x86_64", help="its machine (default: x86_64)")
    parser.add_argument("--only", action="append", default=[], metavar="NAME",
                        help=f"one of {', '.join(PARTS)}, or operations that begin with this; may be repeated")
    parser.add_argument("--profile", action="append", default=[], metavar="NAME",
                        help="of this operation, the instructions in each function; may be repeated")
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
    if args.arch != "x86_64" and (args.check or args.renew or args.profile or {*PARTS[1:]} & {*args.only}):
        parser.error(f"on {args.arch} there are the counts only, and no baseline of them")
    args.parts = [part for part in PARTS if part in args.only or (part == "trace" and args.profile)]
    if args.arch != "x86_64":
        args.parts = [PARTS[0]]
    args.only = [name for name in args.only if name not in PARTS]
    if args.only and "counts" not in args.parts:
        args.parts = ["counts", *args.parts]
    return args


def check_names(args):
    """--only, before anything is built for them or booted."""
    known = re.findall(r'^\t\{ "([^"]+)"', OPERATIONS.read_text(encoding="utf-8"), re.M)
    for name in args.only:
        if not any(operation.startswith(name) for operation in known):
            raise BuildError(f"no part is called and no operation begins with '{name}'; the parts are {', '.join(PARTS)}, "
                               f"the operations are in {OPERATIONS.relative_to(ROOT)}, the first is '{known[0]}'")


def summary(run, path):
    operations = run.data.get("operations", {})
    words = []
    if operations:
        words.append(f"{len(operations)} operations, {BOOTS} boots each")
        if len(run.impls) > 1:
            words.append(f"Rust takes more instructions in {len(counts.slower(operations))} of them")
    words.append(f"{sum(run.data['seconds'].values()):.0f} s")
    return f"{'FAIL' if run.problems else 'OK'}: {'; '.join(words)} (also in {os.path.relpath(path)})"


def main(argv):
    args = arguments(argv)
    check_names(args)
    if args.dry_run:
        return 0
    if args.diff is not None:
        return compare(args.diff)
    run = Run(args, ("c", "rust") if args.impl == "both" else (args.impl,))
    if args.check or args.renew:
        return check(run)
    path = measure(run, args.parts or PARTS)
    for line in run.problems:
        run.tell(f"PROBLEM: {line}")
    run.tell(summary(run, path))
    path.with_suffix(".txt").write_text("\n".join(run.report) + "\n", encoding="utf-8")
    return 1 if run.problems else 0


if __name__ == "__main__":
    sys.exit(kernels.run(main, BuildError))
