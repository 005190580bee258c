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
import sys
import time
from dataclasses import replace
from pathlib import Path

import kernels
from kernels import ROOT, TITLES, BuildError
from selftests import catalog, table
from selftests.build import Tests
from selftests.parse import Result
from selftests.run import Runner, RunError


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
    parser.add_argument("--cpus", type=kernels.at_least(1),
                        help="of the virtual machine, 2 or more (default: 2); with --own any number (default: 4), and "
                             "with less than 4 the tests that need more are left out")
    parser.add_argument("--append", default="", metavar="TEXT", help="more of the kernel's command line")
    parser.add_argument("--json", metavar="FILE", type=Path, help="where the results go")
    args = parser.parse_args(argv)
    args.cpus = 1 if args.flavor == "up" else args.cpus or (4 if args.own else 2)
    if args.cpus < 2 and args.flavor != "up" and not args.own:
        parser.error("--cpus must be 2 or more: half of the tests are races between two CPUs")
    return args


def choose(tests, names):
    """Those that are named, by name or the number of their hazard; else all."""
    def is_called(test, name):
        return name == test.name or name.upper() == test.hazard.upper()

    for name in names or ():
        if not any(is_called(test, name) for test in tests):
            raise BuildError(f"no test is called {name}; there are: " + " ".join(
                f"{test.name} ({test.hazard})" if test.hazard else test.name for test in tests))
    return [test for test in tests if not names or any(is_called(test, name) for name in names)]


def why_not(test, args):
    """Why a test is left out, or nothing."""
    if test.arch not in ("", args.arch):
        return f"there is no {test.append} on {args.arch}"
    return "a race between two CPUs" if args.cpus == 1 and test.name in catalog.NEEDS_CPUS else ""


def run_one(impl, args):
    """(results, provenance) of one kernel."""
    kernel = Tests(impl, args)
    started = time.monotonic()
    with kernel.built() as (absent, header):
        built = time.monotonic()
        tests = catalog.own(kernel.slowness) if args.own else catalog.upstream(header, kernel)
        tests = choose(tests, args.only)
        if impl == "c" and args.flavor == "rt":     # a program with a timer only fails to load
            tests = [replace(test, own_boot=test.own_boot and test.name.startswith("wq_")) for test in tests]
        absent = {**({} if args.own or args.only else absent),
                  **{test.name: why for test in tests if (why := why_not(test, args))}}
        results = {name: Result("left out", why) for name, why in absent.items()}
        results |= Runner(kernel, [test for test in tests if test.name not in absent], args).run()
    if impl == "c" and args.flavor in catalog.C_LACKS:
        leave_out_lacking(results, *catalog.C_LACKS[args.flavor])
    kernel.say(f"{table.counts(results)}; build {built - started:.0f} s, run {time.monotonic() - built:.0f} s")
    return results, kernel.provenance()


def leave_out_lacking(results, words, reason):
    """What fails with these words fails for something that C does not have."""
    for result in results.values():
        if result.status == "fail" and any(re.search(words, line) for line in result.lines):
            result.status, result.reason, result.subtests = "left out", reason, {}


def results_file(args, impls):
    """What is not the default stands in its name."""
    # A missing kernel is said before the first boot.
    unusual = [kernel.label for kernel in (kernels.Kernel(impl, args) for impl in impls) if not kernel.usual]
    parts = ["regress" if args.own else "selftests", *([] if args.impl == "both" else impls), *kernels.words(args),
             *([f"cpus{args.cpus}"] if args.own and args.cpus != 4 and args.flavor != "up" else []),
             *re.findall(r"\w+", args.append), *unusual, *(["only"] if args.only else [])]
    return args.json or ROOT / "out" / ("-".join(parts) + ".json")


def main(argv):
    args = arguments(argv)
    impls = ("c", "rust") if args.impl == "both" else (args.impl,)
    tests = choose(catalog.own(), args.only) if args.own else []
    choose(catalog.own(), args.fixed)       # says it if there is none of that name
    path = results_file(args, impls)
    for old in (path, path.with_suffix(".txt")):        # of an earlier run, which this one may not get as far as
        old.unlink(missing_ok=True)
    columns, built = {}, {}
    for impl in impls:
        columns[impl], built[impl] = run_one(impl, args)
    usual = not kernels.words(args) and not args.append
    failures = table.own_problems(tests, columns, args.cpus < 4, args.fixed, usual) if args.own else \
        table.problems(columns, args.flavor in catalog.C_LACKS)
    table.write_json(path, columns, built, failures, tests)
    summary = "; ".join(f"{TITLES[impl]}: {table.counts(res)}" for impl, res in columns.items())
    text = "\n".join([table.render_own(tests, columns) if args.own else table.render(columns, built),
                      *(f"FAIL: {line}" for line in failures),
                      f"{'FAIL' if failures else 'OK'}: {summary} (also in {os.path.relpath(path)})"])
    path.with_suffix(".txt").write_text(text + "\n", encoding="utf-8")
    print(text)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(kernels.run(main, BuildError, RunError))
