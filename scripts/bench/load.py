# SPDX-License-Identifier: GPL-2.0
"""Throughput of several CPUs, and how late callbacks are: in time, with its noise.

Boots of the C and of the Rust kernel take turns. All windows of a kernel are
one sample: its median is shown, with half of its interquartile range. Without KVM
the guest's CPUs are threads of an emulator: what is compared is the code, not
hardware, and only where the host has as many CPUs.
"""

import os
from statistics import median, quantiles

from kernels import TITLES, grid
from vmlib import accel

from .kernels import BenchError, say

ROUNDS = 4
CPUS = 4                            # tests/bench/bench.h: LOAD_CPUS


def spread(values):
    """Median, and half of the interquartile range as a part of it."""
    middle = median(values)
    low, _, high = quantiles(values, n=4)
    return {"median": middle, "spread": (high - low) / 2 / middle if middle else 0.0, "samples": len(values)}


def accelerator():
    """What vm.py has taken: known after a boot."""
    return os.environ.get("VM_ACCEL") or ("kvm" if accel.recall() else "tcg")


def add(rows, throughput, lateness):
    for kind, *fields in rows:
        if kind == "load":
            what, of, cpus, rate = fields
            throughput.setdefault(f"{what}, {of}, {cpus}", []).append(float(rate))
        elif kind == "late":
            what, half, most = fields
            lateness.setdefault(what, {"p50": [], "p99": []})
            lateness[what]["p50"].append(float(half))
            lateness[what]["p99"].append(float(most))
    if not throughput or not lateness:
        raise BenchError("the benchmark (load) said nothing; run it again")


def collect(kernels, rounds=ROUNDS):
    rates, late = {k.impl: {} for k in kernels}, {k.impl: {} for k in kernels}
    for number in range(rounds):
        # Who is first has the other one's caches: in turns.
        for kernel in kernels if number % 2 == 0 else kernels[::-1]:
            add(kernel.boot("load", ["load"], cpus=CPUS, icount=False), rates[kernel.impl], late[kernel.impl])
        say(f"load: round {number + 1} of {rounds}")
    return {
        "rounds": rounds, "host_cpus": os.cpu_count(), "accelerator": accelerator(),
        "throughput": {impl: {name: spread(values) for name, values in found.items()}
                       for impl, found in rates.items()},
        "latency": {impl: {name: {key: {"median": median(values), "min": min(values), "max": max(values)}
                                  for key, values in both.items()} for name, both in found.items()}
                    for impl, found in late.items()},
    }


def label(name):
    what, of, cpus = name.split(", ")
    where = "one timer" if of == "one" or cpus == "1" else f"{cpus} timers"
    return f"{what}: {cpus} CPU{'' if cpus == '1' else 's'}, {where}"


def rate(each):
    return f"{each['median'] / 1e6:.2f} ±{each['spread']:.0%}"


def render_throughput(results, impls):
    both = len(impls) > 1
    found = results["throughput"]
    rows = [["million operations a second", *(TITLES[impl] for impl in impls), *(["Rust/C"] if both else []), ""]]
    for name in found[impls[0]]:
        cells = [rate(found[impl][name]) for impl in impls]
        if both:
            cells.append(f"{found['rust'][name]['median'] / found['c'][name]['median']:.2f}")
        few = int(name.split(", ")[2]) > results["host_cpus"]
        rows.append([label(name), *cells, f"more than the host's {results['host_cpus']} CPUs" if few else ""])
    return (f"Throughput ({results['accelerator'].upper()}, {results['rounds']} boots each in turns; "
            "± half of the interquartile range): reported, not judged\n"
            + grid(rows, range(1, len(impls) + (2 if both else 1))))


def render_latency(results, impls):
    rows = [["microseconds until the callback", *(f"{TITLES[impl]} {p}" for impl in impls for p in ("p50", "p99")),
             "from"]]
    found = results["latency"]
    for name in found[impls[0]]:
        cells = [f"{found[impl][name][p]['median'] / 1000:.0f}" for impl in impls for p in ("p50", "p99")]
        rows.append([name, *cells, "expiry" if name.startswith("timer") else "wq start"])
    return ("Latency (medians of the boots): reported, not judged\n"
            + grid(rows, range(1, 2 * len(impls) + 1)))
