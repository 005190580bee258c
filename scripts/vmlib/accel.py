# SPDX-License-Identifier: GPL-2.0
"""KVM where it works, emulation (TCG) elsewhere.

/dev/kvm may be there and yet a kernel hangs or dies under it, so a boot is
tried once and the answer kept until the machine boots again. A "no" is kept
only when the same kernel then ran under TCG: the kernel may be what is broken.
"""

import os
from pathlib import Path

from kernels import BuildError, cache

# Seconds. A boot under a KVM that works takes one or two, on a busy host longer.
PROBE_LIMIT = 60


def record(works):
    """What the cache's file kvm-probe says when this is known for this machine, since its boot."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    models = [line for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if "model name" in line]
    return f"{boot}, {models[0] if models else 'unknown CPU'}: {'kvm' if works else 'tcg'}\n"


def recall():
    """True or False when known, else None."""
    try:
        known = (cache() / "kvm-probe").read_text(encoding="utf-8")
    except OSError:
        return None
    return {record(True): True, record(False): False}.get(known)


def remember(works):
    (cache() / "kvm-probe").write_text(record(works), encoding="utf-8")


def choose(probe, say):
    """('kvm' or 'tcg', whether a failed probe is still to be remembered)."""
    wanted = os.environ.get("VM_ACCEL", "")
    if wanted not in ("", "kvm", "tcg"):
        raise BuildError(f"VM_ACCEL is '{wanted}': it can be kvm or tcg")
    if wanted:
        return wanted, False
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg", False
    if recall() is None:
        say(f"trying a boot with KVM, once, for at most {PROBE_LIMIT} s")
        if not probe():
            say("KVM does not work here, going on with emulation (TCG)")
            return "tcg", True
        remember(True)
    return ("kvm" if recall() else "tcg"), False
