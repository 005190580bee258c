# SPDX-License-Identifier: GPL-2.0
"""What is measured, but for the trace.

counts(), memory(), scale() and load() measure on each of the kernels. They return the results
as bench.json has them, the text to print, and what makes the exit status 1, in words.
"""

import os
import re
import time
from statistics import median, quantiles

from kernels import TITLES, BuildError, grid
from vmlib import accel

from .kernel import REBUILD, say

BOOTS = 2                           # of each kernel: their counts must be the same
SLACK = {"x86_64": 0, "arm64": 0.02}    # of exact counts: how arm64's counter is read takes part
NOISE = 0.30                        # of the numbers that are not exact: when RCU gets to free is chance

SIZES = (1000, 10000, 100000, 1000000)
PHASES = {
    "insert": "insert an element without a timer",
    "arm": "look up, init, set_callback and start",
    "fire": "expire and be called, all at once",
    "delete": "delete the element, its timer has fired",
    "destroy": "end of the map, its timers have fired",
    "bytes": "slab bytes",
}
OURS = ("arm", "fire", "delete", "destroy")     # what the implementation has a part in
FLAT = 1.25                         # from the smallest to the largest, beyond what C has

ROUNDS = 4                          # boots of load
CPUS = 4                            # tests/bench/bench.h: LOAD_CPUS

# The objects that a slot of a map points to, and where the compiler describes them.
OBJECTS = {
    "c": {"timer": ("kernel/bpf/helpers.o", "bpf_hrtimer"), "wq": ("kernel/bpf/helpers.o", "bpf_work"),
          "deferred": ("kernel/bpf/helpers.o", "bpf_async_cmd")},
    "rust": {"timer": ("rust/kernel.o", "AsyncCb<kernel::bpf::timer::Timer, kernel::bpf::prog::ProgCallback>"),
             "wq": ("rust/kernel.o", "AsyncCb<kernel::bpf::work::WorkItem, kernel::bpf::prog::ProgCallback>")},
}
C_NAMES = r"^(__)?bpf_(async|timer|wq)_|^(async_cb|hrtimer)_running$"
RUST_NAMES = r"kernel::(bpf|llist|irq_work|sync::rcu::callback|time::hrtimer::raw)\b"
# Object files of the machinery, with the names that belong to it.
FILES = {"c": {"kernel/bpf/helpers.o": C_NAMES},
         "rust": {"kernel/bpf/helpers.o": C_NAMES, "kernel/bpf/async_rust.o": "",
                  "rust/kernel.o": f"{C_NAMES}|{RUST_NAMES}"}}
# What KUnit has in the kernel, and what is no function or data of it.
NOT_OURS = re.compile(r"kunit|::tests::|doctest|KUNIT|TEST_|RcuBox<i32>"
                      r"|^__(BTF_ID|ksymtab|kstrtab|export|UNIQUE|initcall|crc|addressable)")
# What only a module of one's own uses.
MODULE_NAMES = re.compile(r"kernel::bpf::domain\b")


def count(kernel, only, number):
    """Boot it so many times: {operation: {what, exact, floor, c or rust: {...}}}, and what differs, in words."""
    boots, different = [], []
    for i in range(number):
        started = time.monotonic()
        boots.append({name: {"what": what, "exact": exact == "exact", "floor": None if floor == "-" else floor,
                             kernel.impl: {"median": int(middle), "smallest": float(smallest), "mean": float(mean),
                                           "samples": float(samples)}}
                      for name, middle, smallest, mean, samples, exact, floor, what in kernel.boot("counts", only)})
        say(f"{kernel.label}: boot {i + 1} of {number}: {len(boots[0])} operations, "
            f"{time.monotonic() - started:.0f} s")
    for name, first in boots[0].items():
        counted = [boot[name][kernel.impl]["median"] for boot in boots]
        allowed = SLACK[kernel.arch] if first["exact"] else NOISE
        if max(counted) - min(counted) > allowed * min(counted):
            different.append(f"{kernel.label}: {name}: " + ", ".join(map(str, counted)) + " instructions")
    return boots[0], different


def render_counts(operations, impls):
    both = len(impls) > 1
    titles = [TITLES[impl] for impl in impls]
    rows = [["operation", *titles, *(["ratio", ""] if both else []), "floor",
             "above it " + "/".join(titles) if both else "above it", "what"]]
    for name, op in operations.items():
        counted = [op[impl]["median"] for impl in impls]
        cells = [name, *(f"{'' if op['exact'] else '~'}{number}" for number in counted)]
        if both:
            cells += [f"{counted[1] / counted[0]:.2f}" if counted[0] > 0 else "-",
                      "more" if counted[1] > counted[0] else ""]
        # Both kernels have the same floor, or the floor's own row says so.
        floor = operations.get(op["floor"])
        cells += [str(floor[impls[0]]["median"]),
                  "/".join(str(op[impl]["median"] - floor[impl]["median"]) for impl in impls)] if floor else ["", ""]
        rows.append([*cells, op["what"]])
    return grid(rows, {1, 2, 3, 5, 6} if both else {1, 2, 3})


def counts(kernels, only):
    operations, problems = {}, []
    for kernel in kernels:
        counted, different = count(kernel, only, BOOTS)
        problems += [f"two boots differ: {line}" for line in different]
        for name, op in counted.items():
            operations.setdefault(name, op).update(op)
    return {"boots": BOOTS, "operations": operations}, render_counts(operations, [k.impl for k in kernels]), problems


def layout(kernel, file, name):
    """Bytes of a structure, as the compiler wrote them into the debug information."""
    text = kernel.llvm("llvm-dwarfdump", f"--name={name}", kernel.folder / file, hint=REBUILD)
    size = re.search(r"DW_TAG_structure_type\n(?:\s+DW_AT_.*\n)*?\s+DW_AT_byte_size\s+\((\w+)\)", text)
    if not size:
        raise BuildError(f"{kernel.folder / file} does not describe {name}; has the kernel DEBUG_INFO_DWARF5?")
    return int(size[1], 16)


def sizes(kernel):
    """Bytes of text and data of the machinery, by its symbols; of what only modules use; functions."""
    found = {"text": 0, "data": 0, "modules": 0, "functions": 0}
    for file, wanted in FILES[kernel.impl].items():
        for line in kernel.symbols("-C", "-S", kernel.folder / file):
            # What has no size is no function or data.
            match = re.fullmatch(r"\S+ ([0-9a-f]{8,}) (\S) (.*)", line)
            if not match or not re.search(wanted, match[3]) or NOT_OURS.search(match[3]):
                continue
            part = "modules" if MODULE_NAMES.search(match[3]) else "text" if match[2] in "tTwW" else "data"
            found[part] += int(match[1], 16)
            found["functions"] += part == "text"
    if not found["text"]:
        raise BuildError(f"the object files in {kernel.folder} have none of the machinery's functions")
    return found


def memory(kernels, _):
    """Of a timer, a work item and a deferred operation: growth of the kernel's slabs over 100000 of them."""
    results = {kernel.impl: {
        "slab": {what: float(value) for what, value in kernel.boot("memory", ["memory"])}, "sizes": sizes(kernel),
        "layout": {what: layout(kernel, *where) for what, where in OBJECTS[kernel.impl].items()}} for kernel in kernels}
    rows = [["bytes", *(TITLES[impl] for impl in results), "what"]]
    for name, many, what in (("timer", "timers", "the object"), ("wq", "work items", "the object"),
                             ("deferred", "starts with IRQs off", "the object that is allocated for one")):
        rows.append([f"{name}, slab", *(f"{result['slab'][name]:.1f}" for result in results.values()),
                     f"for each of 100000 {many}, measured"])
        rows.append([name, *(str(result["layout"].get(name, "-")) for result in results.values()), what])
    for name, what in (("text", "functions of the implementation"), ("data", "its data, constants too"),
                       ("modules", "functions that only a module with callbacks of its own uses")):
        rows.append([name, *(str(result["sizes"][name]) for result in results.values()), what])
    return {"memory": results}, grid(rows, range(1, len(results) + 1)), []


def growth(values):
    """Each of the largest number of timers against each of the smallest."""
    return values[str(SIZES[-1])] / values[str(SIZES[0])]


def scale(kernels, _):
    """{c or rust: {phase: {number of timers: value for each}}}"""
    results = {kernel.impl: {phase: {} for phase in PHASES} for kernel in kernels}
    for kernel in kernels:
        printed = kernel.boot("scale", ["scale", *map(str, SIZES)], "--mem", "3G", "--timeout", "900")
        for number, phase, value in printed:
            results[kernel.impl][phase][number] = float(value)
        for phase, values in results[kernel.impl].items():
            if [*values] != [str(size) for size in SIZES]:
                raise BuildError(f"{kernel.label}: '{phase}' was not measured for all sizes; run it again")
    rows = [["for each timer", "", *(f"{size:,}" for size in SIZES), "growth", "what"]]
    for phase, what in PHASES.items():
        for impl, phases in results.items():
            rows.append([phase, TITLES[impl], *(f"{value:.0f}" for value in phases[phase].values()),
                         f"{growth(phases[phase]):.2f}", what])
    problems = [f"more timers make '{phase}' slower on Rust than on C" for phase in OURS if len(results) > 1
                and growth(results["rust"][phase]) > FLAT * max(growth(results["c"][phase]), 1)]
    return ({"scale": results}, "Instructions for each of so many timers in one hash map\n"
            + grid(rows, range(2, len(SIZES) + 3)), problems)


def spread(values):
    """Median, and half of the interquartile range as a part of it."""
    middle = median(values)
    low, _, high = quantiles(values, n=4)
    return {"median": middle, "spread": (high - low) / 2 / middle if middle else 0.0, "samples": len(values)}


def label(name):
    """How a reader is told what is measured by a throughput of that name."""
    what, of, cpus = name.split(", ")
    where = "one timer" if of == "one" or cpus == "1" else f"{cpus} timers"
    return f"{what}: {cpus} CPU{'' if cpus == '1' else 's'}, {where}"


def load(kernels, _):
    """Throughput of several CPUs, and how late callbacks are: in time, with its noise.

    Boots of the C and of the Rust kernel take turns. All windows of a kernel are
    one sample: its median is shown, with half of its interquartile range. Without KVM
    the guest's CPUs are threads of an emulator: what is compared is the code, not
    hardware, and only where the host has as many CPUs.
    """
    rates, late = {k.impl: {} for k in kernels}, {k.impl: {} for k in kernels}
    for number in range(ROUNDS):
        # Who is first has the other one's caches: in turns.
        for kernel in kernels if number % 2 == 0 else kernels[::-1]:
            for kind, *name, first, second in kernel.boot("load", ["load"], "--cpus", str(CPUS), icount=False):
                if kind == "load":
                    rates[kernel.impl].setdefault(", ".join([*name, first]), []).append(float(second))
                else:
                    late[kernel.impl].setdefault(name[0], []).append((float(first), float(second)))
            if not rates[kernel.impl] or not late[kernel.impl]:
                raise BuildError("the benchmark (load) said nothing; run it again")
        say(f"load: round {number + 1} of {ROUNDS}")
    results = {
        # What vm.py has taken is known after a boot.
        "rounds": ROUNDS, "host_cpus": os.cpu_count(),
        "accelerator": os.environ.get("VM_ACCEL") or ("kvm" if accel.recall() else "tcg"),
        "throughput": {impl: {name: spread(values) for name, values in found.items()}
                       for impl, found in rates.items()},
        "latency": {impl: {name: {key: {"median": median(values), "min": min(values), "max": max(values)}
                                  for key, values in zip(("p50", "p99"), zip(*both))} for name, both in found.items()}
                    for impl, found in late.items()},
    }
    return {"load": results}, render_load(results), []


def render_load(results):
    throughput, latency, impls = results["throughput"], results["latency"], [*results["latency"]]
    both = ["Rust/C"] if len(impls) > 1 else []
    rows = [["million operations a second", *(TITLES[impl] for impl in impls), *both, ""]]
    for name in throughput[impls[0]]:
        found = [throughput[impl][name] for impl in impls]
        few = int(name.split(", ")[2]) > results["host_cpus"]
        rows.append([label(name), *(f"{each['median'] / 1e6:.2f} ±{each['spread']:.0%}" for each in found),
                     *(f"{found[1]['median'] / found[0]['median']:.2f}" for _ in both),
                     f"more than the host's {results['host_cpus']} CPUs" if few else ""])
    shown = [(impl, p) for impl in impls for p in ("p50", "p99")]
    times = [["microseconds until the callback", *(f"{TITLES[impl]} {p}" for impl, p in shown), "from"]]
    for name in latency[impls[0]]:
        times.append([name, *(f"{latency[impl][name][p]['median'] / 1000:.0f}" for impl, p in shown),
                      "expiry" if name.startswith("timer") else "wq start"])
    return (f"Throughput ({results['accelerator'].upper()}, {results['rounds']} boots each in turns; "
            "± half of the interquartile range): reported, not judged\n" + grid(rows, range(1, len(rows[0]) - 1))
            + "\n\nLatency (medians of the boots): reported, not judged\n" + grid(times, range(1, len(times[0]) - 1)))
