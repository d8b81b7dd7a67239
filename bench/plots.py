"""Plots as SVG: bars, and lines over logarithmic axes."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from .contenders import OURS

if TYPE_CHECKING:
    from .measure import Growth
    from .report import Figures

WIDTH, LEFT, ROW, PLOT = 760, 270, 22, 330
COLOURS = ("#0b6bcb", "#c2410c", "#15803d", "#7e22ce", "#b45309", "#0e7490", "#be123c", "#4d7c0f")
STYLE = (
    "<style>text{font:12px system-ui,sans-serif;fill:#1f2937}.t{font-weight:600;font-size:14px}.g{stroke:#9ca3af55}"
    "@media(prefers-color-scheme:dark){text{fill:#e5e7eb}}</style>"
)


def drawing(height: int, title: str, parts: Sequence[str]) -> str:
    """Return an SVG document."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">'
    return "\n".join([head, f"<title>{escape(title)}</title>", STYLE, words(8, 18, title, "t"), *parts, "</svg>\n"])


def words(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    """Return a text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'


def bars(title: str, values: Mapping[str, float]) -> str:
    """Return bars over a logarithmic axis, the shortest first."""
    rows = sorted((value, name) for name, value in values.items() if value > 0)
    if not rows:
        return drawing(40, title, [])
    least, most = math.floor(math.log10(rows[0][0])), math.log10(rows[-1][0])
    parts = []
    for number, (value, name) in enumerate(rows):
        y = 34 + number * ROW
        length = max(2.0, (math.log10(value) - least) / max(0.1, most - least) * (WIDTH - LEFT - 80))
        colour = COLOURS[0] if name.startswith(OURS) else "#9ca3af"
        parts.append(words(LEFT - 8, y + 13, name, anchor="end"))
        parts.append(f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{ROW - 5}" rx="2" fill="{colour}"/>')
        parts.append(words(LEFT + length + 6, y + 13, f"{value:.3g}"))
    return drawing(34 + len(rows) * ROW + 8, title, parts)


def lines(title: str, growths: Sequence["Growth"], scale: float) -> str:
    """Return lines over two logarithmic axes."""
    points = [(max(size, 1), cost * scale) for line in growths for size, cost in line.points.items() if cost > 0]
    if not points:
        return drawing(40, title, [])
    xs, ys = [math.log10(x) for x, _ in points], [math.log10(y) for _, y in points]
    left, right, low, high = min(xs), max(max(xs), min(xs) + 0.1), math.floor(min(ys)), math.ceil(max(ys))

    def place(size: float, cost: float) -> tuple[float, float]:
        x = 60 + (math.log10(max(size, 1)) - left) / (right - left) * (WIDTH - 80)
        return x, 34 + PLOT * (1 - (math.log10(cost) - low) / (high - low))

    parts = []
    for power in range(low, high + 1):
        y = place(1, 10**power)[1]
        parts += [f'<path d="M60 {y:.1f}H{WIDTH - 20}" class="g"/>', words(54, y + 4, f"{10.0**power:g}", anchor="end")]
    for size in sorted({size for line in growths for size in line.points}):
        parts.append(words(place(size, 1)[0], 52 + PLOT, f"{size:,}", anchor="middle"))
    for number, line in enumerate(growths):
        colour = COLOURS[number % len(COLOURS)]
        spots = [place(size, cost * scale) for size, cost in sorted(line.points.items()) if cost > 0]
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in spots)
        parts.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        y = 72 + PLOT + number * 18
        parts.append(f'<rect x="60" y="{y - 9}" width="18" height="4" fill="{colour}"/>')
        parts.append(words(84, y - 3, line.name))
    return drawing(72 + PLOT + len(growths) * 18, title, parts)


def drawings(figures: "Figures") -> dict[str, str]:
    """Return the plots by name."""
    from .measure import Growth

    def medians(kind: str, scale: float) -> dict[str, float]:
        return {name: (figures.median(name, kind) or 0) * scale for name in figures.samples if "direct" not in name}

    firsts = {name: (figures.added(name) or 0) * 1e3 for name in figures.samples if "direct" not in name}
    waiting = [Growth("one joins, one leaves, one looks", figures.by_waiting)]
    return {
        "first-byte": bars("First byte added, ms (median, logarithmic)", firsts),
        "token": bars("CPU a token at one stream, µs (logarithmic)", medians("one_cpu", 1e6)),
        "burst": bars("CPU a token as fast as it comes, µs (logarithmic)", medians("burst_cpu", 1e6)),
        "length": lines("CPU a token, µs, by tokens of the answer", figures.by_length, 1e6),
        "conversation": lines("CPU of an answer, ms, by messages before it", figures.by_history, 1e3),
        "waiting": lines("CPU of a change in the line, µs, by waiting requests", waiting, 1e6),
    }
