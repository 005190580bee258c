# SPDX-License-Identifier: GPL-2.0
"""The parts of vm.py."""


class VmError(Exception):
    """Something that keeps a VM from being started; the text says what, and what to do."""
