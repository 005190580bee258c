#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Sizes of the Rust implementation, C beside it, and some of the kernel's own Rust files, in the tree of make tree.

Code lines are those that are neither blank nor comment; tests, that is from the first kunit_tests on, do not count.
The C code is what CONFIG_BPF_ASYNC_RUST leaves out of kernel/bpf/helpers.c. Text is counted in the vmlinux of the
kernels that make kernel has built, without what KUnit and doctests add.
"""

import re
import subprocess
import sys

from kernels import cache

BPF = ["rust/kernel/bpf.rs", "rust/kernel/bpf"]
OTHERS = {"hrtimer.rs": ["rust/kernel/time/hrtimer.rs"], "workqueue.rs": ["rust/kernel/workqueue.rs"],
          "binder": ["drivers/android/binder"]}
DOMAIN = "  of that domain.rs"
OURS = re.compile(r"_R.*6kernel3bpf(?!.*(5tests|doctest|kunit))|bpf_async_(timer|wq)_|bpf_async_(drain|irq)|"
                  r"bpf_(timer_cb|wq_work)$|bpf_(timer|wq)_cancel_and_free$|bpf_timer_(init|set_callback|start|cancel)$")

# All that names a type of domain.rs is compiled for it.
TEXT = {"Rust, bpf/": OURS, DOMAIN: re.compile(r"_R.*6kernel3bpf.*6domain(?!.*(5tests|doctest|kunit))")}

BUDGET = {"files": 11, "functions": 170, "code lines": 1750, "text": 7500}
# What is above it, and why.
REASONS = {"text": "domain.rs has timers and work items compiled once more, for callbacks in Rust; BPF needs {} bytes"}


def code(text):
    """The lines that are code, without block comments, line comments and blank lines."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    lines = (re.sub(r"//.*", "", line).rstrip() for line in text.splitlines())
    return [line for line in lines if line.strip()]


def rust(tree, paths):
    """The numbers of files, functions, lines and unsafe blocks."""
    files = [file for path in paths for file in [*(tree / path).rglob("*.rs"), tree / path] if file.is_file()]
    lines = []
    for file in files:
        text = file.read_text(encoding="utf-8")
        lines += code(re.split(r"^(?:#\[cfg\(.*\)\]\n)?#\[(?:macros::)?kunit_tests", text, maxsplit=1, flags=re.M)[0])
    joined = "\n".join(lines)
    unsafe = len(re.findall(r"\bunsafe (?:\{|impl\b)|\bunsafe$", joined, flags=re.M))
    return len(files), len(re.findall(r"\bfn \w+", joined)), len(lines), unsafe


def c_regions(tree):
    """What the switch leaves out of helpers.c."""
    text = (tree / "kernel/bpf/helpers.c").read_text(encoding="utf-8")
    return "".join(re.findall(r"^(?:#ifndef CONFIG_BPF_ASYNC_RUST|#ifdef CONFIG_BPF_ASYNC_RUST\n.*?^#else)\n(.*?)"
                              r"^#endif /\* !?CONFIG_BPF_ASYNC_RUST \*/", text, flags=re.M | re.S))


def text_bytes(build, pattern):
    """Of the functions with such names, if that kernel was built."""
    if not (build / "vmlinux").is_file():
        return "-"
    out = subprocess.run(["nm", "-S", build / "vmlinux"], capture_output=True, text=True, check=True).stdout
    symbols = re.findall(r"^\w+ (\w+) [tT] (\S+)$", out, flags=re.M)
    return sum(int(size, 16) for size, name in symbols if pattern.match(name))


def main():
    tree = max(cache().glob("trees/*.*.*[0-9]"), default=None, key=lambda path: path.stat().st_mtime)
    if not tree or not (tree / BPF[0]).is_file():
        sys.exit(f"error: there is no tree with our files in {tree or cache()}; run 'make tree' first")
    kernel_c, kernel_rust = (cache() / "build" / f"{tree.name}-{impl}" for impl in ("c", "rust"))
    row = "{:<22} {:>5} {:>9} {:>10} {:>6} {:>8} {:>6}".format
    print(row("", "files", "functions", "code lines", "unsafe", "per 100", "text"))
    region = c_regions(tree)
    names = re.findall(r"^(?:static |__bpf_kfunc |BPF_CALL_\d\()?[\w \*]*?(\w+)(?:\(|, )[^;{]*\)\n\{", region,
                       flags=re.M)
    c_text = text_bytes(kernel_c, re.compile("(" + "|".join(names) + r")$"))
    print(row("C, helpers.c", 1, region.count("\n{\n"), len(code(region)), "-", "-", c_text))
    ours = {}
    for title, paths in {"Rust, bpf/": BPF, DOMAIN: ["rust/kernel/bpf/domain.rs"], **OTHERS}.items():
        files, functions, lines, unsafe = rust(tree, paths)
        text = text_bytes(kernel_rust, TEXT[title]) if title in TEXT else "-"
        print(row(title, files, functions, lines, unsafe, f"{100 * unsafe / max(lines, 1):.1f}", text))
        ours[title] = dict(zip(BUDGET, (files, functions, lines, text)))
    files, functions, lines, text = BUDGET.values()
    print(row("budget of bpf/", files, functions, lines, "", "", text))
    for what, most in BUDGET.items():
        value, part = ours["Rust, bpf/"][what], ours[DOMAIN][what]
        if value != "-" and value > most:
            print(f"{what}: {value} of {most}:", REASONS.get(what, "no reason is known").format(value - part))


if __name__ == "__main__":
    main()
