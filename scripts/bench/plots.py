# SPDX-License-Identifier: GPL-2.0
"""Which plots are made of the results."""

from selftests.table import TITLES

from . import load, scale, svg

LESS = "less is better"
# The operations whose locked instructions are worth a picture.
LOCKED = ("init", "set same", "set program", "start", "re-arm", "cancel", "cancel_async", "free 1", "life",
          "wq start", "wq start pending", "off start done", "off cancel_async done", "off free done")


def origin(data):
    first = next(iter(data["kernels"].values()))
    return (f"Linux {first['kernel']}, clang {first['clang']}, rustc {first['rustc']}, QEMU {first['qemu']}; "
            f"measured {data['time'][:10]} by make bench")


def instructions(data, series):
    operations = data["operations"]
    rows = [(name, {key: max(op[key]["median"], 0) for key, _ in series},
             operations[op["floor"]][series[0][0]]["median"] if op["floor"] in operations else None, None)
            for name, op in operations.items() if op["exact"] and not name.startswith("floor")]
    return svg.bars("Instructions of each operation",
                    "Counted, exact; of bpf_timer, or bpf_wq (wq); off: with IRQs off, until it returns, or until it "
                    f"has taken effect (done); {LESS}", origin(data),
                    "instructions of one operation", series, rows,
                    "the bare call of the kernel under it (hrtimer, workqueue)")


def locked(data, series):
    rows = [(name, {key: data["trace"][name][key]["locked"] for key, _ in series}, None, None)
            for name in LOCKED if name in data["trace"]]
    return svg.bars("Locked instructions of each operation",
                    f"Executed in one operation, the kernel's functions that it calls included; {LESS}",
                    origin(data), "locked instructions of one operation", series, rows)


def memory(data, series):
    labels = {"timer": "a timer", "wq": "a work item", "deferred": "a start with IRQs off, until done"}
    rows = [(label, {key: data["memory"][key]["slab"][what] for key, _ in series}, None, None)
            for what, label in labels.items()]
    return svg.bars("Memory", f"Growth of the kernel's slabs over 100,000 of them, for each; {LESS}",
                    origin(data), "bytes", series, rows)


def many(data, series):
    colours = dict(zip(scale.OURS, ("#0072b2", "#d55e00", "#009e73", "#cc79a7")))
    curves = [(f"{phase}, {name}", colours[phase], "" if key == "rust" else "5 4",
               [data["scale"][key][phase][str(size)] for size in scale.SIZES])
              for phase in scale.OURS for key, name in series]
    return svg.lines("From a thousand to a million timers in one hash map",
                     f"A line that stays flat: a timer costs the same however many there are; {LESS}",
                     origin(data), ("timers in the map", "instructions for each timer"), scale.SIZES, curves)


def throughput(data, series):
    results = data["load"]
    rows = [(load.label(name), {key: results["throughput"][key][name]["median"] / 1e6 for key, _ in series}, None,
             {key: results["throughput"][key][name]["spread"] for key, _ in series})
            for name in results["throughput"][series[0][0]]]
    return svg.bars("Throughput of several CPUs on one timer, and on separate timers",
                    f"{results['accelerator'].upper()} on {results['host_cpus']} CPUs, median of all windows, "
                    "line: half of the interquartile range; more is better",
                    origin(data), "million operations in a second, all CPUs together", series, rows)


PLOTS = {"instructions": ("operations", instructions), "locked": ("trace", locked), "memory": ("memory", memory),
         "scale": ("scale", many), "throughput": ("load", throughput)}


def write(data, path):
    """Beside the file of results, for what is in it: the names of the plots."""
    series = [(key, TITLES[key]) for key in ("c", "rust") if key in data["kernels"]]
    written = []
    for name, (part, draw) in PLOTS.items():
        if not data.get(part):
            continue
        target = path.with_name(f"{path.stem}-{name}.svg")
        new = target.with_name(target.name + ".tmp")
        new.write_text(draw(data, series), encoding="utf-8")
        new.replace(target)
        written.append(target)
    return written
