# SPDX-License-Identifier: GPL-2.0
"""What guest.sh and test_progs print, turned into results.

A Result's status is one of
    pass      everything in it passed
    known     it failed by a limit that both kernels are known to have
    fail      it said so, or ended without a word
    skip      the test itself gave up; never counted as a pass
    crash     the kernel reported a fault, or went away, while it ran
    hang      it was ended because it did not end
    left out  not begun, for a reason known up front; or what it needs is refused there
    not run   it did not appear in the output
"""

import re
from dataclasses import dataclass, field

from console import find_reports

STATUS = {"OK": "pass", "SKIP": "skip", "FAIL": "fail"}     # from good to bad
SUBTEST = re.compile(r"^#\d+/\d+\s+\w+/(.*):(OK|FAIL|SKIP)$")
TEST = re.compile(r"^#\d+\s+(\w+):(OK|FAIL|SKIP)\b(?: \(SKIP: (\d+)/\d+\))?")
ASSERTED = re.compile(r"^\w+:FAIL:(.+) unexpected (?:\1|error|success|pointer|fd): (.*)$")
SAID_BY_IT = re.compile(r"\w+:PASS:|#\d|Summary:|WATCHDOG:|All error logs:|Loading |Successfully (?:un)?loaded ")
FAILED = re.compile(r"^(?:\w+:FAIL:|.*\bFAIL:|libbpf: .*(?:fail|err))")
TIMED_OUT = (124, 137)          # of timeout(1)
SILENT = "test_progs gives no reason"


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
        found = {"status": self.status, "reason": self.reason, "attempts": self.attempts if self.attempts > 1 else 0,
                 "failed before": self.earlier,
                 "subtests": {name: sub.as_dict() for name, sub in self.subtests.items()}, "output": self.output}
        return {key: value for key, value in found.items() if value}

    def skipped(self, lines):
        """Take the reasons for what was skipped from a verbose run."""
        reasons = skip_reasons(lines)
        if self.status == "skip" and not self.reason and not self.subtests:
            self.reason = reasons.get("") or SILENT
        for sub, res in self.subtests.items():
            if res.status == "skip":
                res.reason = reasons.get(sub) or SILENT

    def parts(self, name):
        """(name, Result) of the test itself and of its subtests."""
        return [(name, self)] + [(f"{name}/{sub}", res) for sub, res in self.subtests.items()]


def last_of(lines, default):
    return next((line.strip() for line in reversed(lines) if line.strip()), default)


def plain(line):
    """What test_progs says of a failure, once and without the function's name."""
    line = ASSERTED.sub(r"\1: \2", line.strip())
    return re.sub(r"^\w+:FAIL:\d+ ", "", line)


def failures(lines):
    """What a test has complained about so far: the first of it."""
    return plain(next((line for line in lines if FAILED.match(line)), ""))


def skip_reasons(lines):
    """{subtest, or "" for the test: reason} from a verbose run."""
    reasons, said = {}, ""
    for line in lines:
        sub = SUBTEST.match(line)
        if sub or TEST.match(line):
            if line.endswith(":SKIP"):
                reasons[sub[1] if sub else ""] = said
            said = ""
        elif re.search("skip", line, re.I) and not line.startswith("#"):
            said = line.strip()
    return reasons


def judge(test, lines, code, attempt=1):
    """The result of one test that ended with exit status `code`."""
    if test.kind == "module":
        return Result("fail" if code else "pass", last_of(lines, ""))
    result = Result("fail", attempts=attempt, lines=lines)
    # A test's own complaints come first, then each subtest's before its line.
    status, reason, first = None, "", ""
    for line in lines:
        if line.startswith("All error logs:"):     # repeats what was printed
            break
        if match := SUBTEST.match(line):
            name, word = match.groups()
            sub, reason = Result(STATUS[word], reason if word == "FAIL" else ""), ""
            # Of two of one name the worse counts.
            result.subtests[name] = max(result.subtests.get(name, sub), sub,
                                        key=lambda one: list(STATUS.values()).index(one.status))
        elif (match := TEST.match(line)) and match[1] == test.name:
            status = STATUS[match[2]]
            # More skips than skipped subtests: the test itself gave up, too.
            if status == "pass" and int(match[3] or 0) > sum(sub.status == "skip" for sub in result.subtests.values()):
                status = "skip"
        elif not reason and FAILED.match(line):
            reason = plain(line)
            first = first or reason
    if any("relying on bpf_testmod.ko will be skipped" in line for line in lines):
        result.reason = "test_progs could not load bpf_testmod.ko"
    elif code in TIMED_OUT:
        result.status, result.reason = "hang", (f"{first}; " if first else "") + f"not done after {test.limit} s"
    elif status is None:
        result.reason = f"test_progs ended with status {code} and no result: {last_of(lines, 'no output')}"
    elif code and status != "fail":
        result.reason = f"test_progs ended with status {code} after saying {status}"
    elif status == "fail":
        result.reason = first or next((name for name, sub in result.subtests.items() if sub.status == "fail"), SILENT)
    else:
        result.status = status
        if status == "skip" and test.again == "SKIP":
            result.reason = f"undecided after {attempt} of at most {test.attempts} runs"
    if test.kind == "own":
        result.output = [line.rstrip() for line in lines if line.strip() and not SAID_BY_IT.match(line)]
        result.skipped(lines)
    if result.status == "fail" and any(word in result.reason for word in test.known):
        result.status = "known"
    return result


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

    def feed(self, line):
        """Returns the words of a mark, so that the caller can show progress."""
        line = line.rstrip("\r\n")
        before, _, words = line.partition("@@")
        # Not the copy in the kernel's log.
        words = words.split() if not before.endswith("selftests: ") else []
        lines = [*self.lines, before] if before else self.lines     # a test's last line may have no newline
        match words:
            case ["ready"]:
                pass
            case ["done"]:
                self.done = True
            case ["broken", *why]:
                self.broken = " ".join(why)
            case ["leftout", name, *why]:
                self.results[name] = Result("left out", " ".join(why))
            case ["begin", name, attempt]:
                self.running, self.attempt, self.lines = name, int(attempt), []
            case ["end", name, attempt, code]:
                before, result = self.results.get(name), judge(self.tests[name], lines, int(code), int(attempt))
                if before and before.status == "fail":
                    result.earlier = [*before.earlier, before.reason]
                self.results[name] = result
                self.running, self.last, self.lines = None, name, []
            case ["why", _]:
                self.lines = []
            case ["whyend", name]:
                self.results[name].skipped(lines)
                self.lines = []
            case _:
                self.lines.append(line)
                return []
        return words


def blame(console):
    """[(name of the test or "boot", the line that names the fault)]: whose mark in
    the kernel's log is the last one before each of its reports."""
    console, found, at = console.replace("\r", ""), [], 0
    for report in find_reports(console):
        at = max(console.find(report.text, at), at)
        marks = re.findall(r"selftests: @@(?:begin|why) (\S+)", console[:at])
        found.append((marks[-1] if marks else "boot", report.first_line))
        at += len(report.text)
    return found
