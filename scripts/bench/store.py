# SPDX-License-Identifier: GPL-2.0
"""out/bench.json and the earlier ones in out/bench-history/."""

import json
import time

from kernels import write_json

from .kernels import BenchError


def history(path):
    """Where earlier results of that file are, the oldest first."""
    return sorted((path.parent / "bench-history").glob(f"{path.stem}-[0-9]*.json"))


def read(path):
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BenchError(f"there is no {path}; run 'make bench' first") from None
    except ValueError as error:
        raise BenchError(f"{path} cannot be read ({error}); remove it, and measure again") from None
    if not isinstance(data, dict) or not isinstance(data.get("operations", {}), dict):
        raise BenchError(f"{path} is no file of results; remove it, and measure again")
    return data


def write(path, data):
    """The file that was there goes to the history, under the time of its writing."""
    if path.is_file():
        old = path.parent / "bench-history"
        old.mkdir(exist_ok=True)
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(path.stat().st_mtime))
        path.replace(old / f"{path.stem}-{stamp}.json")
    write_json(path, data)
