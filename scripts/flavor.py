# SPDX-License-Identifier: GPL-2.0
"""Which kernel is meant, besides IMPL: config/ says what a flavor and a machine are, this what follows from them."""

FLAVORS = ("plain", "debug", "kcsan", "rt", "cfi", "up")
ARCHES = ("x86_64", "arm64")
SLOW = ("debug", "kcsan", "rt")         # they check what they do
IMAGES = {"x86_64": "arch/x86/boot/bzImage", "arm64": "arch/arm64/boot/Image"}


def add_arguments(parser):
    parser.add_argument("--flavor", choices=FLAVORS, default="plain", help="of the kernel (default: plain)")
    parser.add_argument("--arch", choices=ARCHES, default="x86_64", help="its machine (default: x86_64)")


def words(args):
    """What is not the default, for a name."""
    return [word for word in (args.flavor, args.arch) if word not in ("plain", "x86_64")]


def suffix(args):
    """The same at the end of a name, such as that of the build folder."""
    return "".join(f"-{word}" for word in words(args))


def command(impl, args):
    """What builds that kernel."""
    return " ".join(["make kernel", f"IMPL={impl}", *([f"FLAVOR={args.flavor}"] if args.flavor != "plain" else []),
                     *([f"ARCH={args.arch}"] if args.arch != "x86_64" else [])])


def is_slow(args):
    return args.flavor in SLOW or args.arch != "x86_64"
