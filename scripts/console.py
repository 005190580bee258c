# SPDX-License-Identifier: GPL-2.0
"""Find the kernel's reports of its own faults in a console log.

A report starts at a line that only a fault prints (HEADS below) and ends at
its own end marker, or where its stack trace ends. A stack trace alone is no
report: sysrq-l, sysrq-t and kernel debugging print those on a healthy kernel.
"""

import re
from typing import NamedTuple

CUT = "------------[ cut here ]------------"
RULE = re.compile(r"^={20,}$")
STAMP = re.compile(r"^(?:<\d+>)?\[\s*(\d+\.\d+)\](?:\[\s*[TC]\d+\])? ?")
# What some subsystems put before every line of theirs.
PREFIX = r"^(?:watchdog: |rcu: |workqueue: |traps: |slub: |page_alloc: )?"

# Tried from top to bottom, on the line without its time stamp.
HEADS = [(kind, re.compile(PREFIX + pattern)) for kind, pattern in (
    ("panic", r"Kernel panic - not syncing"),
    ("kasan", r"BUG: KASAN: "),
    ("kcsan", r"BUG: KCSAN: "),
    ("kfence", r"BUG: KFENCE: "),
    ("kmsan", r"BUG: KMSAN: "),
    ("ubsan", r"UBSAN: "),
    ("odebug", r"ODEBUG: (?!selftest passed|\d+ of \d+ active objects)"),
    ("refcount", r"refcount_t: "),
    ("list", r"list_(?:add|del)(?:_rcu)? (?:corruption|double add)"),
    ("soft lockup", r"BUG: soft lockup"),
    ("hard lockup", r"(?:CPU\d+: )?Watchdog detected hard LOCKUP"),
    ("workqueue lockup", r"BUG: workqueue lockup"),
    ("hung task", r"INFO: task .+:\d+ .*blocked.* for more than \d+ seconds"),
    ("rcu stall", r"INFO: \S+ (?:self-)?detected (?:expedited )?stalls?\b"),
    ("atomic", r"BUG: (?:scheduling while atomic|scheduling in a non-blocking section"
               r"|sleeping function called from invalid context|using \S+ in preemptible"
               r"|assuming (?:atomic|non migratable) context)"),
    ("rcu usage", r"WARNING: suspicious RCU usage"),
    ("lockdep", r"(?:WARNING: (?:possible (?:circular locking|recursive locking|irq lock inversion)"
                r"|inconsistent lock state|\S+-safe -> \S+-unsafe lock order|chain_key collision"
                r"|Nested lock was not taken|bad unlock balance|bad contention|held lock freed"
                r"|lock held when returning to user space|.+ still has locks held)"
                r"|\[ BUG: |BUG: (?:MAX_\w+ too low|Invalid wait context|looking up invalid subclass)"
                r"|INFO: trying to register non-static key)"),
    ("cfi", r"CFI failure at "),
    ("oops", r"(?:Unable to handle kernel |Internal error: |BUG: (?:unable to handle|kernel NULL pointer|.*stack guard page)"
             r"|PANIC: double fault|Oops\b|.+: [0-9a-f]{4} \[#\d+\])"),
    ("slab", r"BUG .+ \((?:Not tainted|Tainted)[^)]*\): "),
    ("kmemleak", r"(?:kmemleak: \d+ new suspected memory leaks|unreferenced object 0x"
                 r"|kmemleak: (?:Cannot insert|Found object by alias|(?:Partially )?[Ff]reeing unknown object))"),
    ("rust panic", r"rust_kernel: panicked at "),
    ("BUG", r"(?:kernel BUG at |BUG: )"),
    # Unknown warnings count: the unwinder's doubts about a stack are the known exception.
    ("warn", r"WARNING: (?!missing \w+ value at|can't access (?:iret )?registers|unknown (?:SP|BP) base reg"
             r"|unknown \.orc_unwind|stack going in the wrong direction|WARNING: bad lookup)"),
)]
GENERAL = ("warn", "BUG", "oops")   # a more specific line near the head names the fault better
RULED = ("kasan", "kcsan", "kfence", "kmsan")   # they end with a rule as they began
MARKED = ("panic", "cfi", "oops")          # they end with an end mark, as does all that begins with CUT
END_MARK = re.compile(r"^---\[ end (?:trace|Kernel panic)")
STACK_LINE = re.compile(r"^(?:\s|RIP: |RSP: |R\d\d: |R..: |[CDEF]S: |CR\d: |DR\d: |PKRU: |Code: |Call [Tt]race:|</?\w+>|$)")
TRACE = ("Call Trace:", "Call trace:")      # x86, arm64
NAME_WITHIN = 12                    # lines after a "cut here" that may name the fault
MAX_LINES = 400                     # a report without an end is cut here
MAX_GAP = 2.0                       # seconds of silence that end a report without a trace


class Report(NamedTuple):
    kind: str
    first_line: str                 # the line that names the fault, without its time stamp
    text: str                       # the whole report as it stands in the console


class Line(NamedTuple):
    raw: str
    msg: str                        # without the time stamp
    time: float


def parse(text):
    lines, time = [], 0.0
    for raw in text.replace("\r", "").split("\n"):
        stamp = STAMP.match(raw)
        time = float(stamp[1]) if stamp else time
        lines.append(Line(raw, raw[stamp.end():] if stamp else raw, time))
    return lines


def kind_of(msg):
    return next((kind for kind, pattern in HEADS if pattern.match(msg)), None)


def name_after_cut(lines, start):
    """The kind, and the index of the line that says it, of the report cut at `start`."""
    named = []
    for i in range(start + 1, min(start + 1 + NAME_WITHIN, len(lines))):
        msg = lines[i].msg
        kind = kind_of(msg)
        if msg == CUT or END_MARK.match(msg) or msg.startswith(TRACE) or kind == "panic":
            break
        if kind:
            named.append((kind, i))
    specific = [(kind, i) for kind, i in named if kind not in GENERAL]
    return [*specific, *named, ("warn", min(start + 1, len(lines) - 1))][0]


def head_at(lines, i):
    """(kind, index of the naming line) when a report starts at line i, else None."""
    if lines[i].msg == CUT:
        return name_after_cut(lines, i)
    at = i + 1 if RULE.match(lines[i].msg) else i
    kind = kind_of(lines[at].msg) if at < len(lines) else None
    return (kind, at) if kind else None


def end_of(lines, kind, start, head):
    """The index after the last line of the report that starts at `start` and is named by line `head`."""
    if kind == "kmemleak" and "new suspected" in lines[head].msg:
        return head + 1
    marked = kind in MARKED or lines[start].msg == CUT
    limit = min(len(lines), head + MAX_LINES)
    in_trace = False
    for i in range(head + 1, limit):
        msg = lines[i].msg
        if msg == CUT or (RULE.match(msg) and head_at(lines, i)):
            return i
        if END_MARK.match(msg) or (kind in RULED and RULE.match(msg)):
            return i + 1
        if marked and kind != "panic" and msg.startswith("Kernel panic - not syncing"):
            return i
        if marked or kind in RULED:
            continue
        if msg.startswith(TRACE):
            in_trace = True
        elif in_trace and msg.strip() == "</TASK>":
            return i + 1
        elif (in_trace and not STACK_LINE.match(msg)) or lines[i].time - lines[i - 1].time > MAX_GAP:
            return i
    return limit


def find_reports(text):
    """All reports in `text`, in the order of the console."""
    lines = parse(text)
    reports, i = [], 0
    while i < len(lines):
        head = head_at(lines, i)
        if not head:
            i += 1
            continue
        kind, at = head
        end = max(end_of(lines, kind, i, at), i + 1)
        raw = "\n".join(line.raw for line in lines[i:end])
        reports.append(Report(kind, lines[at].msg.strip(), raw.rstrip()))
        i = end
    return reports
