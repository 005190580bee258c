# SPDX-License-Identifier: GPL-2.0
"""Bytes: of a timer, a work item, a deferred operation, and of the implementation.

The first three are measured, as growth of the kernel's slabs over 100000 of
them. Layouts are what the compiler wrote into the debug information; text and
data are the symbols of the machinery in the object files.
"""

import re

from kernels import TITLES, grid

from .kernels import BenchError, output
from .symbols import llvm

# The objects that a slot of a map points to, and where the compiler describes them.
OBJECTS = {
    "c": {"timer": ("kernel/bpf/helpers.o", "bpf_hrtimer"), "wq": ("kernel/bpf/helpers.o", "bpf_work"),
          "deferred": ("kernel/bpf/helpers.o", "bpf_async_cmd"), "common": ("kernel/bpf/helpers.o", "bpf_async_cb")},
    "rust": {"timer": ("rust/kernel.o", "AsyncCb<kernel::bpf::timer::Timer, kernel::bpf::prog::ProgCallback>"),
             "wq": ("rust/kernel.o", "AsyncCb<kernel::bpf::work::WorkItem, kernel::bpf::prog::ProgCallback>"),
             "common": ("rust/kernel.o", "Head")},
}
C_NAMES = re.compile(r"^(__)?bpf_(async|timer|wq)_|^(async_cb|hrtimer)_running$")
RUST_NAMES = re.compile(r"kernel::(bpf|llist|irq_work|sync::rcu::callback|time::hrtimer::raw)\b")
# What KUnit has in the kernel, and what only a module of one's own uses.
TEST_NAMES = re.compile(r"kunit|::tests::|doctest|KUNIT|TEST_|RcuBox<i32>")
NOT_OURS = re.compile(r"^__(BTF_ID|ksymtab|kstrtab|export|UNIQUE|initcall|crc|addressable)")
MODULE_NAMES = re.compile(r"kernel::bpf::domain\b")
# Object files of the machinery: (file, names that belong to it or None for all).
FILES = {"c": (("kernel/bpf/helpers.o", C_NAMES),),
         "rust": (("kernel/bpf/helpers.o", C_NAMES), ("kernel/bpf/async_rust.o", None),
                  ("rust/kernel.o", re.compile(f"{C_NAMES.pattern}|{RUST_NAMES.pattern}")))}


def layout(kernel, file, name):
    """{"size": bytes, "members": [[name, offset, type]]} of a structure."""
    text = output([llvm("llvm-dwarfdump", kernel), f"--name={name}", "--show-children", "--recurse-depth=1",
                   kernel.folder / file], "build the kernel again with 'make kernel'")
    for part in re.split(r"\n(?=0x[0-9a-f]+: DW_TAG)", text):
        size = re.search(r"DW_TAG_structure_type.*?DW_AT_byte_size\s+\((\w+)\)", part, re.S)
        if not size:
            continue
        members = []
        for member in part.split("DW_TAG_member")[1:]:
            member = member.split("DW_TAG_")[0]
            fields = [re.search(rf"DW_AT_{key}\s+\((?:0x[0-9a-f]+ )?\"?([^\")]*)", member)
                      for key in ("name", "data_member_location", "type")]
            if all(fields) and "PhantomPinned" not in fields[2].group(1):
                members.append([fields[0].group(1), int(fields[1].group(1), 16), fields[2].group(1)])
        return {"size": int(size.group(1), 16), "members": sorted(members, key=lambda m: m[1])}
    raise BenchError(f"{kernel.folder / file} does not describe {name}; has the kernel DEBUG_INFO_DWARF5?")


def symbols(kernel, file):
    """[(size, kind, name as Rust writes it)]"""
    text = output([llvm("llvm-nm", kernel), "-C", "-S", "--defined-only", kernel.folder / file],
                  "build the kernel again with 'make kernel'")
    found = []
    for line in text.splitlines():
        fields = line.split(maxsplit=3)
        if len(fields) == 4 and re.fullmatch("[0-9a-f]{8,}", fields[1]):
            found.append((int(fields[1], 16), fields[2], fields[3]))
    return found


def sizes(kernel):
    """Bytes of text and data of the machinery; of what only modules use; functions."""
    found = {"text": 0, "data": 0, "modules": 0, "functions": 0}
    for file, wanted in FILES[kernel.impl]:
        for size, kind, name in symbols(kernel, file):
            if (wanted and not wanted.search(name)) or TEST_NAMES.search(name) or NOT_OURS.search(name):
                continue
            if MODULE_NAMES.search(name):
                found["modules"] += size
            elif kind in "tTwW":
                found["text"] += size
                found["functions"] += 1
            else:
                found["data"] += size
    if not found["text"]:
        raise BenchError(f"the object files in {kernel.folder} have none of the machinery's functions")
    return found


def measure(kernel):
    slabs = {what: float(value) for what, value in kernel.boot("memory", ["memory"])}
    return {"slab": slabs, "sizes": sizes(kernel),
            "layout": {what: {"name": name, **layout(kernel, file, name)}
                       for what, (file, name) in OBJECTS[kernel.impl].items()}}


def render(results, impls):
    rows = [["bytes", *(TITLES[impl] for impl in impls), "what"]]

    def line(name, value, what):
        rows.append([name, *(value(results[impl]) for impl in impls), what])

    def size(what):
        return lambda result: str(result["layout"][what]["size"]) if what in result["layout"] else "-"

    line("timer, slab", lambda r: f"{r['slab']['timer']:.1f}", "for each of 100000 timers, measured")
    line("timer", size("timer"), "the object")
    line("wq, slab", lambda r: f"{r['slab']['wq']:.1f}", "for each of 100000 work items, measured")
    line("wq", size("wq"), "the object")
    line("deferred, slab", lambda r: f"{r['slab']['deferred']:.1f}",
         "for each of 100000 starts with IRQs off, measured")
    line("deferred", size("deferred"), "the object that is allocated for one")
    line("text", lambda r: str(r["sizes"]["text"]), "functions of the implementation")
    line("data", lambda r: str(r["sizes"]["data"]), "its data, constants too")
    line("modules", lambda r: str(r["sizes"]["modules"]), "functions that only a module with callbacks of its own uses")
    return grid(rows, range(1, len(impls) + 1))
