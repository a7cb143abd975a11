"""What a search found, to look at: the Pareto front as a table, and as a plot (SVG) of accuracy against proving time and gas.

An option is on the front when no other is at least as good in error, proving time and gas, and better in one. Does not do: choose.
"""

import math
from collections.abc import Callable, Sequence
from xml.sax.saxutils import escape

from rich.table import Column, Table

from circuits.tuning.search import Found, Option

_WIDTH, _HEIGHT, _MARGIN, _GAP = 440, 300, 56, 24
_FONT = "font-family='sans-serif' font-size='11'"
_SMALLEST_ERROR = 1e-9


def merits(option: Option) -> tuple[float, ...]:
    """What is to be small: changed decisions, error, proving work, gas."""
    work = float(option.cost.proof_length << option.circuit.logrows)
    return (option.accuracy.decision_flips, option.accuracy.error_max, work, option.cost.gas)


def pareto_front(options: Sequence[Option]) -> tuple[Option, ...]:
    """The options that no other beats, the cheapest gas first; of equals the first."""
    front = list[Option]()
    for number, option in enumerate(options):
        mine = merits(option)
        beaten = any(
            all(a <= b for a, b in zip(merits(other), mine, strict=True)) and (merits(other) != mine or place < number)
            for place, other in enumerate(options)
            if place != number
        )
        if not beaten:
            front.append(option)
    return tuple(sorted(front, key=lambda one: (one.cost.gas, merits(one)[2], one.accuracy.error_max)))


def front_table(found: Found) -> Table:
    """The front, with the chosen option marked; estimates are marked with “≈”."""
    names = ("", "scale", "range checks", "columns", "k", "rows", "error", "flips", "prove", "memory", "gas", "proof")
    columns = [
        Column(name, justify="left" if name in ("", "range checks") else "right", no_wrap=True) for name in names
    ]
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for option in (*_shown(found), *found.private):
        circuit, cost, accuracy = option.circuit, option.cost, option.accuracy
        about = "" if option.measured else "≈ "
        rebase = f" ×{circuit.rebase_multiplier}" if circuit.rebase_multiplier > 1 else ""
        lookups = f", lookups ±{circuit.lookup_range[1]:,}" if circuit.lookup_range[1] else ""
        inputs = "" if circuit.input_visibility == "public" else f", inputs {circuit.input_visibility}"
        table.add_row(
            "→" if option is found.chosen else "",
            f"{circuit.scale}{rebase}",
            f"{circuit.decomp_base}^{circuit.decomp_legs}{lookups}{inputs}",
            f"{circuit.inner_cols}" + ("" if circuit.family else "*"),
            str(circuit.logrows),
            f"{option.shape.rows:,}",
            f"{accuracy.error_max:.2g}",
            f"{accuracy.decision_flips}",
            f"{about}{cost.prove_seconds:.2f} s",
            f"{about}{cost.memory_mb:,.0f} MB",
            f"{cost.gas:,}",
            f"{about}{cost.proof_length:,} B",
            style="bold" if option is found.chosen else None,
        )
    return table


def _shown(found: Found) -> tuple[Option, ...]:
    front = pareto_front(found.options)
    return front if any(option is found.chosen for option in front) else (found.chosen, *front)


def plot(found: Found, title: str) -> str:
    """Two panels as one SVG document: error against proving time, and error against gas. Logarithmic but for gas."""
    panels = (
        _panel(found, 0, "prove (seconds, logarithmic)", lambda option: math.log10(option.cost.prove_seconds), _power),
        _panel(
            found,
            _WIDTH + _GAP,
            "gas of a verifying transaction",
            lambda option: option.cost.gas,
            lambda x: f"{x:,.0f}",
        ),
    )
    width, height = 2 * _WIDTH + _GAP, _HEIGHT + 28
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' viewBox='0 0 {width} {height}'>"
        f"<rect width='{width}' height='{height}' fill='white'/>"
        f"<text x='{_MARGIN}' y='16' {_FONT} font-weight='bold'>{escape(title)}: error against cost "
        "(filled: proven; ringed: chosen; line: Pareto front)</text>"
        f"{''.join(panels)}</svg>\n"
    )


def _power(exponent: float) -> str:
    return f"{10**exponent:.3g}"


def _panel(found: Found, left: int, label: str, across: Callable[[Option], float], tell: Callable[[float], str]) -> str:
    points = [(across(option), _up(option), option) for option in found.options]
    xs, ys = [point[0] for point in points], [point[1] for point in points]
    x_place = _scale(min(xs), max(xs), left + _MARGIN, left + _WIDTH - 16)
    y_place = _scale(min(ys), max(ys), 24 + _HEIGHT - _MARGIN, 40)
    front = sorted((across(option), _up(option)) for option in _front_of(found.options, across))
    path = " ".join(f"{x_place(x):.1f},{y_place(y):.1f}" for x, y in front)
    marks = [f"<polyline points='{path}' fill='none' stroke='#888' stroke-dasharray='3 3'/>"]
    for x, y, option in points:
        fill = "#1f6feb" if option.measured else "none"
        place = f"cx='{x_place(x):.1f}' cy='{y_place(y):.1f}'"
        marks.append(f"<circle {place} r='3.5' fill='{fill}' stroke='#1f6feb'/>")
        if option is found.chosen:
            marks.append(f"<circle {place} r='7' fill='none' stroke='#d1242f' stroke-width='2'/>")
    bottom = 24 + _HEIGHT - _MARGIN + 8
    axes = (
        f"<path d='M{left + _MARGIN - 8} 34 V{bottom} H{left + _WIDTH - 8}' fill='none' stroke='black'/>"
        f"<text x='{left + _MARGIN}' y='{bottom + 16}' {_FONT}>{tell(min(xs))}</text>"
        f"<text x='{left + _WIDTH - 16}' y='{bottom + 16}' {_FONT} text-anchor='end'>{tell(max(xs))}</text>"
        f"<text x='{left + _WIDTH / 2}' y='{bottom + 32}' {_FONT} text-anchor='middle'>{escape(label)}</text>"
        f"<text x='{left + _MARGIN - 12}' y='44' {_FONT} text-anchor='end'>{_power(max(ys))}</text>"
        f"<text x='{left + _MARGIN - 12}' y='{bottom - 6}' {_FONT} text-anchor='end'>{_power(min(ys))}</text>"
        f"<text x='{left + _MARGIN - 12}' y='{(bottom + 44) / 2}' {_FONT} text-anchor='end'>error</text>"
    )
    return axes + "".join(marks)


def _up(option: Option) -> float:
    return math.log10(max(option.accuracy.error_max, _SMALLEST_ERROR))


def _front_of(options: Sequence[Option], across: Callable[[Option], float]) -> list[Option]:
    """The front of one panel alone."""
    best, front = math.inf, list[Option]()
    for option in sorted(options, key=lambda one: (across(one), one.accuracy.error_max)):
        if option.accuracy.error_max < best:
            best = option.accuracy.error_max
            front.append(option)
    return front


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    apart = high - low or 1.0
    return lambda value: start + (value - low) / apart * (end - start)
