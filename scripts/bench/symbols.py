# SPDX-License-Identifier: GPL-2.0
"""Symbols and instructions of a kernel, by LLVM's tools."""

import bisect
import re
import shutil

from .kernels import BenchError, output

# What belongs to the machinery itself: in the C kernel by its name, in the
# Rust kernel every Rust function as well, with the C wrappers it calls.
OWN = re.compile(r"^(_R|rust_helper_|(__)?bpf_(async|timer|wq)_)")


def llvm(name, kernel):
    """The tool of the LLVM that the kernel was compiled with, or the plain one."""
    major = kernel.environment()["clang"].split(".")[0]
    for found in (f"{name}-{major}", name):
        if shutil.which(found):
            return found
    raise BenchError(f"{name}-{major} is missing; run 'make setup'")


def demangled(names, kernel):
    """{name: how Rust writes it}"""
    names = sorted(set(names))
    text = output([llvm("llvm-cxxfilt", kernel), *names], "run 'make setup'") if names else ""
    return dict(zip(names, text.splitlines()))


class Symbols:
    """Where the kernel's functions are."""

    def __init__(self, kernel):
        self.kernel, self.addresses, self.names, self.all = kernel, [], [], {}
        for line in output([llvm("llvm-nm", kernel), "-n", "--defined-only", kernel.vmlinux],
                           "build the kernel again with 'make kernel'").splitlines():
            address, kind, name = line.split(maxsplit=2)
            self.all[name] = int(address, 16)
            if kind in "tTwW":
                self.addresses.append(int(address, 16))
                self.names.append(name)

    def at(self, address):
        """(name, address) of the function there."""
        i = bisect.bisect_right(self.addresses, address) - 1
        return (self.names[i], self.addresses[i]) if i >= 0 else ("?", 0)

    def instructions(self, names):
        """{address: text} of these functions."""
        found, names = {}, sorted(names)
        for first in range(0, len(names), 200):
            wanted = ",".join(names[first:first + 200])
            text = output([llvm("llvm-objdump", self.kernel), "-d", "--no-show-raw-insn",
                           f"--disassemble-symbols={wanted}", self.kernel.vmlinux], "run 'make setup'")
            for line in text.splitlines():
                match = re.match(r"\s*([0-9a-f]+):\s+(\S.*)$", line)
                if match:
                    found[int(match.group(1), 16)] = match.group(2)
        return found
