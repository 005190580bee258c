# SPDX-License-Identifier: GPL-2.0
"""Boot a kernel and run the tests in it; boot again after a crash."""

import os
import queue
import signal
import subprocess
import threading
import time
from pathlib import Path

import console as scanner
from kernels import SCRIPTS

from . import parse
from .catalog import SAMPLE, groups

GUEST = SCRIPTS / "selftests/guest.sh"
BOOT_LIMIT = 300          # seconds from the start of the machine to "ready"
GRACE = 30                # seconds over a test's own limit before the machine is stopped
LOST = 120                # seconds that one of ours, having failed, has to end: what it waits for may be lost


class RunError(Exception):
    """Nothing could be run; the text is for the user."""


def vm_command(kernel, console, limit, cpus, slow, append="", one_thread=False, env=()):
    vm = os.environ.get("BPF_ASYNC_VM", str(SCRIPTS / "vm.py"))
    return [vm, "--kernel", str(kernel), "--cpus", str(cpus),
            "--mem", "4G" if slow else "2G", "--timeout", str(limit),
            "--console", str(console), *(["--append", append] if append else []),
            *(["--one-thread"] if one_thread else []), *(word for var in env for word in ("--env", var)), "--"]


class Machine:
    """One boot: gives the lines of the guest, and ends with its console."""

    def __init__(self, command, log):
        self.log = open(log, "a", encoding="utf-8")
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=self.log, text=True, errors="replace", start_new_session=True)
        self.lines = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.log.write(line)
            self.lines.put(line)
        self.lines.put(None)

    def line(self, deadline):
        """The next line, None at the end; TimeoutError when the deadline is over."""
        try:
            return self.lines.get(timeout=max(0, deadline - time.monotonic()))
        except queue.Empty:
            raise TimeoutError from None

    def stop(self):
        """End it, first asking; vm.py takes its virtual machine along."""
        for sig, wait in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
            if self.process.poll() is not None:
                break
            os.killpg(self.process.pid, sig)
            try:
                self.process.wait(wait)
            except subprocess.TimeoutExpired:
                pass
        status = self.process.wait()
        self.reader.join(10)
        self.process.stdout.close()
        self.log.close()
        return status


class Runner:
    def __init__(self, kernel, folder, tests, logs, label, sample=None, cpus=2,
                 slow=False, say=None, impl="rust", append="", env=(), prefix="selftests"):
        self.kernel, self.folder, self.tests = kernel, Path(folder), tests
        self.sample, self.cpus, self.slow = sample, cpus, slow
        self.append, self.env = append, env
        self.groups = groups(tests, impl) or [[]]
        self.log = Path(logs) / f"{prefix}-{label}.log"
        self.console = Path(logs) / f"{prefix}-{label}.console"
        self.label, self.say = label, say or (lambda text: None)
        self.results, self.boots = {}, 0

    def run(self):
        """{name: Result} for every test, and for the sample module."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.write_text("")
        self.console.write_text("")
        for number, group in enumerate(self.groups, 1):
            sample = self.sample if number == len(self.groups) else None
            failed = 0
            while tests := self._left(group, sample):
                before = len(self.results)
                self._boot(tests, sample)
                failed = failed + 1 if len(self.results) == before else 0
                if failed == 2:
                    raise RunError(f"the {self.label} kernel did not get as far as its first test "
                                   f"({self._last_words()}); see {self.log} and {self.console}")
        return {name: self.results[name] for name in
                dict.fromkeys([*(test.name for test in self.tests), *self.results])}

    def _left(self, group, sample):
        """What of a group has no result yet; the sample module is None."""
        return [test for test in [*group, *([None] if sample else [])]
                if (test.name if test else SAMPLE) not in self.results]

    def _last_words(self):
        words = self.log.read_text(errors="replace").split("\n")
        return next((line.strip() for line in reversed(words) if line.strip()), "no output")

    def _boot(self, left, sample):
        tests = [test for test in left if test]
        plan = self.folder / "plan"
        plan.write_text("".join(test.line() + "\n" for test in tests))
        command = ["bash", str(GUEST), str(self.folder), str(plan)]
        if sample:
            command.append(str(sample))
        # The machine's own limit is the last resort; _follow() stops it earlier.
        limit = BOOT_LIMIT + sum((test.limit + GRACE) * (test.attempts + 1) for test in tests) + 60
        once = self.console.with_suffix(f".boot{self.boots}")
        self.boots += 1
        self.say(f"{self.label}: booting, {len(left)} to run")
        stream = parse.Stream(tests)
        words, one_thread, cpus = tests[0].machine() if tests else ("", False, 0)
        append = " ".join(dict.fromkeys([*self.append.split(), *words.split()]))
        machine = Machine(vm_command(self.kernel, once, limit, cpus or self.cpus, self.slow, append,
                                     one_thread, self.env) + command, self.log)
        try:
            hung = self._follow(machine, stream)
        finally:
            status = machine.stop()
        text = once.read_text(errors="replace") if once.exists() else ""
        with self.console.open("a", errors="replace") as out:
            out.write(text)
        once.unlink(missing_ok=True)
        if stream.broken:
            raise RunError(f"the {self.label} kernel cannot run the tests: {stream.broken}; "
                           f"see {self.log}")
        self._settle(stream, text, status, hung)

    def _follow(self, machine, stream):
        """Read to the end; what hung, or an empty string."""
        limits = {test.name: test.limit for test in stream.tests.values()}
        own = {test.name for test in stream.tests.values() if test.own}
        deadline = time.monotonic() + BOOT_LIMIT * (4 if self.slow else 1)
        while True:
            try:
                line = machine.line(deadline)
            except TimeoutError:
                return stream.running or "boot"
            if line is None:
                return ""
            words = stream.feed(line)
            if words:
                limit = limits.get(words[1], 60) if len(words) > 1 else 60
                deadline = time.monotonic() + limit + GRACE
                self._progress(words, stream)
            elif stream.running in own and parse.FAILED.match(line):
                deadline = min(deadline, time.monotonic() + LOST * (4 if self.slow else 1))

    def _progress(self, words, stream):
        if words[0] not in ("end", "leftout"):
            return
        result = stream.results[words[1]]
        total = len(self.tests) + bool(self.sample)
        count = len(self.results) + len(stream.results)
        more = f" ({result.reason})" if result.reason and result.status != "pass" else ""
        self.say(f"{self.label} {count}/{total}: {words[1]}: {result.status}{more}")

    def _settle(self, stream, text, status, hung):
        """Take over what one boot gave; a test that had not ended crashed. What a
        kernel says after it has reported a fault is not taken: another boot does it."""
        blamed = parse.blame(text, scanner.find_reports(text.replace("\r", "")))
        reports = {}
        for name, report in blamed:
            reports.setdefault(name or "boot", report.first_line)
        if stream.running:
            said = parse.failures(stream.lines)
            report = reports.pop(stream.running, None) or (blamed[-1][1].first_line if blamed else None)
            lost = "no further answer, and no report" if hung else \
                f"the machine went away (status {status}), and no report"
            result = parse.Result("hang" if hung and not report else "crash",
                                  "; ".join(filter(None, [said, report or lost])), stream.attempt)
            stream.results[stream.running] = result
            self.say(f"{self.label}: {stream.running}: {result.status} ({result.reason})")
        elif stream.last and not stream.done and not reports:
            result = stream.results[stream.last]
            result.status = "crash"
            result.reason = "; ".join(filter(None, [
                result.reason, f"the machine {'hung' if hung else 'went away'} after it (status {status}), and no report"]))
            self.say(f"{self.label}: {stream.last}: crash ({result.reason})")
        for name, result in stream.results.items():
            self.results[name] = result
            if name in reports:
                result.status = "crash"
                result.reason = "; ".join(filter(None, [result.reason, reports[name]]))
                self.say(f"{self.label}: {name}: crash ({result.reason})")
            if result.status == "crash":
                break
        if "boot" in reports:
            self.results["boot"] = parse.Result("crash", reports["boot"])
