# SPDX-License-Identifier: GPL-2.0
"""The plots, by matplotlib:  python3 -m bench.plots FILE.json

Beside the file of results, FILE-NAME.svg for what is in it. Each explains itself: a title, what the
numbers are and which direction is better, a legend, and where it comes from. A program of its own, as
matplotlib is Debian's, and so is the Python that has it.
"""

import io
import json
import subprocess
import sys
from pathlib import Path

from kernels import SCRIPTS, TITLES, BuildError

from .kernel import say
from .parts import OURS, SIZES, label

COLOURS = {"c": "#d55e00", "rust": "#0072b2"}   # that the colour-blind can tell apart
# The operations whose locked instructions are worth a picture.
LOCKED = ("init", "set same", "set program", "start", "re-arm", "cancel", "cancel_async", "free 1", "life",
          "wq start", "wq start pending", "off start done", "off cancel_async done", "off free done")
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "bench", "font.family": "sans-serif", "font.size": 9,
         "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
         "grid.color": "#ddd"}


def number(value):
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2g}" if abs(value) < 10 else f"{value:.1f}"


def bars(axes, unit, rows, spreads=None, marks=None):
    """rows: {label: {impl: value}}; spreads: the same, as a part of the value; marks: {label: value}, the bare call."""
    impls = [*next(iter(rows.values()))]
    thick = 0.8 / len(impls)
    axes.figure.set_figheight(1.6 + 0.13 * len(rows) * (1 + len(impls)))
    for i, impl in enumerate(impls):
        places = [y + thick * (i - (len(impls) - 1) / 2) for y in range(len(rows))]
        values = [row[impl] for row in rows.values()]
        errors = [spreads[name][impl] * row[impl] for name, row in rows.items()] if spreads else None
        drawn = axes.barh(places, values, thick, xerr=errors, color=COLOURS[impl], label=TITLES[impl])
        axes.bar_label(drawn, [number(value) for value in values], padding=3, size=7)
    if marks:
        places = [y for y, name in enumerate(rows) if name in marks]
        axes.vlines([*marks.values()], [y - 0.45 for y in places], [y + 0.45 for y in places], color="#222",
                    label="the bare call of the kernel under it (hrtimer, workqueue)")
    axes.set_yticks(range(len(rows)), [*rows])
    axes.set_xlabel(unit)
    axes.set_xlim(0)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="x")


def instructions(axes, operations, impls):
    shown = {name: op for name, op in operations.items() if op["exact"] and not name.startswith("floor")}
    bars(axes, "instructions of one operation",
         {name: {impl: max(op[impl]["median"], 0) for impl in impls} for name, op in shown.items()},
         marks={name: operations[op["floor"]][impls[0]]["median"] for name, op in shown.items()
                if op["floor"] in operations})
    return ("Instructions of each operation",
            "Counted, exact; of bpf_timer, or bpf_wq (wq); off: with IRQs off, until it returns, or until it has "
            "taken effect (done); less is better")


def locked(axes, trace, impls):
    bars(axes, "locked instructions of one operation",
         {name: {impl: trace[name][impl]["locked"] for impl in impls} for name in LOCKED if name in trace})
    return ("Locked instructions of each operation",
            "Executed in one operation, the kernel's functions that it calls included; less is better")


def memory(axes, results, impls):
    labels = {"timer": "a timer", "wq": "a work item", "deferred": "a start with IRQs off, until done"}
    bars(axes, "bytes", {name: {impl: results[impl]["slab"][what] for impl in impls} for what, name in labels.items()})
    return "Memory", "Growth of the kernel's slabs over 100,000 of them, for each; less is better"


def scale(axes, results, impls):
    for phase, colour in zip(OURS, ("#0072b2", "#d55e00", "#009e73", "#cc79a7")):
        for impl in impls:
            axes.plot(SIZES, [results[impl][phase][str(size)] for size in SIZES], color=colour, marker="o",
                      linestyle="-" if impl == "rust" else "--", label=f"{phase}, {TITLES[impl]}")
    axes.set_xscale("log")
    axes.set_xticks(SIZES, [number(size) for size in SIZES])
    axes.set_ylim(0)
    axes.grid()
    axes.set_xlabel("timers in the map")
    axes.set_ylabel("instructions for each timer")
    return ("From a thousand to a million timers in one hash map",
            "A line that stays flat: a timer costs the same however many there are; less is better")


def throughput(axes, load, impls):
    found = {label(name): {impl: load["throughput"][impl][name] for impl in impls}
             for name in load["throughput"][impls[0]]}
    bars(axes, "million operations in a second, all CPUs together",
         {name: {impl: each["median"] / 1e6 for impl, each in both.items()} for name, both in found.items()},
         spreads={name: {impl: each["spread"] for impl, each in both.items()} for name, both in found.items()})
    return ("Throughput of several CPUs on one timer, and on separate timers",
            f"{load['accelerator'].upper()} on {load['host_cpus']} CPUs, median of all windows, "
            "line: half of the interquartile range; more is better")


# What is drawn of which part of the results; each returns the title and the line under it.
PLOTS = {"operations": instructions, "trace": locked, "memory": memory, "scale": scale, "load": throughput}


def plot(data, part, target):
    from matplotlib import pyplot       # not needed to measure
    impls = [*data["kernels"]]
    first = data["kernels"][impls[0]]
    with pyplot.rc_context(STYLE):
        figure, axes = pyplot.subplots(figsize=(9, 4.6), layout="constrained")
        title, explanation = PLOTS[part](axes, data[part], impls)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=8, frameon=False, fontsize=7)
        figure.suptitle(title, x=0.02, ha="left", weight="bold", size=13)
        axes.set_title(explanation, loc="left", x=0, pad=28, size=8, color="#555", wrap=True)
        figure.supxlabel(f"Linux {first['kernel']}, clang {first['clang']}, rustc {first['rustc']}, "
                         f"QEMU {first['qemu']}; measured {data['time'][:10]} by make bench",
                         x=0.02, ha="left", size=7, color="#777")
        svg = io.StringIO()
        figure.savefig(svg, format="svg", metadata={"Date": None}, bbox_inches="tight", pad_inches=0.15)
        pyplot.close(figure)
    licence = "\n<!-- SPDX-License-Identifier: GPL-2.0 -->\n"
    target.write_text(svg.getvalue().replace("\n", licence, 1), encoding="utf-8")


def main(path):
    data = json.loads(path.read_text(encoding="utf-8"))
    for part, draw in PLOTS.items():
        if data.get(part):
            target = path.with_name(f"{path.stem}-{draw.__name__}.svg")
            plot(data, part, target)
            print(target)


def write(path):
    """The names of the plots of that file of results."""
    python = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable
    if subprocess.run([python, "-c", "import matplotlib"], capture_output=True, check=False).returncode:
        say("no plots: matplotlib is missing; make setup installs it (python3-matplotlib)")
        return []
    done = subprocess.run([python, "-B", "-m", "bench.plots", path.absolute()], cwd=SCRIPTS, text=True,
                          stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise BuildError(f"the plots of {path} could not be made; see above")
    return done.stdout.splitlines()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
