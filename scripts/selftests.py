#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Build the kernel's own selftests of timers and work queues, or with --own those of
this repository (tests/selftests), run them on the C kernel, the Rust kernel or
both, and print one table.

The kernels must have been built (make kernel IMPL=c, IMPL=rust). The exit
status is 0 when everything that C passes passes on Rust (with one kernel
alone: when everything passes), 1 when not, 2 when nothing could be run. With
--own it is 0 when every test passes on Rust, or shows the limit that is known,
and the C kernel shows the bugs that tests/selftests/cases.toml says it has.
The table is also in out/selftests.json, or out/regress.json; with one kernel
alone, another flavor or --only, the name says so (out/selftests-rust-debug.json).
"""

import argparse
import os
import re
import signal
import sys
import time
from pathlib import Path

import kernels
from kernels import ROOT, TITLES, BuildError, cache
from selftests import catalog, run, table
from selftests.build import Tests, say
from selftests.parse import Result


def arguments(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--impl", choices=("rust", "c", "both"), default="both")
    kernels.add_arguments(parser)
    parser.add_argument("--kernel-c", metavar="DIR", help="build folder or image of the C kernel")
    parser.add_argument("--kernel-rust", metavar="DIR", help="build folder or image of the Rust kernel")
    parser.add_argument("--own", action="store_true", help="this repository's tests instead of the kernel's")
    parser.add_argument("--only", action="append", metavar="NAME",
                        help="run this test alone; of ours, the number of its hazard will do; may be repeated")
    parser.add_argument("--fixed", action="append", default=[], metavar="NAME",
                        help="the bug that this test of ours shows on C is fixed there: it must pass, and so must each "
                             "test that passes on C otherwise; may be repeated")
    parser.add_argument("--cpus", type=int,
                        help="of the virtual machine, 2 or more (default: 2); with --own any number (default: 4), and "
                             "with less than 4 the tests that need more are left out")
    parser.add_argument("--append", default="", metavar="TEXT", help="more of the kernel's command line")
    parser.add_argument("--json", metavar="FILE", help="where the results go")
    args = parser.parse_args(argv)
    if args.cpus is None:
        args.cpus = 4 if args.own else 2
    if args.flavor == "up":
        args.cpus = 1
    elif args.cpus < 2 and not args.own:
        parser.error("--cpus must be 2 or more: half of the tests are races between two CPUs")
    if args.cpus < 1:
        parser.error("--cpus is a number from 1")
    return args


def run_one(impl, args):
    """(results, provenance) of one kernel."""
    tests = Tests(impl, args)
    label, slow = tests.label, kernels.is_slow(args)
    started = time.monotonic()
    with tests.built() as (absent, header):
        built = time.monotonic()
        sample = None
        if args.own:
            chosen, absent = for_arch(choose_own(catalog.own(slow), args.only), args.arch)
        else:
            sample = tests.folder / "samples/rust" / catalog.SAMPLE if impl == "rust" else None
            found = catalog.tests(header, slow)
            if args.cpus == 1:
                absent |= dict.fromkeys(catalog.NEEDS_CPUS, "a race between two CPUs")
                found = [test for test in found if test.name not in catalog.NEEDS_CPUS]
            chosen, absent, sample = choose(found, absent, sample, args.only)
        results = {name: Result("left out", why) for name, why in absent.items()}
        results.update(run.Runner(tests.image, tests.out, chosen, cache() / "logs", label, sample,
                                  args.cpus, slow, say, impl, args.append, environment(chosen),
                                  "regress" if args.own else "selftests").run())
    if impl == "c" and args.flavor in catalog.C_LACKS:
        leave_out_lacking(results, *catalog.C_LACKS[args.flavor])
    say(f"{label}: {table.counts(results)}; build {built - started:.0f} s, "
        f"run {time.monotonic() - built:.0f} s")
    return results, tests.provenance()


def environment(tests):
    """What the tests that end by the clock are told."""
    return [f"ASYNC_SECONDS={test.seconds}" for test in tests if test.seconds][:1]


def choose(tests, absent, sample, only):
    """What of all that runs, and what is said to be left out."""
    if not only:
        return tests, absent, sample
    known = [test.name for test in tests] + list(absent) + [catalog.SAMPLE]
    for name in only:
        if name not in known:
            raise BuildError(f"no test is called {name}; there are: {' '.join(sorted(known))}")
    return ([test for test in tests if test.name in only],
            {name: why for name, why in absent.items() if name in only},
            sample if catalog.SAMPLE in only else None)


def choose_own(tests, only):
    if not only:
        return tests
    chosen = []
    for name in only:
        found = [test for test in tests if name == test.name or name.upper() == test.hazard.upper()]
        if not found:
            raise BuildError(f"no test is called {name}; there are: " + " ".join(
                f"{test.name} ({test.hazard})" if test.hazard else test.name for test in tests))
        chosen += found
    return [test for test in tests if test in chosen]


def for_arch(tests, arch):
    """(what can run there, {name: why not})"""
    absent = {test.name: f"there is no {test.append} on {arch}" for test in tests if test.arch not in ("", arch)}
    return [test for test in tests if test.name not in absent], absent


def leave_out_lacking(results, words, reason):
    """What fails with these words fails for something that C does not have."""
    for result in results.values():
        if result.status == "fail" and any(re.search(words, line) for line in result.lines):
            result.status, result.reason, result.subtests = "left out", reason, {}


def interrupted(*_):
    raise KeyboardInterrupt


def main(argv):
    args = arguments(argv)
    signal.signal(signal.SIGTERM, interrupted)       # the virtual machine must end with us
    impls = ("c", "rust") if args.impl == "both" else (args.impl,)
    columns, built = {}, {}
    tests = choose_own(catalog.own(), args.only) if args.own else []
    choose_own(catalog.own(), args.fixed)       # says it if there is none of that name
    # A missing kernel is said before the first boot.
    unusual = [kernel.label for kernel in (kernels.Kernel(impl, args) for impl in impls) if not kernel.usual]
    parts = ["regress" if args.own else "selftests", *([] if args.impl == "both" else [args.impl]), *kernels.words(args),
             *([f"cpus{args.cpus}"] if args.own and args.cpus != 4 and args.flavor != "up" else []),
             *re.findall(r"\w+", args.append), *unusual, *(["only"] if args.only else [])]
    path = Path(args.json) if args.json else ROOT / "out" / ("-".join(parts) + ".json")
    for old in (path, path.with_suffix(".txt")):        # of an earlier run, which this one may not get as far as
        old.unlink(missing_ok=True)
    for impl in impls:
        columns[impl], built[impl] = run_one(impl, args)
    usual = not kernels.words(args) and not args.append
    failures = table.own_problems(tests, columns, args.cpus < 4, args.fixed, usual) if args.own else \
        table.problems(columns, args.flavor in catalog.C_LACKS)
    table.write_json(path, columns, built, failures, tests)
    summary = "; ".join(f"{TITLES[impl]}: {table.counts(res)}" for impl, res in columns.items())
    said = [table.render_own(tests, columns)] if args.own else \
        [table.render(columns, built), "", *(f"note: {line}" for line in table.remarks(columns))]
    text = "\n".join([*said, *(f"FAIL: {line}" for line in failures),
                      f"{'FAIL' if failures else 'OK'}: {summary} (also in {os.path.relpath(path)})"])
    path.with_suffix(".txt").write_text(text + "\n", encoding="utf-8")
    print(text)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(kernels.run(main, BuildError, run.RunError))
