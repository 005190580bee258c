#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Count the instructions of every operation of bpf_timer and bpf_wq, on the C
kernel and on the Rust kernel, with what is in tests/bench.

QEMU counts: under -icount shift=0 one instruction of the guest is one tick of
its time stamp counter. So the numbers are exact, and the same in every boot;
each kernel is booted twice and a number that differs is an error. Numbers with
a ~ have other things of the kernel's in them, and may differ a little. The table is also
in out/bench.json; the one before it goes to out/bench-history/. With one
kernel alone or with --only the name says so (out/bench-rust-only.json).

The exit status is 0 when everything was measured, whatever came out, 1 when
two boots of a kernel differ, and 2 when something could not be measured.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from regress import ROOT, SCRIPTS, TITLES, Kernel, RegressError, cache  # noqa: E402  (found beside this file)

ICOUNT = "-icount shift=0,sleep=off"
FIELDS = ("median", "smallest", "mean", "samples")
LIMIT = 600                         # seconds a boot; it takes about 20
NOISE = 0.10                        # of the numbers that are not exact


class BenchError(RegressError):
    """Nothing can be measured; the message says what to do."""


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


class BenchKernel(Kernel):
    """A kernel's build folder, and the benchmark built for it."""

    def __init__(self, impl, args):
        super().__init__(impl, args)
        self.out = cache() / "bench" / self.label
        self.program = self.out / "bpf_async_bench"

    def make(self):
        log = cache() / "logs" / f"bench-{self.label}.build.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        command = ["make", "-f", ROOT / "tests/bench/bench.mk", f"KBUILD={self.build}", f"OUT={self.out}",
                   f"KMAKE={SCRIPTS / 'kmake.sh'}", f"TOOLS={cache() / 'tools' / f'libbpf-{self.version}'}"]
        with open(log, "w", encoding="utf-8") as file:
            done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT,
                                  stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            for line in log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]:
                print(f"  {line}", file=sys.stderr)
            raise BenchError(f"building the benchmark for {self.label} failed, the log is {log}; "
                             "mend what it says and run the same command again")

    def measure(self, only):
        """{operation: {"what": ..., "median": ..., ...}} of one boot."""
        console = cache() / "logs" / f"bench-{self.label}.log"
        command = [SCRIPTS / "vm.py", "--kernel", self.build, "--cpus", "1", "--timeout", str(LIMIT),
                   "--console", console, "--qemu", ICOUNT, "--", self.program, *only]
        # KVM does not count instructions.
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False,
                              stdin=subprocess.DEVNULL, env={**os.environ, "VM_ACCEL": "tcg"})
        if done.returncode:
            for line in done.stderr.splitlines()[-15:]:
                print(f"  {line}", file=sys.stderr)
            raise BenchError(f"the benchmark on {self.label} ended with status {done.returncode}, the "
                             f"kernel's messages are in {console}; mend what it says and run it again")
        results = {}
        for line in done.stdout.splitlines():
            name, *numbers, exact, what = line.split("\t")
            results[name] = {"what": what, "exact": exact == "exact", **dict(zip(FIELDS, map(float, numbers)))}
            results[name]["median"] = int(results[name]["median"])
        return results


def differences(kernel, boots):
    """What is not the same in all boots of a kernel, in words."""
    found = []
    for name, first in boots[0].items():
        counts = [boot[name]["median"] for boot in boots]
        allowed = 0 if first["exact"] else NOISE * min(counts)
        if max(counts) - min(counts) > allowed:
            found.append(f"{kernel.label}: {name}: " + ", ".join(map(str, counts)) + " instructions")
    return found


def run_kernel(kernel, args):
    kernel.make()
    boots = []
    for number in range(args.boots):
        started = time.monotonic()
        boots.append(kernel.measure(args.only))
        say(f"{kernel.label}: boot {number + 1} of {args.boots}: {len(boots[0])} operations, "
            f"{time.monotonic() - started:.0f} s")
    return boots[0], differences(kernel, boots)


def row(name, columns):
    counts = [columns[impl][name]["median"] for impl in columns]
    first = next(iter(columns.values()))[name]
    what = first["what"]
    cells = [("" if first["exact"] else "~") + str(count) for count in counts]
    if len(counts) < 2:
        return [name, *cells, what]
    ratio = f"{counts[1] / counts[0]:.2f}" if counts[0] > 0 else "-"
    return [name, *cells, ratio, "more" if counts[1] > counts[0] else "", what]


def render(columns):
    titles = [TITLES[impl] for impl in columns]
    rows = [["operation", *titles, *(["ratio", ""] if len(titles) > 1 else []), "what"]]
    rows += [row(name, columns) for name in next(iter(columns.values()))]
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    numbers = range(1, len(titles) + (2 if len(titles) > 1 else 1))
    return "\n".join("  ".join(text.rjust(width) if i in numbers else text.ljust(width)
                               for i, (text, width) in enumerate(zip(r, widths))).rstrip() for r in rows)


def write_json(path, columns, kernels, boots, different):
    data = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "kernels": {kernel.impl: {"version": kernel.version} for kernel in kernels},
        "boots": boots,
        "operations": {name: {"what": next(iter(columns.values()))[name]["what"],
                              "exact": next(iter(columns.values()))[name]["exact"],
                              **{impl: {field: results[name][field] for field in FIELDS}
                                 for impl, results in columns.items()}}
                       for name in next(iter(columns.values()))},
        "different": different,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file():
        history = path.parent / "bench-history"
        history.mkdir(exist_ok=True)
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(path.stat().st_mtime))
        path.replace(history / f"{path.stem}-{stamp}.json")
    new = path.with_name(path.name + ".tmp")
    new.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    new.replace(path)


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--impl", choices=("rust", "c", "both"), default="both")
    parser.add_argument("--only", action="append", default=[], metavar="NAME",
                        help="operations that begin with this; may be repeated")
    parser.add_argument("--boots", type=int, default=2, metavar="N", help="of each kernel (default 2)")
    parser.add_argument("--kver", help="kernel version, as in the cache (default: the newest 7.3)")
    parser.add_argument("--kernel-c", metavar="DIR", help="build folder of the C kernel")
    parser.add_argument("--kernel-rust", metavar="DIR", help="build folder of the Rust kernel")
    parser.add_argument("--json", metavar="FILE", help="where the results go")
    args = parser.parse_args(argv)
    args.debug = False              # a debug kernel's instructions are not what counts
    if args.boots < 1:
        parser.error("--boots is a number from 1")
    return args


def main(argv):
    args = arguments(argv)
    impls = ("c", "rust") if args.impl == "both" else (args.impl,)
    columns, different = {}, []
    try:
        kernels = [BenchKernel(impl, args) for impl in impls]
        for kernel in kernels:
            columns[kernel.impl], found = run_kernel(kernel, args)
            different += found
        parts = ["bench", *([] if args.impl == "both" else [args.impl]), *(["only"] if args.only else [])]
        path = Path(args.json) if args.json else ROOT / "out" / ("-".join(parts) + ".json")
        write_json(path, columns, kernels, args.boots, different)
    except RegressError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error.filename or 'a file'}: {error.strerror}; see to it and run the "
              "same command again", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: nothing is lost, run the same command again", file=sys.stderr)
        return 130
    print(render(columns))
    for line in different:
        print(f"DIFFERENT: {line}")
    boots = f"{args.boots} boots each" if args.boots > 1 else "one boot each"
    verdict = f"{len(different)} counts differ between boots" if different else "instructions, " + boots
    if len(columns) > 1:
        more = sum(columns["rust"][name]["median"] > columns["c"][name]["median"] for name in columns["c"])
        verdict += f"; Rust takes more in {more} of {len(columns['c'])} operations"
    print(f"{'FAIL' if different else 'OK'}: {verdict} (also in {os.path.relpath(path)})")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
