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
import sys
from dataclasses import replace

import kernels
from selftests import catalog, parse
from selftests.build import Tests
from selftests.run import Machine, guest_command

TEST = "async_stress"
SEED = re.compile(r"^\s*seed (\d+),")
ROUND = re.compile(r"^\s*\d+ s: round (\d+),")
# Seconds without a word, after which it hangs: there is one for each round, of five
# seconds. A busy host may be slow.
SILENCE = 300
FAULT = 99                              # of vm.py


class Stress(parse.Stream):
    """What the stress has said so far, line by line."""

    seed, rounds = None, 0

    def feed(self, line):
        if match := SEED.match(line):
            self.seed = int(match[1])
        elif match := ROUND.match(line):
            self.rounds = int(match[1])
        return super().feed(line)

    def problem(self, status, hung):
        """What went wrong, in words, or nothing; status is vm.py's."""
        result = self.results.get(TEST)
        said = result.reason if result else parse.failures(self.lines)
        if hung:
            problem = "it says nothing further: something hangs"
        elif status == FAULT:
            problem = "the kernel reported a fault, see above"
        elif not result:
            problem = f"it ended without a result, exit status {status}"
        elif result.status == "skip":
            return f"nothing was done: {said}"
        elif result.status == "pass":
            return f"exit status {status}" if status else ""
        else:
            return said
        return f"{said}; {problem}" if said else problem

    def repeat(self):
        """The seed of the round that was under way, which had the first seed plus its number."""
        if self.seed is None:
            return None
        failed = TEST in self.results and self.results[TEST].status == "fail" and self.rounds
        return self.seed + self.rounds - (1 if failed else 0)


def follow(command, test, silence):
    """What the command said, passed through; its exit status, and whether it was ended for its silence."""
    stress = Stress([test])
    with Machine(command, silence) as machine:
        for line in machine.lines():
            machine.allow(silence)
            if not stress.feed(line) and not parse.SAID_BY_IT.match(line):
                print(line, end="", flush=True)
    return stress, machine.process.returncode, machine.hung


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--impl", choices=("rust", "c"), default="rust")
    kernels.add_arguments(parser)
    parser.add_argument("--kernel", metavar="DIR", help="its build folder (default: the newest 7.3 in the cache)")
    parser.add_argument("--seconds", type=kernels.at_least(1), default=60)
    parser.add_argument("--seed", type=kernels.at_least(0), help="repeats a load")
    args = parser.parse_args(argv)
    args.cpus, args.append, args.kernel_c, args.kernel_rust = 4, "", args.kernel, args.kernel
    kernel = Tests(args.impl, args)
    test = next(test for test in catalog.own(kernel.slowness) if test.name == TEST)
    # It ends by its own clock, and not by a limit: what does not end says nothing.
    test = replace(test, limit=10 * args.seconds + test.limit)
    env = [f"ASYNC_SECONDS={args.seconds}", *([] if args.seed is None else [f"ASYNC_SEED={args.seed}"])]
    console = kernels.cache() / "logs" / f"stress-{kernel.label}.log"
    with kernel.built():
        stress, status, hung = follow(guest_command(kernel, [test], console, args, env=env), test,
                                      SILENCE * kernel.slowness)
    if problem := stress.problem(status, hung):
        print(f"FAIL: {kernel.label}: {problem}")
        if stress.repeat() is not None:
            print(f"FAIL: once more: make stress SEED={stress.repeat()} SECONDS={args.seconds} "
                  f"IMPL={args.impl} FLAVOR={args.flavor} ARCH={args.arch}")
        return 1
    print(f"OK: {kernel.label}: {args.seconds} s, {stress.rounds} rounds, seed {stress.seed}")
    return 0


if __name__ == "__main__":
    sys.exit(kernels.run(main, kernels.BuildError))
