# SPDX-License-Identifier: GPL-2.0
"""Counts against those that were committed.

A count depends on the compilers, on the kernel's version and, as the kernel
adapts itself to the CPU, on QEMU's. Where they are those of the baseline, an
operation that takes more than 2 % more is a regression. Where they are not, a
difference proves nothing: it is shown, and the check counts as not done, unless
everything is within the 2 % all the same.
"""

import json

from kernels import write_json

from .counts import NOISE
from .kernels import BenchError

LIMIT = 0.02
PASS, FAIL, SKIP = 0, 1, 4
RENEW = "scripts/bench.py --impl rust --renew"


def load(path):
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        environment, operations = data["environment"], data["operations"]
        if not operations or not all(isinstance(count, int) for count in operations.values()):
            raise ValueError("no counts in it")
    except FileNotFoundError:
        raise BenchError(f"there is no baseline {path}; make one with {RENEW}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BenchError(f"{path} is no baseline ({error}); restore it, or renew it with {RENEW}") from None
    return environment, operations


def save(path, environment, results):
    write_json(path, {"environment": environment,
                      "operations": {name: result["median"] for name, result in results.items()}})


def compare(baseline, results):
    """(worse, better, missing): lines of text about operations."""
    worse, better, missing = [], [], []
    for name, before in baseline.items():
        if name not in results:
            missing.append(f"{name}: in the baseline, but no longer measured")
            continue
        now, limit = results[name]["median"], LIMIT if results[name]["exact"] else NOISE
        line = f"{name}: {before} -> {now} instructions ({(now - before) / max(before, 1):+.1%})"
        if now - before > limit * abs(before):
            worse.append(line)
        elif before - now > limit * abs(before):
            better.append(line)
    missing += [f"{name}: measured, but not in the baseline" for name in results if name not in baseline]
    return worse, better, missing


def changed(before, now):
    """What is not as it was when the baseline was counted, in words."""
    return [f"{name} {before.get(name, 'unknown')} -> {now.get(name, 'unknown')}"
            for name in sorted({*before, *now}) if before.get(name) != now.get(name)]


def verdict(path, environment, results):
    """(exit status, lines to print)."""
    then, baseline = load(path)
    worse, better, missing = compare(baseline, results)
    other = changed(then, environment)
    lines = []
    if other:
        lines.append("NOTE: the baseline was counted with something else: " + ", ".join(other))
    for line in better:
        lines.append(f"LESS: {line}")
    for line in worse:
        lines.append(f"{'MORE' if other else 'REGRESSION'}: {line}")
    for line in missing:
        lines.append(f"MISSING: {line}")
    counted = f"{len(baseline)} operations against {path.name}"
    if missing or (worse and not other):
        what = [f"{len(worse)} operations take over {LIMIT:.0%} more instructions"] if worse else []
        what += [f"{len(missing)} operations are on one side only"] if missing else []
        return FAIL, lines + [f"FAIL: {counted}: {' and '.join(what)}; fix it, or if it has to be, "
                              f"renew the baseline with {RENEW} and commit it"]
    if worse:
        return SKIP, lines + [
            f"SKIP: {counted}: cannot be decided, {len(worse)} take over {LIMIT:.0%} more, which may be the "
            "other versions' doing alone; to check the code, use the baseline's versions; to go over "
            f"to these, renew it with {RENEW} from a state that is known to be good, and commit it"]
    hint = f"; {len(better)} take less: {RENEW} keeps that" if better else ""
    return PASS, lines + [f"OK: {counted}: none takes over {LIMIT:.0%} more instructions{hint}"]
