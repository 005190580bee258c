# SPDX-License-Identifier: GPL-2.0
"""What was executed, exactly: functions, locked instructions, memory written.

A plugin of QEMU (tests/bench/trace) writes down each instruction of the kernel
and each address that it writes to while an operation runs. Counted are
instructions that were executed, not what stands in the code.

"own" is the machinery alone (symbols.OWN), "all" has the kernel's functions
that it calls as well. A cache line that is written counts as shared unless it
belongs to the stack, to the current task or to this CPU's own data: what is
left are the object, the map, other objects and the kernel's global data.
"""

import re
import subprocess
from array import array
from collections import Counter
from statistics import median_low

from kernels import ROOT, TITLES, cache, grid

from .kernels import BenchError, output, qemu_version, say, show
from .symbols import OWN, Symbols, demangled

BEGIN, END, STORE = range(3)        # tests/bench/trace/trace.c
MODULES = 0xFFFFFFFFA0000000        # modules and BPF programs: not of the kernel itself
STACK = 16384                       # the size of a stack, and how it is aligned
LINE = 64
PER_CPU_ROOM = 65536                # behind the kernel's own per-CPU data: what is allocated at run time
ALLOCATES = re.compile(r"^_*(kmalloc_nolock|kmalloc|kmem_cache_alloc\w*)(_node)?(_noprof)?$")


def plugin():
    """Built for the QEMU that is there, or None when it takes no plugins."""
    if "-plugin" not in output(["qemu-system-x86_64", "-help"], "run 'make setup'"):
        return None
    major, minor = (int(n) for n in qemu_version().split("."))
    # The oldest version of the interface that has what this QEMU's functions take.
    api = 1 if major < 9 else 2 if (major, minor) == (9, 0) else 3
    built = cache() / "bench" / f"trace-{api}.so"
    built.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["gcc", f"-DAPI={api}", "-O2", "-Wall", "-Wno-unused-parameter", "-shared", "-fPIC",
                           "-fvisibility=hidden", ROOT / "tests/bench/trace/trace.c", "-o", f"{built}.tmp"],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        show(done.stderr)
        raise BenchError("the plugin that traces cannot be built; fix what it says and run it again")
    built.with_name(built.name + ".tmp").replace(built)
    return built


def windows(words):
    """The words between each BEGIN and END."""
    begin = None
    for i, word in enumerate(words):
        if word == BEGIN and (i == 0 or words[i - 1] != STORE):
            begin = i + 1
        elif word == END and words[i - 1] != STORE:
            if begin is None:
                raise BenchError("the trace has an end without a beginning; run it again")
            yield words[begin:i]
            begin = None


def sample(words):
    """[(address of the instruction, [addresses it wrote to])] of the kernel itself."""
    executed, i = [], 0
    while i < len(words):
        if words[i] == STORE:
            if executed and executed[-1] is not None:
                executed[-1][1].append(words[i + 1])
            i += 2
            continue
        executed.append((words[i], []) if words[i] < MODULES else None)
        i += 1
    return [each for each in executed if each]


def typical(samples):
    """The sample of median length: some were hit by the kernel's tick."""
    middle = median_low(len(each) for each in samples)
    return next(each for each in samples if len(each) == middle)


def runs(rows, words):
    """{operation: sample}, and the current task as a range of addresses."""
    task, samples, parts = range(0), {}, windows(words)
    for kind, *fields in rows:
        if kind == "task":
            task = range(int(fields[0]), int(fields[0]) + int(fields[1]))
            continue
        name, number = fields[0], int(fields[1])
        found = [next(parts, None) for _ in range(number)]
        if None in found:
            raise BenchError(f"the trace ends within '{name}'; run it again")
        if name != "-":
            samples[name] = typical([sample(part) for part in found])
    if next(parts, None) is not None:
        raise BenchError("the trace has more in it than was run; run it again")
    return samples, task


class Kinds:
    """Which memory no other CPU uses: stacks, the task, this CPU's data."""

    def __init__(self, samples, text, symbols, task):
        self.task, self.stacks, offset = task, set(), None
        for each in samples:
            for address, stores in each:
                what = text.get(address, "")
                for store in stores:
                    if what.startswith(("push", "call")):
                        self.stacks.add(store // STACK)
                    elif offset is None and (found := re.search(r"%gs:(-?0x[0-9a-f]+)\(%rip\)", what)):
                        following = min(a for a in text if a > address)
                        offset = store - ((following + int(found.group(1), 16)) & (2**64 - 1))
        start, end = symbols.all["__per_cpu_start"], symbols.all["__per_cpu_end"]
        self.per_cpu = range(0) if offset is None else range(start + offset, end + offset + PER_CPU_ROOM)

    def shared(self, address):
        return not (address // STACK in self.stacks or address in self.task or address in self.per_cpu)


def is_locked(text):
    """Also xchg with memory, which needs no prefix for it."""
    return text.startswith("lock") or (text.startswith("xchg") and "(" in text)


def profile(each, text, symbols, kinds):
    """The numbers of one operation."""
    functions = Counter()
    found = {"instructions": 0, "own": 0, "locked": 0, "locked_own": 0, "allocations": 0}
    lines, own_lines, before = set(), set(), ""
    for address, stores in each:
        name, start = symbols.at(address)
        own = bool(OWN.match(name))
        functions[name] += 1
        found["instructions"] += 1
        found["own"] += own
        if is_locked(text.get(address, "")):
            found["locked"] += 1
            found["locked_own"] += own
        # An allocator that calls another is one allocation.
        if address == start and ALLOCATES.match(name) and not ALLOCATES.match(before):
            found["allocations"] += 1
        before = name
        written = {store // LINE for store in stores if kinds.shared(store)}
        lines |= written
        own_lines |= written if own else set()
    return {**found, "lines": len(lines), "lines_own": len(own_lines)}, functions


def analyse(rows, words, kernel):
    samples, task = runs(rows, words)
    symbols = Symbols(kernel)
    names = {symbols.at(address)[0] for each in samples.values() for address, _ in each}
    text, plain = symbols.instructions(names), demangled(names, kernel)
    kinds = Kinds(samples.values(), text, symbols, task)
    results = {}
    for name, each in samples.items():
        results[name], functions = profile(each, text, symbols, kinds)
        results[name]["functions"] = {plain[function]: count for function, count in functions.most_common()}
    return results


def measure(kernel, built):
    folder = cache() / "bench" / kernel.label
    path = folder / "trace.bin"
    rows = kernel.boot("trace", ["trace"], qemu=[f"-plugin {built},out={path}"])
    words = array("Q")
    data = path.read_bytes()
    path.unlink()
    words.frombytes(data[:len(data) // 8 * 8])
    say(f"{kernel.label}: traced, {len(words)} words")
    return analyse(rows, words, kernel)


def collect(kernels):
    """{operation: {impl: {...}}}, or None with a word when QEMU cannot."""
    built = plugin()
    if not built:
        say("this QEMU takes no plugins: locked instructions and cache lines are not counted")
        return None
    columns = {kernel.impl: measure(kernel, built) for kernel in kernels}
    return {name: {impl: results[name] for impl, results in columns.items()}
            for name in next(iter(columns.values()))}


COLUMNS = (("locked_own", "locked, own"), ("locked", "locked, all"), ("lines_own", "lines, own"),
           ("lines", "lines, all"), ("allocations", "allocations"), ("own", "instructions, own"))


def render(operations, impls):
    rows = [["operation, " + "/".join(TITLES[impl] for impl in impls), *(title for _, title in COLUMNS)]]
    rows += [[name, *("/".join(str(op[impl][key]) for impl in impls) for key, _ in COLUMNS)]
             for name, op in operations.items()]
    return ("Executed in one operation: locked instructions, shared cache lines written, allocations; in the\n"
            "machinery's own code, and with all of the kernel that it calls\n"
            + grid(rows, range(1, len(COLUMNS) + 1)))


def render_profile(operations, name, impls):
    """Which functions the instructions of an operation are in."""
    rows = [["function", *(TITLES[impl] for impl in impls)]]
    counts = {impl: operations[name][impl]["functions"] for impl in impls}
    names = dict.fromkeys(function for impl in impls for function in counts[impl])
    rows += [[function, *(str(counts[impl].get(function, 0)) for impl in impls)] for function in names]
    rows.append(["together", *(str(operations[name][impl]["instructions"]) for impl in impls)])
    return f"{name}: instructions in each function\n" + grid(rows, range(1, len(impls) + 1))
