#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Build the kernel's own selftests of timers and work queues, run them on the
C kernel, the Rust kernel or both, and print one table.

The kernels must have been built (make kernel IMPL=c, IMPL=rust). The exit
status is 0 when everything that C passes passes on Rust (with one kernel
alone: when everything passes), 1 when not, 2 when nothing could be run.
The table is also in out/selftests.json; with one kernel alone, another
flavor or --only, the name says so (out/selftests-rust-debug.json).
"""

import argparse
import fcntl
import os
import re
import signal
import sys
import time
import zlib
from pathlib import Path

import command
import flavor
from selftests import build, catalog, run, table
from selftests.parse import Result

ROOT = Path(__file__).resolve().parent.parent


def say(text):
    print(f"selftests: {text}", file=sys.stderr, flush=True)


def arguments(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--impl", choices=("rust", "c", "both"), default="both")
    flavor.add_arguments(parser)
    parser.add_argument("--kver", default="7.3",
                        help="kernel version or series (default: the newest 7.3 in the cache)")
    parser.add_argument("--kernel-c", metavar="DIR", help="build folder or image of the C kernel")
    parser.add_argument("--kernel-rust", metavar="DIR", help="build folder or image of the Rust kernel")
    parser.add_argument("--tree", metavar="DIR", help="kernel source (default: what the kernel was built from)")
    parser.add_argument("--only", metavar="NAME", help="run this test alone")
    parser.add_argument("--cpus", type=int, default=2, help="of the virtual machine, 2 or more")
    parser.add_argument("--json", metavar="FILE", help="where the results go")
    args = parser.parse_args(argv)
    if args.cpus < 2:
        parser.error("--cpus must be 2 or more: half of the tests are races between two CPUs")
    return args


def cache():
    return Path(os.environ.get("BPF_ASYNC_CACHE") or Path.home() / ".cache/bpf-async").absolute()


def newest(impl, series, suffix):
    """The build folder of the newest kernel of a series (7.3, or 7.3.4 itself)."""
    pattern = re.compile(rf"{re.escape(series)}((?:\.\d+)?)-{impl}{suffix}")
    found = [(int(match.group(1)[1:] or 0), path) for path in (cache() / "build").glob("*")
             if (match := pattern.fullmatch(path.name))]
    return max(found, default=(0, None))[1]


def kernel_for(impl, args):
    suffix = flavor.suffix(args)
    given = args.kernel_c if impl == "c" else args.kernel_rust
    hint = f"run '{flavor.command(impl, args)}' first"
    if given:
        return build.Kernel(given, impl, f"give its build folder with --kernel-{impl}", args.arch)
    folder = newest(impl, args.kver, suffix)
    if not folder:
        raise build.BuildError(f"no {impl} kernel {args.kver} in {cache() / 'build'}; {hint}")
    return build.Kernel(folder, impl, hint, args.arch)


def locked(folder, text):
    """Held until we end: two runs in one folder would spoil each other."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = open(folder / "lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"{text}: waiting for another run")
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def run_one(impl, args):
    """(results, provenance) of one kernel."""
    kernel = kernel_for(impl, args)
    tree = Path(args.tree).resolve() if args.tree else kernel.tree
    if not (tree / "Makefile").is_file():
        raise build.BuildError(f"{tree} is no kernel source; give it with --tree")
    version = re.search(r"Linux (\S+),", build.source_of(tree)).group(1)
    label = f"{version}-{impl}{flavor.suffix(args)}"
    if kernel.folder.parent == cache() / "build":
        label = kernel.folder.name
    # Trees of one version can differ: each has its own bpftool and libbpf.
    tools = cache() / "selftests" / f"tools-{tree.name}-{zlib.crc32(str(tree).encode()):08x}"
    folder = cache() / "selftests" / label
    slow = flavor.is_slow(args)
    started = time.monotonic()
    with locked(folder, label):
        with locked(tools, label):
            absent, header = build.build(kernel, tree, folder, tools,
                                         cache() / "logs" / f"selftests-{label}.build.log",
                                         lambda text: say(f"{label}: {text}"))
        built = time.monotonic()
        tests, absent, sample = choose(catalog.tests(header, slow), absent,
                                       kernel.sample if impl == "rust" else None, args.only)
        results = {name: Result("left out", why) for name, why in absent.items()}
        results.update(run.Runner(kernel.image, folder, tests, cache() / "logs", label, sample,
                                  args.cpus, slow, say).run())
    say(f"{label}: {table.counts(results)}; build {built - started:.0f} s, "
        f"run {time.monotonic() - built:.0f} s")
    return results, kernel.provenance(tree)


def choose(tests, absent, sample, only):
    """What of all that runs, and what is said to be left out."""
    if not only:
        return tests, absent, sample
    known = [test.name for test in tests] + list(absent) + [catalog.SAMPLE]
    if only not in known:
        raise build.BuildError(f"no test is called {only}; there are: {' '.join(sorted(known))}")
    return ([test for test in tests if test.name == only],
            {name: why for name, why in absent.items() if name == only},
            sample if only == catalog.SAMPLE else None)


def interrupted(*_):
    raise KeyboardInterrupt


def main(argv):
    args = arguments(argv)
    signal.signal(signal.SIGTERM, interrupted)       # the virtual machine must end with us
    impls = ("c", "rust") if args.impl == "both" else (args.impl,)
    columns, built = {}, {}
    for impl in impls:          # a missing kernel is said before the first boot
        kernel_for(impl, args)
    for impl in impls:
        columns[impl], built[impl] = run_one(impl, args)
    failures = table.problems(columns)
    parts = ["selftests", *([] if args.impl == "both" else [args.impl]),
             *flavor.words(args), *(["only"] if args.only else [])]
    path = Path(args.json) if args.json else ROOT / "out" / ("-".join(parts) + ".json")
    table.write_json(path, columns, built, failures)
    summary = "; ".join(f"{table.TITLES[impl]}: {table.counts(res)}" for impl, res in columns.items())
    text = "\n".join([table.render(columns, built), "",
                      *(f"note: {line}" for line in table.remarks(columns)),
                      *(f"FAIL: {line}" for line in failures),
                      f"{'FAIL' if failures else 'OK'}: {summary} (also in {os.path.relpath(path)})"])
    path.with_suffix(".txt").write_text(text + "\n", encoding="utf-8")
    print(text)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(command.run(main, build.BuildError, run.RunError))
