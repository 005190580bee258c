# SPDX-License-Identifier: GPL-2.0
"""The flavors of a kernel: config/ says what each is, this says what follows from it."""

FLAVORS = ("plain", "debug", "kcsan", "rt", "cfi", "up")
SLOW = ("debug", "kcsan", "rt")         # they check what they do


def add_argument(parser):
    parser.add_argument("--flavor", choices=FLAVORS, default="plain", help="of the kernel (default: plain)")


def suffix(flavor):
    """What a name has for it at its end, such as that of the build folder."""
    return "" if flavor == "plain" else f"-{flavor}"


def command(impl, flavor):
    """What builds that kernel."""
    return f"make kernel IMPL={impl}" + ("" if flavor == "plain" else f" FLAVOR={flavor}")
