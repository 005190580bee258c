# SPDX-License-Identifier: GPL-2.0
"""KVM where it works, emulation (TCG) elsewhere.

/dev/kvm may be there and yet a kernel hangs or dies under it, so a boot is
tried once and the answer kept until the machine boots again. A "no" is kept
only when the same kernel then ran under TCG: the kernel may be what is broken.
"""

import json
import os

from kernels import cache, write_json

from . import VmError

# Seconds without a word of the kernel's, after which it hangs. A boot under a KVM
# that works takes one or two, on a busy host longer: it goes on saying things.
PROBE_SILENCE = 15


def machine_key():
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read().strip()
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return f"{boot} {models[0] if models else 'unknown CPU'}"


def probe_file():
    return cache() / "kvm-probe"


def recall():
    """True or False when known for this machine since its boot, else None."""
    try:
        known = json.loads(probe_file().read_text(encoding="utf-8"))
        return known["works"] if known["machine"] == machine_key() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember(works):
    write_json(probe_file(), {"machine": machine_key(), "works": works})


def choose(probe, say):
    """('kvm' or 'tcg', whether a failed probe is still to be remembered)."""
    wanted = os.environ.get("VM_ACCEL", "")
    if wanted not in ("", "kvm", "tcg"):
        raise VmError(f"VM_ACCEL is '{wanted}': it can be kvm or tcg")
    if wanted:
        return wanted, False
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg", False
    known = recall()
    if known is None:
        say(f"trying a boot with KVM, once, until it ends or is silent for {PROBE_SILENCE} s")
        if not probe():
            say("KVM does not work here, going on with emulation (TCG)")
            return "tcg", True
        remember(True)
        known = True
    return ("kvm" if known else "tcg"), False
