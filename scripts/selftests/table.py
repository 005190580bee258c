# SPDX-License-Identifier: GPL-2.0
"""Results of one or two kernels: verdict, table, JSON."""

import re
from collections import Counter

import kernels
from kernels import TITLES

from .parse import Result

MISSING = Result("not run", "did not appear in the output")
NOT_RUN = ("left out", "skip", "not run")


def parts(results):
    """{name of test or test/subtest: Result} over everything that was run."""
    return {name: res for test, result in results.items() for name, res in result.parts(test)}


def problems(columns, refuses=False):
    """What makes the run fail, one line each. columns: {"c"|"rust": results}. Rust may skip what
    C skips, unless C refuses on such a kernel what Rust does not. One kernel alone must pass all."""
    found = [f"nothing passed on {TITLES[impl]}: nothing was tested"
             for impl, results in columns.items()
             if not any(res.status == "pass" for res in results.values())]
    impl = "rust" if "rust" in columns else "c"
    ours, theirs = parts(columns[impl]), parts(columns["c"]) if len(columns) > 1 else {}
    for name in dict.fromkeys([*theirs, *ours]):
        mine, other = ours.get(name, MISSING), theirs.get(name, MISSING).status
        said = f"{name}: {mine.status} on {TITLES[impl]}" + (f" ({mine.reason})" if mine.reason else "")
        if other == "pass" and mine.status != "pass":
            found.append(said + "; C passes")
        elif mine.status not in ("pass", "left out") and not (mine.status == other == "skip" and not refuses):
            found.append(said)
    return found


def shows(result, words):
    return result.status != "pass" and any(word in result.reason for word in words)


def too_small(result):
    """A test that the machine is too small for."""
    return result.status == "skip" and re.match(r"(?:SKIP: )?needs \d CPUs", result.reason)


def own_problem(test, impl, result, small, fixed, usual):
    """What is wrong with the result of one of this repository's tests on one kernel."""
    bad = f"{test.name} on {TITLES[impl]}: {result.status}: {result.reason}"

    def does_not_show(what, words):
        said = " or ".join(f"'{word}'" for word in words)
        return [f"{test.name} on {TITLES[impl]} does not show the known {what} ({said}): "
                f"{result.status} {result.reason}"]

    if test.known and result.status != "known":
        return does_not_show("limit", test.known)
    if impl == "rust":
        if result.status != ("known" if test.known else "pass"):
            return [bad]
        return [f"{name} on Rust: {part.status}: {part.reason}" for name, part in result.parts(test.name)
                if part.status == "skip" and not (small and too_small(part))]
    if test.known:
        return []
    if result.status in NOT_RUN:
        return [bad]
    if test.c_says and test.name not in fixed:
        missed = not shows(result, test.c_says) and (usual or result.status != "pass")
        return does_not_show("bug", test.c_says) if missed else []
    by_chance = not fixed and shows(result, test.c_may_say)
    return [] if result.status == "pass" or by_chance else [bad]


def own_problems(tests, columns, small=False, fixed=(), usual=True):
    """What makes a run of this repository's tests fail: all must pass on Rust, and C must show
    the bugs it is known for, and no other. A small machine cannot show everything, and one that
    is not the usual one, by its flavor, architecture or command line, need not show a bug
    of C. The bugs of the tests in `fixed` are repaired on C."""
    found = []
    for test in tests:
        for impl in ("rust", "c"):
            result = columns.get(impl, {}).get(test.name, MISSING)
            if impl in columns and result.status != "left out" and not (small and too_small(result)):
                found += own_problem(test, impl, result, small, fixed, usual)
    found += [f"boot on {TITLES[impl]}: {results['boot'].reason}"
              for impl, results in columns.items() if "boot" in results]
    return found or [f"nothing ran on {TITLES[impl]}: nothing was tested" for impl, results in columns.items()
                     if all(res.status in NOT_RUN for res in results.values())]


def remarks(columns):
    """What does not fail the run, and should still be seen."""
    if len(columns) < 2:
        return []
    ours = parts(columns["rust"])
    return [f"{name}: {res.status} on C ({res.reason}), {ours.get(name, MISSING).status} on Rust"
            for name, res in parts(columns["c"]).items() if res.status in ("fail", "crash", "hang", "skip")]


def cell(result):
    if result is None:
        return "-"
    text = result.status
    if result.subtests:
        text += f" ({sum(sub.status == 'pass' for sub in result.subtests.values())}/{len(result.subtests)})"
    return text + (f", run {result.attempts}" if result.attempts > 1 else "")


def note(found):
    """The reasons of {kernel: Result or None}, said once when all have the same."""
    found = {impl: res for impl, res in found.items() if res}
    said = {}
    for impl, res in found.items():
        if res.status != "pass" and res.reason:
            said[impl] = res.reason
        elif res.status == "pass" and res.earlier:
            said[impl] = "failed before: " + ", ".join(res.earlier)
    if len(said) == len(found) and len(set(said.values())) == 1:
        return next(iter(said.values()))
    return "; ".join(f"{TITLES[impl]}: {reason}" for impl, reason in said.items())


def rows(columns):
    """[[name, a cell for each kernel, note]]; subtests only where one did not pass."""
    out = []
    for name in dict.fromkeys(name for results in columns.values() for name in results):
        found = {impl: results.get(name) for impl, results in columns.items()}
        subs = dict.fromkeys(sub for res in found.values() if res
                             for sub, leaf in res.subtests.items() if leaf.status != "pass")
        out.append([name, *map(cell, found.values()), "" if subs else note(found)])
        for sub in subs:
            part = {impl: res.subtests.get(sub) if res else None for impl, res in found.items()}
            out.append([f"  {sub}", *map(cell, part.values()), note(part)])
    return out


def render_own(tests, columns):
    """The table of this repository's tests as text, the reasons after it."""
    out = [kernels.grid([["test", *(TITLES[impl] for impl in columns), "what"],
                         *([test.name, *(cell(columns[impl].get(test.name)) for impl in columns), test.what]
                           for test in tests)])]
    for impl in columns:
        for test in tests:
            said = {}           # the same of a test and its subtest is said of the test
            for name, result in columns[impl].get(test.name, MISSING).parts(test.name):
                if result.reason and result.status != "pass":
                    said.setdefault(result.reason, name)
            out += [f"{TITLES[impl]}, {name}: {reason}" for reason, name in said.items()]
    return "\n".join(out)


def render(columns, built):
    """The table, what was built from what, and remarks, as text."""
    body = [["test", *(TITLES[impl] for impl in columns), "reason"], *rows(columns)]
    rule = ["-" * max(map(len, column)) for column in list(zip(*body))[:-1]] + ["-" * len("reason")]
    out = [kernels.grid([body[0], rule, *body[1:]])]
    for impl in columns:
        width = max(map(len, built[impl]))
        out += ["", f"{TITLES[impl]} kernel:", *(f"  {key:{width}}  {value}" for key, value in built[impl].items())]
    return "\n".join([*out, "", *(f"note: {line}" for line in remarks(columns))])


def counts(results):
    tally = Counter(res.status for res in results.values())
    return ", ".join(f"{number} {status}" for status, number in sorted(tally.items()))


def write_json(path, columns, built, failures, tests=()):
    about = {test.name: {"what": test.what, "hazard": test.hazard} for test in tests}
    kernels.write_json(path, {
        "ok": not failures,
        "problems": failures,
        "tests": {name: {**about.get(name, {}), **{impl: results[name].as_dict()
                         for impl, results in columns.items() if name in results}}
                  for name in dict.fromkeys(n for res in columns.values() for n in res)},
        "built": built,
    })
