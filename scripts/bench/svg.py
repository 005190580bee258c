# SPDX-License-Identifier: GPL-2.0
"""Plots as SVG: horizontal bars in groups, and lines over a logarithmic axis.

Each explains itself: a title, what the numbers are and which direction is
better, a legend, and a footnote about where it comes from.
"""

import math
from html import escape

FONT = 12
WIDTH, LEFT, RIGHT, TOP = 900, 260, 90, 86      # pixels; of LEFT and RIGHT, room for text
COLOURS = {"c": "#d55e00", "rust": "#0072b2"}   # that the colour-blind can tell apart
OTHERS = ("#009e73", "#cc79a7", "#000000", "#e69f00")


def number(value):
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2g}" if abs(value) < 10 else f"{value:.1f}"


def ticks(largest, wanted=6):
    """Round numbers from 0 to at least the largest."""
    if largest <= 0:
        return [0, 1]
    raw = largest / wanted
    power = 10 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    return [step * i for i in range(math.ceil(largest / step - 1e-9) + 1)]


class Picture:
    """A list of elements, and what every plot has around it."""

    def __init__(self, height):
        self.height, self.parts = height, []

    def text(self, x, y, text, anchor="start", size=FONT, colour="#222", more=""):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
                          f'fill="{colour}"{more}>{escape(text)}</text>')

    def line(self, x1, y1, x2, y2, colour="#ddd", width=1.0, dash=""):
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
                          f'stroke="{colour}" stroke-width="{width}"{dashes}/>')

    def box(self, x, y, width, height, colour):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}" '
                          f'fill="{colour}"/>')

    def frame(self, title, subtitle, footnote):
        self.text(16, 26, title, size=17, more=' font-weight="bold"')
        self.text(16, 46, subtitle, colour="#555")
        self.text(16, self.height - 10, footnote, size=10, colour="#777")

    def legend(self, entries):
        """[(text, colour, kind)] in a row; kind: box, tick, or a line's dashes."""
        x = 16
        for text, colour, kind in entries:
            if kind == "box":
                self.box(x, 58, 14, 10, colour)
            elif kind == "tick":
                self.line(x + 7, 56, x + 7, 70, colour, 2)
            else:
                self.line(x, 63, x + 22, 63, colour, 2.5, kind)
                x += 8
            self.text(x + 19, 67, text)
            x += 34 + 7 * len(text)

    def svg(self):
        body = "\n".join(self.parts)
        return ("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- SPDX-License-Identifier: GPL-2.0 -->\n"
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height}" width="{WIDTH}" '
                f'height="{self.height}" font-family="sans-serif">\n'
                f'<rect width="{WIDTH}" height="{self.height}" fill="#fff"/>\n{body}\n</svg>\n')


def bars(title, subtitle, footnote, unit, series, rows, mark=None):
    """series: [(key, name)]; rows: [(label, {key: value}, mark or None, {key: spread} or None)].

    mark is what the legend says of the rows' marks, such as a floor.
    """
    thick, gap = 10, 8
    group = thick * len(series) + gap
    picture = Picture(TOP + group * len(rows) + 64)
    picture.frame(title, subtitle, footnote)
    picture.legend([(name, COLOURS[key], "box") for key, name in series]
                   + ([(mark, "#222", "tick")] if mark else []))
    scale = ticks(max([value * (1 + (spreads or {}).get(key, 0)) for _, values, _, spreads in rows
                       for key, value in values.items()], default=1))
    bottom = TOP + group * len(rows)

    def at(value):
        return LEFT + (WIDTH - LEFT - RIGHT) * value / scale[-1]

    for tick in scale:
        picture.line(at(tick), TOP - 4, at(tick), bottom)
        picture.text(at(tick), bottom + 16, number(tick), "middle", 11)
    picture.text((LEFT + WIDTH - RIGHT) / 2, bottom + 34, unit, "middle")
    for i, (label, values, marked, spreads) in enumerate(rows):
        y = TOP + i * group + gap / 2
        picture.text(LEFT - 8, y + thick * len(series) / 2 + 4, label, "end")
        for j, (key, _) in enumerate(series):
            if key not in values:
                continue
            top, end = y + j * thick, values[key]
            picture.box(LEFT, top + 0.5, at(end) - LEFT, thick - 1, COLOURS[key])
            if spreads and spreads.get(key):
                low, high = max(end * (1 - spreads[key]), 0), end * (1 + spreads[key])
                picture.line(at(low), top + thick / 2, at(high), top + thick / 2, "#222", 1.5)
                end = max(end, high)
            picture.text(at(end) + 4, top + thick - 1, number(values[key]), size=10)
        if marked is not None:
            picture.line(at(marked), y - 2, at(marked), y + thick * len(series) + 2, "#222", 2)
    return picture.svg()


def lines(title, subtitle, footnote, units, xs, curves):
    """units: of x and of y; curves: [(name, colour, dashes, values)], a value for each of xs."""
    picture = Picture(460)
    picture.frame(title, subtitle, footnote)
    picture.legend([(name, colour, dash or "0") for name, colour, dash, _ in curves])
    left, right, top, bottom = 76, WIDTH - 40, TOP, 390
    scale = ticks(max((max(values) for *_, values in curves), default=1))
    first, last = math.log10(xs[0]), math.log10(xs[-1])

    def at(x, y):
        share = (math.log10(x) - first) / (last - first) if last > first else 0.5
        return left + (right - left) * share, bottom - (bottom - top) * y / scale[-1]

    for tick in scale:
        y = at(xs[0], tick)[1]
        picture.line(left, y, right, y)
        picture.text(left - 8, y + 4, number(tick), "end", 11)
    for x in xs:
        across = at(x, 0)[0]
        picture.line(across, top, across, bottom)
        picture.text(across, bottom + 16, number(x), "middle", 11)
    picture.text((left + right) / 2, bottom + 36, units[0], "middle")
    picture.text(0, 0, units[1], "middle", more=f' transform="translate(18 {(top + bottom) / 2:.0f}) rotate(-90)"')
    for _, colour, dash, values in curves:
        points = [at(x, y) for x, y in zip(xs, values)]
        for (x1, y1), (x2, y2) in zip(points, points[1:]):
            picture.line(x1, y1, x2, y2, colour, 2.5, dash)
        for x, y in points:
            picture.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>')
    return picture.svg()
