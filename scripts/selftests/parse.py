# SPDX-License-Identifier: GPL-2.0
"""What guest.sh and test_progs print, turned into results.

A Result's status is one of
    pass      everything in it passed
    known     it failed by a limit that both kernels are known to have
    fail      it said so, or its time was up
    skip      the test itself gave up; never counted as a pass
    crash     the kernel reported a fault, or went away, while it ran
    hang      it was ended because it did not end
    left out  not begun, for a reason known up front; or what it needs is refused there
"""

import re
from dataclasses import dataclass, field

STATUS = {"OK": "pass", "FAIL": "fail", "SKIP": "skip"}
SUBTEST = re.compile(r"^#\d+/(\d+)\s+\w+/(.*):(OK|FAIL|SKIP)$")
TEST = re.compile(r"^#\d+\s+(\w+):(OK|FAIL|SKIP)\b(?: \(SKIP: (\d+)/\d+\))?")
ASSERTED = re.compile(r"^\w+:FAIL:(.+) unexpected (?:\1|error|success|pointer|fd): (.*)$")
SAID_BY_IT = re.compile(r"\w+:PASS:|#\d|Summary:|WATCHDOG:|All error logs:|Loading |Successfully (?:un)?loaded ")
FAILED = re.compile(r"^(?:\w+:FAIL:|.*\bFAIL:|libbpf: .*(?:fail|err))")
TIMED_OUT = (124, 137)


@dataclass
class Result:
    status: str
    reason: str = ""
    attempts: int = 1
    subtests: dict = field(default_factory=dict)   # name -> Result
    earlier: list = field(default_factory=list)    # why earlier attempts failed
    output: list = field(default_factory=list)     # what else it said
    lines: list = field(default_factory=list)      # all that it said

    def as_dict(self):
        out = {"status": self.status}
        if self.reason:
            out["reason"] = self.reason
        if self.attempts > 1:
            out["attempts"] = self.attempts
        if self.earlier:
            out["failed before"] = self.earlier
        if self.subtests:
            out["subtests"] = {name: sub.as_dict() for name, sub in self.subtests.items()}
        if self.output:
            out["output"] = self.output
        return out

    def skipped(self, lines):
        """Take the reasons for what was skipped from a verbose run."""
        reasons, silent = skip_reasons(lines), "test_progs gives no reason"
        if self.status == "skip" and not self.reason and not self.subtests:
            self.reason = reasons.get("") or silent
        for sub, res in self.subtests.items():
            if res.status == "skip":
                res.reason = reasons.get(sub) or silent

    def parts(self, name):
        """(name, Result) of the test itself and of its subtests."""
        return [(name, self)] + [(f"{name}/{sub}", res) for sub, res in self.subtests.items()]


def judge(name, lines, code, limit, max_attempts=1, attempt=1, again="-"):
    """The result of one test that ended with exit status `code`."""
    result = Result("fail", attempts=attempt)
    # A test's own complaints come first, then each subtest's before its line.
    status, reason, first = None, "", ""
    for line in lines:
        if line.startswith("All error logs:"):     # repeats what was printed
            break
        if match := SUBTEST.match(line):
            _, sub, word = match.groups()
            why, reason = (reason if word == "FAIL" else ""), ""
            if sub in result.subtests:             # two of one name: the worse counts
                word = max(word, {v: k for k, v in STATUS.items()}[result.subtests[sub].status],
                           key=("OK", "SKIP", "FAIL").index)
            result.subtests[sub] = Result(STATUS[word], why)
        elif (match := TEST.match(line)) and match.group(1) == name:
            status = STATUS[match.group(2)]
            # More skips than skipped subtests: the test itself gave up, too.
            skipped = sum(sub.status == "skip" for sub in result.subtests.values())
            if status == "pass" and int(match.group(3) or 0) > skipped:
                status = "skip"
        elif not reason and FAILED.match(line):
            reason = plain(line)
            first = first or reason
    if any("relying on bpf_testmod.ko will be skipped" in line for line in lines):
        result.reason = "test_progs could not load bpf_testmod.ko"
    elif code in TIMED_OUT:
        result.status, result.reason = "hang", "; ".join([*([first] if first else []), f"not done after {limit} s"])
    elif status is None:
        last = next((line.strip() for line in reversed(lines) if line.strip()), "no output")
        result.reason = f"test_progs ended with status {code} and no result: {last}"
    elif code and status != "fail":
        result.reason = f"test_progs ended with status {code} after saying {status}"
    else:
        result.status = status
        if status == "fail":
            result.reason = first or next(
                (sub for sub, res in result.subtests.items() if res.status == "fail"),
                "test_progs gives no reason")
        if status == "skip" and again == "SKIP":
            result.reason = f"undecided after {attempt} of at most {max_attempts} runs"
    return result


def failures(lines):
    """What a test that has not ended has complained about so far: the first of it."""
    return plain(next((line for line in lines if FAILED.match(line)), ""))


def plain(line):
    """What test_progs says of a failure, once and without the function's name."""
    line = ASSERTED.sub(r"\1: \2", line.strip())
    return re.sub(r"^\w+:FAIL:\d+ ", "", line)


def output(lines):
    """What a test says besides what test_progs says of it."""
    return [line.rstrip() for line in lines
            if line.strip() and not SAID_BY_IT.match(line)]


def skip_reasons(lines):
    """{subtest, or "" for the test: reason} from a verbose run."""
    reasons, said = {}, ""
    for line in lines:
        sub, test = SUBTEST.match(line), TEST.match(line)
        if sub or test:
            if line.endswith(":SKIP"):
                reasons[sub.group(2) if sub else ""] = said
            said = ""
        elif re.search("skip", line, re.I) and not line.startswith("#"):
            said = line.strip()
    return reasons


class Stream:
    """Takes the guest's output line by line; `results` grows as tests end."""

    def __init__(self, tests):
        self.tests = {test.name: test for test in tests}
        self.results = {}
        self.running = None          # name of the test that has begun and not ended
        self.last = None             # name of the test that ended last
        self.attempt = 0
        self.done = False
        self.broken = ""             # why nothing could be run
        self.lines = []              # output of the test that runs, or of the boot
        self._why = None

    def feed(self, line):
        """Returns the words of a mark, so that the caller can show progress."""
        line = line.rstrip("\r\n")
        at = line.find("@@")
        if line[:at].endswith("selftests: "):      # the copy in the kernel's log
            at = -1
        words = line[at + 2:].split() if at >= 0 else []
        handler = getattr(self, f"_on_{words[0]}", None) if words else None
        if handler is None:
            self.lines.append(line)
            return None
        if at > 0:                   # a test's last line had no newline
            self.lines.append(line[:at])
        handler(*words[1:])
        return words

    def _on_ready(self):
        """From here on the limits are those of tests."""

    def _on_done(self):
        self.done = True

    def _on_broken(self, *words):
        self.broken = " ".join(words)

    def _on_leftout(self, name, *words):
        self.results[name] = Result("left out", " ".join(words))

    def _on_begin(self, name, attempt):
        self.running, self.attempt, self.lines = name, int(attempt), []

    def _on_end(self, name, attempt, code):
        test = self.tests.get(name)
        if test is None:             # the sample module: not a test of test_progs
            last = next((line.strip() for line in reversed(self.lines) if line.strip()), "")
            self.results[name] = Result("pass" if code == "0" else "fail", last)
        else:
            before = self.results.get(name)
            result = judge(name, self.lines, int(code), test.limit,
                           test.attempts, int(attempt), test.again)
            result.lines = self.lines
            if test.own:
                result.output = output(self.lines)
                result.skipped(self.lines)
            if result.status == "fail" and any(word in result.reason for word in test.known):
                result.status = "known"
            if before and before.status == "fail":
                result.earlier = [*before.earlier, before.reason]
            self.results[name] = result
        self.running, self.last, self.lines = None, name, []

    def _on_why(self, name):
        self._why, self.lines = name, []

    def _on_whyend(self, name):
        if name in self.results:
            self.results[name].skipped(self.lines)
        self._why, self.lines = None, []


def blame(console, reports):
    """[(name of the test or None, report)]: whose mark in the kernel's log is
    the last one before each report. Reports are in the console's order."""
    console = console.replace("\r", "")
    found, at = [], 0
    for report in reports:
        text = report.text.replace("\r", "")
        place = console.find(text, at)
        place = max(place, at)
        marks = re.findall(r"selftests: @@(?:begin|why) (\S+)", console[:place])
        found.append((marks[-1] if marks else None, report))
        at = place + len(text)
    return found
