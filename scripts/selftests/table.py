# SPDX-License-Identifier: GPL-2.0
"""Results of one or two kernels: verdict, table, JSON."""

import re

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
    C skips, unless C refuses on such a kernel what Rust does not."""
    found = [f"nothing passed on {TITLES[impl]}: nothing was tested"
             for impl, results in columns.items()
             if not any(res.status == "pass" for res in results.values())]
    if len(columns) == 1:
        # Nothing to compare with, so everything must pass.
        (impl, results), = columns.items()
        return found + [_problem(name, res, TITLES[impl]) for name, res in parts(results).items()
                        if res.status not in ("pass", "left out")]
    ours, theirs = parts(columns["rust"]), parts(columns["c"])
    for name in dict.fromkeys([*theirs, *ours]):
        mine, other = ours.get(name, MISSING), theirs.get(name)
        if other is not None and other.status == "pass" and mine.status != "pass":
            found.append(_problem(name, mine) + "; C passes")
        elif mine.status == "skip" and other is not None and other.status == "skip" and not refuses:
            continue
        elif mine.status not in ("pass", "left out"):
            found.append(_problem(name, mine))
    return found


def shows(result, words):
    return result.status != "pass" and any(word in result.reason for word in words)


def too_small(result):
    """A test that the machine is too small for."""
    return result.status == "skip" and re.match(r"(?:SKIP: )?needs \d CPUs", result.reason)


def own_problems(tests, columns, small=False, fixed=(), usual=True):
    """The same of this repository's tests: all must pass on Rust, and C must show the
    bugs it is known for, and no other. A small machine cannot show everything, and one that
    is not the usual one, by its flavor, architecture or command line, need not show a bug
    of C. The bugs of the tests in `fixed` are repaired on C."""
    found = []
    for test in tests:
        rust, c = (columns.get(impl, {}).get(test.name, MISSING if impl in columns else None)
                   for impl in ("rust", "c"))
        rust, c = (None if result and (result.status == "left out" or small and too_small(result)) else result
                   for result in (rust, c))
        for title, result in (("Rust", rust), ("C", c)):
            if result and test.known and result.status != "known":
                found.append(f"{test.name} on {title} does not show the known limit "
                             f"({_quoted(test.known)}): {result.status} {result.reason}")
        if rust and rust.status != "pass" and not test.known:
            found.append(f"{test.name} on Rust: {rust.status}: {rust.reason}")
        elif rust:
            found += [f"{name} on Rust: {part.status}: {part.reason}" for name, part in rust.parts(test.name)
                      if part.status == "skip" and not (small and too_small(part))]
        if c and c.status in ("skip", "not run"):
            found.append(f"{test.name} on C: {c.status}: {c.reason}")
        elif c and not test.known and (not test.c_says or test.name in fixed):
            if c.status != "pass" and (fixed or not shows(c, test.c_may_say)):
                found.append(f"{test.name} on C: {c.status}: {c.reason}")
        elif c and test.c_says and not shows(c, test.c_says) and (usual or c.status != "pass"):
            found.append(f"{test.name} on C does not show the known bug "
                         f"({_quoted(test.c_says)}): {c.status} {c.reason}")
    found += [f"boot on {TITLES[impl]}: {results['boot'].reason}"
              for impl, results in columns.items() if "boot" in results]
    return found or [f"nothing ran on {TITLES[impl]}: nothing was tested" for impl, results in columns.items()
                     if all(res.status in NOT_RUN for res in results.values())]


def _quoted(words):
    return " or ".join(f"'{word}'" for word in words)


def remarks(columns):
    """What does not fail the run, and should still be seen."""
    if len(columns) < 2:
        return []
    out = []
    ours = parts(columns["rust"])
    for name, res in parts(columns["c"]).items():
        mine = ours.get(name, MISSING)
        if res.status in ("fail", "crash", "hang", "skip"):
            out.append(f"{name}: {res.status} on C ({res.reason}), {mine.status} on Rust")
    return out


def _problem(name, res, title="Rust"):
    return f"{name}: {res.status} on {title}" + (f" ({res.reason})" if res.reason else "")


def _cell(result):
    if result is None:
        return "-"
    text = result.status
    if result.subtests:
        good = sum(sub.status == "pass" for sub in result.subtests.values())
        text += f" ({good}/{len(result.subtests)})"
    if result.attempts > 1:
        text += f", run {result.attempts}"
    return text


def rows(columns):
    """[(name, {impl: cell}, note)]; subtests only where one did not pass."""
    names = list(dict.fromkeys(name for results in columns.values() for name in results))
    out = []
    for name in names:
        found = {impl: results.get(name) for impl, results in columns.items()}
        subs = list(dict.fromkeys(
            sub for res in found.values() if res for sub, leaf in res.subtests.items()
            if leaf.status != "pass"))
        out.append((name, {impl: _cell(res) for impl, res in found.items()},
                    "" if subs else _note(found)))
        for sub in subs:
            part = {impl: res.subtests.get(sub) if res else None for impl, res in found.items()}
            out.append((f"  {sub}", {impl: _cell(res) for impl, res in part.items()}, _note(part)))
    return out


def _note(found):
    """The reasons, said once when both kernels have the same."""
    said = {}
    for impl, res in found.items():
        if res and res.status == "pass" and res.earlier:
            said[impl] = "failed before: " + ", ".join(res.earlier)
        elif res and res.reason and res.status != "pass":
            said[impl] = res.reason
    if len(set(said.values())) == 1 and len(said) == sum(res is not None for res in found.values()):
        return next(iter(said.values()))
    return "; ".join(f"{TITLES[impl]}: {reason}" for impl, reason in said.items())


def render_own(tests, columns):
    """The table of this repository's tests as text, the reasons after it."""
    out = [kernels.grid([["test", *(TITLES[impl] for impl in columns), "what"],
                         *([test.name, *(_cell(columns[impl].get(test.name)) for impl in columns), test.what]
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
    """The table and what was built from what, as text."""
    body = [["test", *(TITLES[impl] for impl in columns), "reason"],
            *([name, *(cells[impl] for impl in columns), note] for name, cells, note in rows(columns))]
    rule = ["-" * max(len(row[i]) for row in body) for i in range(len(body[0]) - 1)] + ["-" * 6]
    out = [kernels.grid([body[0], rule, *body[1:]])]
    for impl in columns:
        out += ["", f"{TITLES[impl]} kernel:"]
        width = max(len(key) for key in built[impl])
        out += [f"  {key.ljust(width)}  {value}" for key, value in built[impl].items()]
    return "\n".join(out)


def counts(results):
    tally = {}
    for res in results.values():
        tally[res.status] = tally.get(res.status, 0) + 1
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
