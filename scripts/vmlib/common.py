# SPDX-License-Identifier: GPL-2.0
"""What every part of vm.py uses: the cache's place and the one way to fail."""

import os
from pathlib import Path


class VmError(Exception):
    """Something that keeps a VM from being started; the text says what, and what to do."""


def cache_dir():
    path = os.environ.get("BPF_ASYNC_CACHE") or "~/.cache/bpf-async"
    return Path(path).expanduser().absolute()


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
