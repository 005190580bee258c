#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Run this repository's own regressions (tests/bpf) on the C kernel, the Rust
kernel or both: one case per hazard, side by side.

The kernels must have been built (make kernel IMPL=c, IMPL=rust). A case that
may crash the C kernel has a boot of its own there; after a crash or a hang the
next boot goes on with the next case. A case that ends in a limit that both kernels have is
"known", which is no pass. The exit status is 0 when every case passes on Rust, or shows the limit
that is known, and the C kernel shows the bugs it is known for, 1 when not, 2 when nothing
could be run. The table is also in out/regress.json; with one kernel alone, another
flavor or --only, the name says so (out/regress-rust-debug.json).
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import command  # noqa: E402  (found beside this file)
import flavor  # noqa: E402
from console import find_reports, read_console  # noqa: E402

SCRIPTS = Path(__file__).resolve().parent
ROOT = SCRIPTS.parent
MARK = re.compile(r"bpf_async_regress: begin (\S+)")
RESULT = re.compile(r"^(PASS|FAIL|SKIP) ([^:\s]+)(?:: (.*))?$")
TITLES = {"c": "C", "rust": "Rust"}
# Seconds: a boot with its slowest case, each case more; a slow kernel is slower.
BOOT_LIMIT, CASE_LIMIT, SLOW_FACTOR = 150, 15, 5


class RegressError(Exception):
    """Nothing can be run; the message says what to do."""


def say(text):
    print(f"regress: {text}", file=sys.stderr, flush=True)


def cache():
    return Path(os.environ.get("BPF_ASYNC_CACHE") or Path.home() / ".cache/bpf-async").absolute()


class Case:
    def __init__(self, line):
        self.name, boot, threads, cpus, append, seconds, c_says, known, self.what = line.split("\t")
        self.own = boot == "own"
        self.one_thread = threads == "one"
        self.cpus, self.seconds = int(cpus), int(seconds)
        self.append = "" if append == "-" else append
        # What a bug, or a limit, looks like: any of these.
        self.c_says = [] if c_says == "-" else c_says.split("|")
        self.known = [] if known == "-" else known.split("|")


def shows(result, words):
    return result.status != "pass" and any(word in result.reason for word in words)


def quoted(words):
    return " or ".join(f"'{word}'" for word in words)


class Result:
    """pass, known, fail, skip, crash or hang, and why."""

    def __init__(self, status, reason="", output=""):
        self.status, self.reason, self.output = status, reason, output


class Kernel:
    """A kernel's build folder and what is built for it."""

    def __init__(self, impl, args):
        suffix = flavor.suffix(args)
        given = args.kernel_c if impl == "c" else args.kernel_rust
        self.impl, self.flavor, self.arch, self.slow = impl, args.flavor, args.arch, flavor.is_slow(args)
        self.build = Path(given).absolute() if given else self.newest(impl, suffix, args.kver)
        hint = f"run '{flavor.command(impl, args)}' first"
        if not self.build or not (self.build / flavor.IMAGES[args.arch]).is_file():
            raise RegressError(f"no {impl} kernel in {self.build or cache() / 'build'}; {hint}")
        release = self.build / "include/config/kernel.release"
        self.version = release.read_text(encoding="utf-8").strip() if release.is_file() else "unknown"
        # A kernel of another source (KSRC) has the same version, and the name of its folder.
        ours = self.build.parent == cache() / "build"
        self.label = self.build.name if ours else f"{self.version}-{impl}{suffix}"
        self.out = cache() / "regress" / self.label
        self.program = self.out / "bpf_async_regress"

    @staticmethod
    def newest(impl, suffix, kver):
        found = {path.name[:-len(f"-{impl}{suffix}")]: path
                 for path in (cache() / "build").glob(f"{kver or '7.3.*'}-{impl}{suffix}")}
        if not found:
            return None
        return found[max(found, key=lambda v: [int(n) for n in re.findall(r"\d+", v)])]

    def make(self):
        log = cache() / "logs" / f"regress-{self.label}.build.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        command = ["make", "-f", ROOT / "tests/bpf/regress.mk", f"-j{os.cpu_count()}",
                   f"KBUILD={self.build}", f"OUT={self.out}", f"KMAKE={SCRIPTS / 'kmake.sh'}",
                   f"TOOLS={cache() / 'tools' / f'libbpf-{self.version}'}", f"ROOT={cache() / f'root-{self.arch}'}"]
        with open(log, "w", encoding="utf-8") as file:
            done = subprocess.run(command, stdout=file, env={**os.environ, "ARCH": self.arch}, stderr=subprocess.STDOUT,
                                  stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            for line in log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]:
                print(f"  {line}", file=sys.stderr)
            raise RegressError(f"building the cases for {self.label} failed, the log is {log}; "
                               "fix what it says and run the same command again")

    def cases(self):
        # What is built for another machine can only be asked there.
        there = [] if self.arch == "x86_64" else [SCRIPTS / "vm.py", "--kernel", self.build, "--"]
        done = subprocess.run([*there, self.program, "list"], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RegressError(f"{self.program} list failed: {done.stderr.strip()}")
        return [Case(line) for line in done.stdout.splitlines()]


def segments(text):
    """The console cut at the marks: [(case or None, text)]."""
    parts, name, start = [], None, 0
    for match in MARK.finditer(text):
        parts.append((name, text[start:match.start()]))
        name, start = match.group(1), match.start()
    return parts + [(name, text[start:])]


class Boot:
    """One boot: what the cases said, what the console said, how it ended."""

    def __init__(self, kernel, cases, args):
        limit = BOOT_LIMIT + sum(CASE_LIMIT + 2 * (args.seconds or case.seconds) for case in cases)
        if kernel.slow:
            limit *= SLOW_FACTOR
        console = cache() / "logs" / f"regress-{kernel.label}-{cases[0].name}.log"
        append = " ".join(dict.fromkeys([*args.append.split(), *cases[0].append.split()]))
        command = [SCRIPTS / "vm.py", "--kernel", kernel.build, "--cpus", str(cases[0].cpus or args.cpus),
                   "--timeout", str(limit), "--console", console,
                   "--append", append,
                   *(["--one-thread"] if cases[0].one_thread else [])]
        if args.seed:
            command += ["--env", f"REGRESS_SEED={args.seed}"]
        words = ["run", *(["-s", str(args.seconds)] if args.seconds else []),
                 *(case.name for case in cases)]
        done = subprocess.run([*command, "--", kernel.program, *words], capture_output=True,
                              text=True, errors="replace", stdin=subprocess.DEVNULL, check=False)
        self.status, self.errors = done.returncode, done.stderr
        self.hung = done.returncode == 124
        self.results, self.begun, self.has = {}, [], None
        self.read(done.stdout.splitlines())
        if self.has not in (None, kernel.impl):
            raise RegressError(f"the kernel in {kernel.build} has the {TITLES[self.has]} code, not the "
                               f"{TITLES[kernel.impl]} code: is it still being built? Run 'make kernel "
                               f"IMPL={kernel.impl}' and the same command again")
        self.reports = {}
        text = read_console(console) if console.is_file() else ""
        for name, part in segments(text):
            found = find_reports(part)
            if found:
                self.reports.setdefault(name, found[0].first_line)

    def read(self, lines):
        output = []
        for line in lines:
            if line.startswith("KERNEL "):
                self.has = line.split()[1]
            elif line.startswith("RUN  "):
                self.begun.append(line.split()[1].rstrip(":"))
                output = []
            elif match := RESULT.match(line):
                status, name, reason = match.groups()
                self.results[name] = Result(status.lower(), reason or "", "\n".join(output))
            else:
                output.append(line.strip())

    def verdict(self, case):
        """The result of a case, and whether the boot is still good after it."""
        said = self.results.get(case.name)
        if said and said.status == "fail" and shows(said, case.known):
            said.status = "known"
        report = self.reports.get(case.name)
        if report:
            why = f"{said.reason}; {report}" if said and said.reason else report
            return Result("crash", why), False
        if said:
            return said, True
        if case.name not in self.begun:
            return None, False
        if self.hung:
            return Result("hang", "the time limit was reached"), False
        last = self.errors.strip().splitlines()[-1:] or [f"exit status {self.status}"]
        return Result("crash", f"ended without a result: {last[0]}"), False


def run_group(kernel, cases, args, results):
    """Boot until every case of the group has its result."""
    pending, failed_boots = list(cases), 0
    while pending:
        boot = Boot(kernel, pending, args)
        got, good = 0, None not in boot.reports
        for case in pending:
            result, still_good = boot.verdict(case) if good else (None, False)
            if result is None:
                break
            results[case.name] = result
            got += 1
            say(f"{kernel.label}: {case.name}: {result.status}"
                f"{': ' + result.reason if result.reason else ''}")
            good = still_good
            if not good:
                break
        pending = pending[got:]
        failed_boots = 0 if got else failed_boots + 1
        if failed_boots == 2:
            why = boot.reports.get(None) or (boot.errors.strip().splitlines() or ["no word"])[-1]
            raise RegressError(f"{kernel.label} does not get as far as the first case: {why}")


def groups(cases, impl):
    """The cases of each boot. What may crash the C kernel crashes the Rust
    kernel only by mistake, and then the next boot goes on with the next case.
    A limit that both have is shown in a boot of its own on both."""
    shared = {}
    for case in cases:
        alone = case.name if case.known or (case.own and impl == "c") else ""
        shared.setdefault((alone, case.append, case.one_thread, case.cpus), []).append(case)
    return list(shared.values())


def number(name):
    match = re.match(r"H(\d+)", name)
    return int(match.group(1)) if match else 99


def run_kernel(kernel, args):
    started = time.monotonic()
    kernel.make()
    cases = kernel.cases()
    if args.only:
        wrong = set(args.only) - {case.name for case in cases}
        if wrong:
            raise RegressError(f"no case is called {' '.join(sorted(wrong))}; there are: "
                               + " ".join(case.name for case in cases))
        cases = [case for case in cases if case.name in args.only]
    built, results = time.monotonic(), {}
    for group in groups(cases, kernel.impl):
        run_group(kernel, group, args, results)
    say(f"{kernel.label}: {counts(results)}; build {built - started:.0f} s, "
        f"run {time.monotonic() - built:.0f} s")
    return sorted(cases, key=lambda case: number(case.name)), results


def counts(results):
    statuses = [result.status for result in results.values()]
    return ", ".join(f"{statuses.count(status)} {status}" for status in
                     ("pass", "known", "fail", "crash", "hang", "skip") if status in statuses) or "nothing run"


def left_out(result):
    """A case that the machine is too small for."""
    return result.status == "skip" and re.match(r"needs \d CPUs", result.reason)


def recorded():
    """What the cases said on C when docs/results.rst was written."""
    text = (ROOT / "docs/results.rst").read_text(encoding="utf-8")
    return dict(re.findall(r"^    (\S+) +(pass|known|fail|crash|hang|skip) +(?:pass|known) ", text, re.M))


def problems(cases, columns, small=False, fixed=()):
    """What makes the exit status 1. A small machine cannot show everything. The C kernel that has
    the bugs of the cases in `fixed` no longer must not have got others instead."""
    found, before = [], recorded() if fixed else {}
    if small:
        cases = [case for case in cases
                 if not any(case.name in results and left_out(results[case.name]) for results in columns.values())]
    for case in cases:
        rust, c = (columns.get(impl, {}).get(case.name) for impl in ("rust", "c"))
        for title, result in (("Rust", rust), ("C", c)):
            if result and case.known and result.status != "known":
                found.append(f"{case.name} on {title} does not show the known limit "
                             f"({quoted(case.known)}): {result.status} {result.reason}")
        if rust and rust.status != "pass" and not case.known:
            found.append(f"{case.name} on Rust: {rust.status}: {rust.reason}")
        if c and c.status == "skip":
            found.append(f"{case.name} on C: skip: {c.reason}")
        if c and (case.name in fixed or before.get(case.name) == "pass"):
            if c.status != "pass":
                found.append(f"{case.name} on C: {c.status}: {c.reason}")
        elif c and case.c_says and not shows(c, case.c_says):
            found.append(f"{case.name} on C does not show the known bug "
                         f"({quoted(case.c_says)}): {c.status} {c.reason}")
    return found


def render(cases, columns):
    def cell(result):
        return result.status if result else "-"
    rows = [["case", *(TITLES[impl] for impl in columns), "what"]]
    rows += [[case.name, *(cell(columns[impl].get(case.name)) for impl in columns), case.what]
             for case in cases]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows]
    for impl in columns:
        for case in cases:
            result = columns[impl].get(case.name)
            if result and result.reason:
                lines.append(f"{TITLES[impl]}, {case.name}: {result.reason}")
    return "\n".join(lines)


def write_json(path, cases, columns, kernels, found):
    data = {
        "kernels": {k.impl: {"version": k.version, "flavor": k.flavor, "arch": k.arch} for k in kernels},
        "cases": [{"name": case.name, "what": case.what,
                   **{impl: vars(results[case.name]) for impl, results in columns.items()
                      if case.name in results}} for case in cases],
        "problems": found,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".tmp")
    new.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    new.replace(path)


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--impl", choices=("rust", "c", "both"), default="both")
    flavor.add_arguments(parser)
    parser.add_argument("--only", action="append", metavar="NAME", help="this case alone; may be repeated")
    parser.add_argument("--fixed", action="append", default=[], metavar="NAME",
                        help="the bug that this case shows on C is fixed there: it must pass, and so must "
                             "each case that passes in docs/results.rst; may be repeated")
    parser.add_argument("--kver", help="kernel version, as in the cache (default: the newest 7.3)")
    parser.add_argument("--kernel-c", metavar="DIR", help="build folder of the C kernel")
    parser.add_argument("--kernel-rust", metavar="DIR", help="build folder of the Rust kernel")
    parser.add_argument("--seconds", type=int, default=0, help="length of the cases that take one")
    parser.add_argument("--seed", help="of the stress, to repeat a load")
    parser.add_argument("--cpus", type=int, default=4,
                        help="of the virtual machine; with less than 4 the cases that need more are left out")
    parser.add_argument("--append", default="", metavar="TEXT", help="more of the kernel's command line")
    parser.add_argument("--json", metavar="FILE", help="where the results go")
    args = parser.parse_args(argv)
    if args.cpus < 1:
        parser.error("--cpus is a number from 1")
    if args.flavor == "up":
        args.cpus = 1
    if args.seconds < 0:
        parser.error("--seconds is a number from 1")
    return args


def main(argv):
    args = arguments(argv)
    impls = ("c", "rust") if args.impl == "both" else (args.impl,)
    columns, cases = {}, []
    kernels = [Kernel(impl, args) for impl in impls]
    for kernel in kernels:
        cases, columns[kernel.impl] = run_kernel(kernel, args)
    found = problems(cases, columns, args.cpus < 4, args.fixed)
    parts = ["regress", *([] if args.impl == "both" else [args.impl]),
             *flavor.words(args), *([f"cpus{args.cpus}"] if args.cpus != 4 else []),
             *re.findall(r"\w+", args.append), *(["only"] if args.only else [])]
    path = Path(args.json) if args.json else ROOT / "out" / ("-".join(parts) + ".json")
    write_json(path, cases, columns, kernels, found)
    summary = "; ".join(f"{TITLES[impl]}: {counts(results)}" for impl, results in columns.items())
    text = "\n".join([render(cases, columns), *(f"FAIL: {line}" for line in found),
                      f"{'FAIL' if found else 'OK'}: {summary} (also in {os.path.relpath(path)})"])
    path.with_suffix(".txt").write_text(text + "\n", encoding="utf-8")
    print(text)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(command.run(main, RegressError))
