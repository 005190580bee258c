# SPDX-License-Identifier: GPL-2.0
"""The plots, by matplotlib:  python3 -m bench.plots FILE.json

Beside the file of results, FILE-NAME.svg for what is in it. Each explains itself: a title, what the
numbers are and which direction is better, a legend, and where it comes from. A program of its own, as
matplotlib is Debian's, and so is the Python that has it.
"""

import json
import subprocess
import sys
from pathlib import Path

from kernels import SCRIPTS, TITLES

from . import load, scale
from .kernels import BenchError, say

LESS = "less is better"
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


def picture(data, target, height, titles, draw):
    """titles: the title and the line under it; draw(axes) does the rest."""
    from matplotlib import pyplot       # not needed to measure
    with pyplot.rc_context(STYLE):
        figure, axes = pyplot.subplots(figsize=(9, height), layout="constrained")
        draw(axes)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=8, frameon=False, fontsize=7)
        figure.suptitle(titles[0], x=0.02, ha="left", weight="bold", size=13)
        axes.set_title(titles[1], loc="left", x=0, pad=28, size=8, color="#555", wrap=True)
        first = next(iter(data["kernels"].values()))
        figure.supxlabel(f"Linux {first['kernel']}, clang {first['clang']}, rustc {first['rustc']}, "
                         f"QEMU {first['qemu']}; measured {data['time'][:10]} by make bench",
                         x=0.02, ha="left", size=7, color="#777")
        figure.savefig(target, format="svg", metadata={"Date": None}, bbox_inches="tight", pad_inches=0.15)
        pyplot.close(figure)
    head, rest = target.read_text(encoding="utf-8").split("\n", 1)
    target.write_text(f"{head}\n<!-- SPDX-License-Identifier: GPL-2.0 -->\n{rest}", encoding="utf-8")


def bars(data, target, titles, unit, rows, mark=None):
    """rows: [(label, {impl: value}, mark or None, {impl: spread} or None)]; mark is what the marks are."""
    impls = [impl for impl in TITLES if impl in data["kernels"]]
    thick = 0.8 / len(impls)

    def draw(axes):
        for i, impl in enumerate(impls):
            places = [y + thick * (i - (len(impls) - 1) / 2) for y in range(len(rows))]
            values = [row[1][impl] for row in rows]
            spreads = [row[3][impl] * value for row, value in zip(rows, values)] if rows[0][3] else None
            drawn = axes.barh(places, values, thick, xerr=spreads, color=COLOURS[impl], label=TITLES[impl])
            axes.bar_label(drawn, [number(value) for value in values], padding=3, size=7)
        marks = [(y, row[2]) for y, row in enumerate(rows) if row[2] is not None]
        if marks:
            axes.vlines([at for _, at in marks], [y - 0.45 for y, _ in marks], [y + 0.45 for y, _ in marks],
                        color="#222", label=mark)
        axes.set_yticks(range(len(rows)), [row[0] for row in rows])
        axes.set_xlabel(unit)
        axes.set_xlim(0)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(axis="x")

    picture(data, target, 1.6 + 0.13 * len(rows) * (1 + len(impls)), titles, draw)


def instructions(data, target):
    operations, first = data["operations"], next(iter(data["kernels"]))
    rows = [(name, {impl: max(op[impl]["median"], 0) for impl in data["kernels"]},
             operations[op["floor"]][first]["median"] if op["floor"] in operations else None, None)
            for name, op in operations.items() if op["exact"] and not name.startswith("floor")]
    bars(data, target, ("Instructions of each operation",
                        "Counted, exact; of bpf_timer, or bpf_wq (wq); off: with IRQs off, until it returns, or until "
                        f"it has taken effect (done); {LESS}"),
         "instructions of one operation", rows, "the bare call of the kernel under it (hrtimer, workqueue)")


def locked(data, target):
    rows = [(name, {impl: data["trace"][name][impl]["locked"] for impl in data["kernels"]}, None, None)
            for name in LOCKED if name in data["trace"]]
    bars(data, target, ("Locked instructions of each operation",
                        f"Executed in one operation, the kernel's functions that it calls included; {LESS}"),
         "locked instructions of one operation", rows)


def memory(data, target):
    labels = {"timer": "a timer", "wq": "a work item", "deferred": "a start with IRQs off, until done"}
    rows = [(label, {impl: data["memory"][impl]["slab"][what] for impl in data["kernels"]}, None, None)
            for what, label in labels.items()]
    bars(data, target, ("Memory", f"Growth of the kernel's slabs over 100,000 of them, for each; {LESS}"),
         "bytes", rows)


def many(data, target):
    def draw(axes):
        for phase, colour in zip(scale.OURS, ("#0072b2", "#d55e00", "#009e73", "#cc79a7")):
            for impl in data["kernels"]:
                axes.plot(scale.SIZES, [data["scale"][impl][phase][str(size)] for size in scale.SIZES],
                          color=colour, marker="o", linestyle="-" if impl == "rust" else "--",
                          label=f"{phase}, {TITLES[impl]}")
        axes.set_xscale("log")
        axes.set_xticks(scale.SIZES, [number(size) for size in scale.SIZES])
        axes.set_ylim(0)
        axes.grid()
        axes.set_xlabel("timers in the map")
        axes.set_ylabel("instructions for each timer")

    picture(data, target, 4.6, ("From a thousand to a million timers in one hash map",
                                f"A line that stays flat: a timer costs the same however many there are; {LESS}"), draw)


def throughput(data, target):
    results = data["load"]
    found = results["throughput"]
    rows = [(load.label(name), {impl: found[impl][name]["median"] / 1e6 for impl in data["kernels"]}, None,
             {impl: found[impl][name]["spread"] for impl in data["kernels"]})
            for name in next(iter(found.values()))]
    bars(data, target, ("Throughput of several CPUs on one timer, and on separate timers",
                        f"{results['accelerator'].upper()} on {results['host_cpus']} CPUs, median of all windows, "
                        "line: half of the interquartile range; more is better"),
         "million operations in a second, all CPUs together", rows)


PLOTS = {"instructions": ("operations", instructions), "locked": ("trace", locked), "memory": ("memory", memory),
         "scale": ("scale", many), "throughput": ("load", throughput)}


def main(path):
    data = json.loads(path.read_text(encoding="utf-8"))
    for name, (part, draw) in PLOTS.items():
        if data.get(part):
            target = path.with_name(f"{path.stem}-{name}.svg")
            new = target.with_name(target.name + ".tmp")
            draw(data, new)
            new.replace(target)
            print(target)


def write(path):
    """The names of the plots of that file of results."""
    python = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable
    if subprocess.run([python, "-c", "import matplotlib"], capture_output=True, check=False).returncode:
        say("no plots: matplotlib is missing; make setup installs it (python3-matplotlib)")
        return []
    done = subprocess.run([python, "-B", "-m", "bench.plots", Path(path).absolute()], cwd=SCRIPTS, text=True,
                          stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise BenchError(f"the plots of {path} could not be made; see above")
    return done.stdout.splitlines()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
