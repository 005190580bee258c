# SPDX-License-Identifier: GPL-2.0
"""What was executed, exactly: functions, locked instructions, memory written.

A plugin of QEMU (tests/bench/trace) writes down each instruction of the kernel
and each address that it writes to while an operation runs. Counted are
instructions that were executed, not what stands in the code.

"own" is the machinery alone (OWN), "all" has the kernel's functions that it
calls as well. A cache line that is written counts as shared unless it
belongs to the stack, to the current task or to this CPU's own data: what is
left are the object, the map, other objects and the kernel's global data.
"""

import bisect
import re
from array import array
from collections import Counter
from statistics import median_low

from kernels import ROOT, TITLES, BuildError, cache, grid

from .kernel import output, say

BEGIN, END, STORE = range(3)        # tests/bench/trace/trace.c
MODULES = 0xFFFFFFFFA0000000        # modules and BPF programs: not of the kernel itself
STACK = 16384                       # the size of a stack, and how it is aligned
LINE = 64
PER_CPU_ROOM = 65536                # behind the kernel's own per-CPU data: what is allocated at run time
ALLOCATES = re.compile(r"^_*(kmalloc_nolock|kmalloc|kmem_cache_alloc\w*)(_node)?(_noprof)?$")
# What belongs to the machinery itself: in the C kernel by its name, in the
# Rust kernel every Rust function as well, with the C wrappers it calls.
OWN = re.compile(r"^(_R|rust_helper_|(__)?bpf_(async|timer|wq)_)")
COLUMNS = {"locked_own": "locked, own", "locked": "locked, all", "lines_own": "lines, own",
           "lines": "lines, all", "allocations": "allocations", "own": "instructions, own"}


class Symbols:
    """The kernel's functions: where they are, and their instructions."""

    def __init__(self, kernel):
        self.kernel, self.all, self.functions = kernel, {}, []
        for line in kernel.symbols("-n", kernel.vmlinux):
            address, kind, name = line.split(maxsplit=2)
            self.all[name] = int(address, 16)
            if kind in "tTwW":
                self.functions.append((int(address, 16), name))

    def at(self, address):
        """(name, address) of the function there."""
        i = bisect.bisect_right(self.functions, address, key=lambda function: function[0]) - 1
        return self.functions[i][::-1] if i >= 0 else ("?", 0)

    def instructions(self, names):
        """{address: text} of these functions."""
        text = self.kernel.llvm("llvm-objdump", "-d", "--no-show-raw-insn", self.kernel.vmlinux,
                                *(f"--disassemble-symbols={name}" for name in names))
        return {int(address, 16): instruction for address, instruction
                in re.findall(r"^\s*([0-9a-f]+):\s+(\S.*)$", text, re.M)}


def plugin(qemu):
    """Built for this version of QEMU."""
    version = tuple(int(n) for n in qemu.split("."))
    # The oldest version of the interface that has what this QEMU's functions take.
    api = 1 if version < (9, 0) else 2 if version == (9, 0) else 3
    built = cache() / "bench" / f"trace-{api}.so"
    built.parent.mkdir(parents=True, exist_ok=True)
    output(["gcc", f"-DAPI={api}", "-O2", "-Wall", "-Wno-unused-parameter", "-shared", "-fPIC",
            "-fvisibility=hidden", ROOT / "tests/bench/trace/trace.c", "-o", f"{built}.tmp"],
           failed="the plugin that traces cannot be built; fix what it says and run it again")
    built.with_name(built.name + ".tmp").replace(built)
    return built


def samples(words):
    """For each run of an operation: [(address of the instruction, [addresses it wrote to])] of the kernel itself."""
    sample, words = None, iter(words)
    for word in words:
        if word == STORE:
            address = next(words, None)
            if sample:
                sample[-1][1].append(address)
        elif word == BEGIN:
            sample = []
        elif word == END:
            if sample is None:
                raise BuildError("the trace has an end without a beginning; run it again")
            yield [each for each in sample if each[0] < MODULES]
            sample = None
        elif sample is not None:
            sample.append((word, []))


def runs(rows, words):
    """{operation: sample}, and the current task as a range of addresses; the rows are what the benchmark printed."""
    task, operations, all_samples = range(0), {}, samples(words)
    for kind, name, number in rows:
        if kind == "task":
            task = range(int(name), int(name) + int(number))
            continue
        found = [next(all_samples, None) for _ in range(int(number))]
        if None in found:
            raise BuildError(f"the trace ends within '{name}'; run it again")
        if name != "-":
            # The sample of median length: some were hit by the kernel's tick.
            middle = median_low(len(sample) for sample in found)
            operations[name] = next(sample for sample in found if len(sample) == middle)
    if next(all_samples, None) is not None:
        raise BuildError("the trace has more in it than was run; run it again")
    return operations, task


class Private:
    """The memory that no other CPU uses: stacks, the task, this CPU's data."""

    def __init__(self, operations, text, symbols, task):
        self.task, self.stacks, self.per_cpu = task, set(), range(0)
        for sample in operations:
            for address, stores in sample:
                what = text.get(address, "")
                for store in stores:
                    if what.startswith(("push", "call")):
                        self.stacks.add(store // STACK)
                    elif not self.per_cpu and (found := re.search(r"%gs:(-?0x[0-9a-f]+)\(%rip\)", what)):
                        following = min(a for a in text if a > address)
                        offset = store - ((following + int(found[1], 16)) & (2**64 - 1))
                        self.per_cpu = range(symbols.all["__per_cpu_start"] + offset,
                                             symbols.all["__per_cpu_end"] + offset + PER_CPU_ROOM)

    def __contains__(self, address):
        return address // STACK in self.stacks or address in self.task or address in self.per_cpu


def profile(sample, text, symbols, private):
    """The numbers of one operation, and how many instructions are in which function."""
    found = {"instructions": len(sample), **dict.fromkeys(COLUMNS, 0)}
    functions, lines, own_lines, before = Counter(), set(), set(), ""
    for address, stores in sample:
        name, start = symbols.at(address)
        own = bool(OWN.match(name))
        # Also xchg with memory, which needs no prefix for it.
        locked = bool(re.match(r"lock|xchg.*\(", text.get(address, "")))
        functions[name] += 1
        found["own"] += own
        found["locked"] += locked
        found["locked_own"] += locked and own
        # An allocator that calls another is one allocation.
        found["allocations"] += bool(address == start and ALLOCATES.match(name) and not ALLOCATES.match(before))
        before = name
        written = {store // LINE for store in stores if store not in private}
        lines |= written
        own_lines |= written if own else set()
    return {**found, "lines": len(lines), "lines_own": len(own_lines)}, functions


def measure(kernel, built):
    path = kernel.out / "trace.bin"
    rows = kernel.boot("trace", ["trace"], "--qemu", f"-plugin {built},out={path}")
    data = path.read_bytes()
    path.unlink()
    words = array("Q", data[:len(data) // 8 * 8])
    say(f"{kernel.label}: traced, {len(words)} words")

    operations, task = runs(rows, words)
    symbols = Symbols(kernel)
    names = {symbols.at(address)[0] for sample in operations.values() for address, _ in sample}
    # How Rust writes them.
    plain = dict(zip(names, kernel.llvm("llvm-cxxfilt", *names).splitlines()))
    text = symbols.instructions(names)
    private = Private(operations.values(), text, symbols, task)
    results = {}
    for name, sample in operations.items():
        results[name], functions = profile(sample, text, symbols, private)
        results[name]["functions"] = {plain[function]: count for function, count in functions.most_common()}
    return results


def render(operations, impls):
    rows = [["operation, " + "/".join(TITLES[impl] for impl in impls), *COLUMNS.values()]]
    rows += [[name, *("/".join(str(op[impl][key]) for impl in impls) for key in COLUMNS)]
             for name, op in operations.items()]
    return ("Executed in one operation: locked instructions, shared cache lines written, allocations; in the\n"
            "machinery's own code, and with all of the kernel that it calls\n"
            + grid(rows, range(1, len(COLUMNS) + 1)))


def trace(kernels, _):
    """As in parts.py; nothing, with a word, when QEMU cannot."""
    if "-plugin" not in output(["qemu-system-x86_64", "-help"]):
        say("this QEMU takes no plugins: locked instructions and cache lines are not counted")
        return {"trace": None}, "", []
    built = plugin(kernels[0].environment["qemu"])
    columns = {kernel.impl: measure(kernel, built) for kernel in kernels}
    operations = {name: {impl: results[name] for impl, results in columns.items()}
                  for name in next(iter(columns.values()))}
    return {"trace": operations}, render(operations, [*columns]), []
