# SPDX-License-Identifier: GPL-2.0
"""Boot a kernel and run the tests in it; boot again after a crash."""

import os
import select
import signal
import subprocess
import time

from kernels import SCRIPTS, cache

from . import parse
from .catalog import LIMIT

BOOT_LIMIT = 300          # seconds from the start of the machine to "ready"
GRACE = 30                # seconds over a test's own limit before the machine is stopped
LOST = 120                # seconds that one of ours, having failed, has to end: what it waits for may be lost


class RunError(Exception):
    """Nothing could be run; the text is for the user."""


def guest_command(kernel, tests, console, args, limit=0, env=()):
    """Runs the tests, which share a boot, in a virtual machine. args: --cpus, --append."""
    plan = kernel.out / "plan"
    plan.write_text("".join(test.line() for test in tests), encoding="utf-8")
    append = " ".join(dict.fromkeys([*args.append.split(), *tests[0].append.split()]))
    return [os.environ.get("BPF_ASYNC_VM", SCRIPTS / "vm.py"), "--kernel", kernel.image,
            "--cpus", str(tests[0].cpus or args.cpus), "--mem", "4G" if kernel.slowness > 1 else "2G",
            "--timeout", str(limit), "--console", console, *(["--append", append] if append else []),
            *(["--one-thread"] if tests[0].one_thread else []), *(word for var in env for word in ("--env", var)),
            "--", "bash", SCRIPTS / "selftests/guest.sh", kernel.out, plan]


class Machine:
    """A virtual machine, whose lines are read until it ends. If it has not by its deadline, it is `hung`, and ended."""

    def __init__(self, command, seconds, stderr=None):
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr,
                                        start_new_session=True)
        self.hung = False
        self.allow(seconds)

    def allow(self, seconds):
        """From now on."""
        self.deadline = time.monotonic() + seconds

    def __enter__(self):
        return self

    def lines(self):
        rest = b""
        while select.select([self.process.stdout], [], [], max(0, self.deadline - time.monotonic()))[0]:
            data = os.read(self.process.stdout.fileno(), 1 << 16)
            *lines, rest = (rest + data).split(b"\n")
            if not data and rest:
                lines = [rest]
            for line in lines:
                yield line.decode(errors="replace") + "\n"
            if not data:
                return
        self.hung = True

    def __exit__(self, failure, *_):
        """vm.py takes its virtual machine along."""
        if failure or self.hung:
            os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait()
        self.process.stdout.close()


def groups(tests, impl):
    """The tests of each boot. What may crash the C kernel crashes the Rust
    kernel only by mistake, and then the next boot goes on with the next test.
    A limit that both have is shown in a boot of its own on both."""
    found = {}
    for test in tests:
        alone = test.name if test.known or (test.own_boot and impl == "c") else ""
        found.setdefault((alone, test.append, test.one_thread, test.cpus), []).append(test)
    return list(found.values())


class Runner:
    """args: --cpus, --append, --own."""

    def __init__(self, kernel, tests, args):
        self.kernel, self.tests, self.args = kernel, tests, args
        name = f"{'regress' if args.own else 'selftests'}-{kernel.label}"
        self.log, self.console = (cache() / "logs" / f"{name}.{kind}" for kind in ("log", "console"))
        self.results = {}

    def run(self):
        """{name: Result} for every test."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.write_text("")
        self.console.write_text("")
        for group in groups(self.tests, self.kernel.impl):
            failed = 0
            while left := [test for test in group if test.name not in self.results]:
                before = len(self.results)
                self.boot(left)
                failed = failed + 1 if len(self.results) == before else 0
                if failed == 2:
                    words = parse.last_of(self.log.read_text(errors="replace").split("\n"), "no output")
                    raise RunError(f"the {self.kernel.label} kernel did not get as far as its first test "
                                   f"({words}); see {self.log} and {self.console}")
        return {name: self.results[name] for name in
                dict.fromkeys([*(test.name for test in self.tests), *self.results])}

    def boot(self, tests):
        # The machine's own limit is the last resort; follow() stops it earlier.
        limit = BOOT_LIMIT * self.kernel.slowness + sum((test.limit + GRACE) * (test.attempts + 1) for test in tests)
        once = self.console.with_suffix(".boot")
        env = [f"ASYNC_SECONDS={test.seconds}" for test in tests if test.seconds][:1]    # what ends by the clock
        self.kernel.say(f"booting, {len(tests)} to run")
        stream = parse.Stream(tests)
        with self.log.open("a", encoding="utf-8") as log:
            with Machine(guest_command(self.kernel, tests, once, self.args, limit, env),
                         BOOT_LIMIT * self.kernel.slowness, log) as machine:
                self.follow(machine, stream, log)
        text = once.read_text(errors="replace") if once.exists() else ""
        with self.console.open("a", errors="replace") as console:
            console.write(text)
        once.unlink(missing_ok=True)
        if stream.broken:
            raise RunError(f"the {self.kernel.label} kernel cannot run the tests: {stream.broken}; see {self.log}")
        self.settle(stream, parse.blame(text), machine)

    def follow(self, machine, stream, log):
        """Read to the end. Each mark gives the guest the time of the test that it names."""
        for line in machine.lines():
            log.write(line)
            words = stream.feed(line)
            if words:
                test = stream.tests.get(words[1]) if len(words) > 1 else None
                machine.allow((test.limit if test else LIMIT) + GRACE)
                if words[0] in ("end", "leftout"):
                    self.progress(words[1], stream)
            elif stream.running and stream.tests[stream.running].kind == "own" and parse.FAILED.match(line):
                machine.deadline = min(machine.deadline, time.monotonic() + LOST * self.kernel.slowness)

    def progress(self, name, stream):
        result, count = stream.results[name], len(self.results) + len(stream.results)
        more = f" ({result.reason})" if result.reason and result.status != "pass" else ""
        self.kernel.say(f"{count}/{len(self.tests)}: {name}: {result.status}{more}")

    def settle(self, stream, blamed, machine):
        """Take over what one boot gave; a test that had not ended crashed. What a
        kernel says after it has reported a fault is not taken: another boot does it."""
        hung, status = machine.hung, machine.process.returncode
        reports = dict(reversed(blamed))        # the first of each test
        if stream.running:
            report = reports.pop(stream.running, None) or (blamed[-1][1] if blamed else None)
            lost = "no further answer" if hung else f"the machine went away (status {status})"
            result = stream.results[stream.running] = parse.Result("", parse.failures(stream.lines), stream.attempt)
            self.spoil(stream.running, result, "hang" if hung and not report else "crash",
                       report or f"{lost}, and no report")
        elif stream.last and not stream.done and not reports:
            self.spoil(stream.last, stream.results[stream.last], "crash",
                       f"the machine {'hung' if hung else 'went away'} after it (status {status}), and no report")
        for name, result in stream.results.items():
            self.results[name] = result
            if name in reports:
                self.spoil(name, result, "crash", reports[name])
            if result.status == "crash":
                break
        if "boot" in reports:
            self.results["boot"] = parse.Result("crash", reports["boot"])

    def spoil(self, name, result, status, reason):
        result.status, result.reason = status, "; ".join(filter(None, [result.reason, reason]))
        self.kernel.say(f"{name}: {status} ({result.reason})")
