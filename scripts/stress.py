#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Do everything to bpf_timer and bpf_wq at random, on one kernel, for a while:
the case `stress` of tests/bpf, with all operations from all contexts.

What it prints goes through as it comes, the seed first. A failure ends with the
seed that repeats the load (the interleaving is the machine's). The exit status
is 0 when nothing was wrong and everything was done, 1 when not, 2 when nothing
could be run.
"""

import argparse
import re
import subprocess
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import command  # noqa: E402  (found beside this file)
import flavor  # noqa: E402
from regress import RESULT, SCRIPTS, Kernel, RegressError, cache  # noqa: E402

CASE = "stress"
SEED = re.compile(r"^\s*seed (\d+),")
ROUND = re.compile(r"^\s*\d+ s: round (\d+),")
# Seconds without a word, after which it hangs: there is one for each round, of five
# seconds. A slow kernel is slower, a busy host may be.
SILENCE, SLOW_FACTOR = 300, 4
FAULT, TIMEOUT = 99, 124                # of vm.py


class Log:
    """What the stress has said so far, line by line."""

    def __init__(self):
        self.seed, self.rounds, self.result = None, 0, None

    def add(self, line):
        if match := SEED.match(line):
            self.seed = int(match.group(1))
        elif match := ROUND.match(line):
            self.rounds = int(match.group(1))
        elif (match := RESULT.match(line.rstrip())) and match.group(2) == CASE:
            self.result = match.group(1), match.group(3) or ""

    def problem(self, status):
        """What went wrong, in words, or nothing; status is vm.py's."""
        said = f"{self.result[1]}; " if self.result and self.result[0] != "PASS" else ""
        if status == FAULT:
            return f"{said}the kernel reported a fault, see above"
        if status == TIMEOUT:
            return f"{said}it says nothing further: something hangs"
        if not self.result:
            return f"it ended without a result, exit status {status}"
        if self.result[0] == "SKIP":
            return f"nothing was done: {self.result[1]}"
        if self.result[0] == "FAIL":
            return self.result[1]
        return f"exit status {status}" if status else ""

    def repeat(self):
        """The seed of the round that was under way, which had the first seed plus its number."""
        if self.seed is None:
            return None
        failed = self.result and self.result[0] == "FAIL" and self.rounds
        return self.seed + self.rounds - (1 if failed else 0)


def run(kernel, args):
    case = next(case for case in kernel.cases() if case.name == CASE)
    command = [SCRIPTS / "vm.py", "--kernel", kernel.build, "--cpus", str(args.cpus),
               "--timeout", "0", "--append", case.append,
               "--console", cache() / "logs" / f"stress-{kernel.label}.log"]
    if args.seed is not None:
        command += ["--env", f"REGRESS_SEED={args.seed}"]
    command += ["--", kernel.program, "run", "-s", str(args.seconds), CASE]
    return follow(command, SILENCE * (SLOW_FACTOR if kernel.slow else 1))


def follow(command, silence):
    """What the command said, passed through; its exit status, or TIMEOUT when it was ended for its silence."""
    log, hung = Log(), threading.Event()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                          errors="replace") as vm:
        def end():
            hung.set()
            vm.terminate()

        while True:
            watch = threading.Timer(silence, end)
            watch.start()
            line = vm.stdout.readline()
            watch.cancel()
            if not line:
                break
            print(line, end="", flush=True)
            log.add(line)
    return log, TIMEOUT if hung.is_set() else vm.returncode


def number(smallest):
    def check(text):
        value = int(text, 0)
        if value < smallest:
            raise argparse.ArgumentTypeError(f"{text} is less than {smallest}")
        return value
    check.__name__ = "number"
    return check


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--impl", choices=("rust", "c"), default="rust")
    flavor.add_arguments(parser)
    parser.add_argument("--kernel", metavar="DIR", help="its build folder (default: the newest 7.3 in the cache)")
    parser.add_argument("--seconds", type=number(1), default=60)
    parser.add_argument("--seed", type=number(0), help="repeats a load")
    parser.add_argument("--cpus", type=number(4), default=4, help="of the virtual machine, 4 or more")
    parser.set_defaults(kver=None)
    return parser.parse_args(argv)


def main(argv):
    args = arguments(argv)
    args.kernel_c = args.kernel_rust = args.kernel
    kernel = Kernel(args.impl, args)
    kernel.make()
    log, status = run(kernel, args)
    problem = log.problem(status)
    if problem:
        print(f"FAIL: {kernel.label}: {problem}")
        if log.repeat() is not None:
            print(f"FAIL: once more: make stress SEED={log.repeat()} SECONDS={args.seconds} "
                  f"IMPL={args.impl} FLAVOR={args.flavor} ARCH={args.arch}")
        return 1
    print(f"OK: {kernel.label}: {args.seconds} s, {log.rounds} rounds, seed {log.seed}")
    return 0


if __name__ == "__main__":
    sys.exit(command.run(main, RegressError))
