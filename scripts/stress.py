#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Do everything to bpf_timer and bpf_wq at random, on one kernel, for a while:
the test async_stress of tests/selftests, with all operations from all contexts.

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
from dataclasses import replace

import kernels
from selftests import catalog, parse, run as runner
from selftests.build import Tests

TEST = "async_stress"
SEED = re.compile(r"^\s*seed (\d+),")
ROUND = re.compile(r"^\s*\d+ s: round (\d+),")
# Seconds without a word, after which it hangs: there is one for each round, of five
# seconds. A slow kernel is slower, a busy host may be.
SILENCE, SLOW_FACTOR = 300, 4
FAULT, TIMEOUT = 99, 124                # of vm.py


class Log:
    """What the stress has said so far, line by line."""

    def __init__(self):
        self.seed, self.rounds, self.result, self.said = None, 0, None, ""

    def add(self, line):
        line = line.rstrip()
        if match := SEED.match(line):
            self.seed = int(match.group(1))
        elif match := ROUND.match(line):
            self.rounds = int(match.group(1))
        elif (match := parse.TEST.match(line)) and match.group(1) == TEST:
            self.result = match.group(2)
        elif not self.said and parse.FAILED.match(line):
            self.said = parse.failures([line])
        elif line.startswith("SKIP: "):
            self.said = line

    def problem(self, status):
        """What went wrong, in words, or nothing; status is vm.py's."""
        said = f"{self.said}; " if self.said else ""
        if status == FAULT:
            return f"{said}the kernel reported a fault, see above"
        if status == TIMEOUT:
            return f"{said}it says nothing further: something hangs"
        if not self.result:
            return f"{said}it ended without a result, exit status {status}"
        if self.result == "SKIP":
            return f"nothing was done: {self.said}"
        if self.result == "FAIL":
            return self.said or "test_progs gives no reason"
        return f"exit status {status}" if status else ""

    def repeat(self):
        """The seed of the round that was under way, which had the first seed plus its number."""
        if self.seed is None:
            return None
        failed = self.result == "FAIL" and self.rounds
        return self.seed + self.rounds - (1 if failed else 0)


def run(tests, args):
    """It ends by its own clock, and not by a limit: what does not end says nothing."""
    slow = kernels.is_slow(args)
    test = replace(next(test for test in catalog.own(slow) if test.name == TEST),
                   limit=10 * args.seconds + test_limit(slow))
    plan = tests.out / "plan"
    plan.write_text(test.line() + "\n", encoding="utf-8")
    env = [f"ASYNC_SECONDS={args.seconds}", *([] if args.seed is None else [f"ASYNC_SEED={args.seed}"])]
    command = runner.vm_command(tests.image, kernels.cache() / "logs" / f"stress-{tests.label}.log", 0, args.cpus, slow,
                                test.append, env=env)
    return follow([*command, "bash", str(runner.GUEST), str(tests.out), str(plan)],
                  SILENCE * (SLOW_FACTOR if slow else 1))


def test_limit(slow):
    return catalog.OWN_LIMIT * (SLOW_FACTOR if slow else 1)


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
            if not parse.SAID_BY_IT.match(line) and not line.startswith("@@"):
                print(line, end="", flush=True)
            log.add(line)
    return log, TIMEOUT if hung.is_set() else vm.returncode


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--impl", choices=("rust", "c"), default="rust")
    kernels.add_arguments(parser)
    parser.add_argument("--kernel", metavar="DIR", help="its build folder (default: the newest 7.3 in the cache)")
    parser.add_argument("--seconds", type=kernels.at_least(1), default=60)
    parser.add_argument("--seed", type=kernels.at_least(0), help="repeats a load")
    parser.add_argument("--cpus", type=kernels.at_least(4), default=4, help="of the virtual machine, 4 or more")
    return parser.parse_args(argv)


def main(argv):
    args = arguments(argv)
    args.kernel_c = args.kernel_rust = args.kernel
    tests = Tests(args.impl, args)
    with tests.built():
        log, status = run(tests, args)
    problem = log.problem(status)
    if problem:
        print(f"FAIL: {tests.label}: {problem}")
        if log.repeat() is not None:
            print(f"FAIL: once more: make stress SEED={log.repeat()} SECONDS={args.seconds} "
                  f"IMPL={args.impl} FLAVOR={args.flavor} ARCH={args.arch}")
        return 1
    print(f"OK: {tests.label}: {args.seconds} s, {log.rounds} rounds, seed {log.seed}")
    return 0


if __name__ == "__main__":
    sys.exit(kernels.run(main, kernels.BuildError))
