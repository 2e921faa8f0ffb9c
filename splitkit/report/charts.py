"""Coordinates of a report's charts, in percent of the plot, so that pages need no arithmetic of their own."""

from collections.abc import Sequence
from dataclasses import dataclass

from splitkit.report.axes import Axis, duration, size
from splitkit.report.content import SYSTEMS, Content, rising
from splitkit.search import Point

GRID = 1000
"""Paths are drawn on a square of this many units, which is then stretched over the plot."""

BAND = 0.10
"""Predictions this near to the measurement lie in the scatter's band."""


@dataclass(frozen=True)
class Tick:
    """A grid line: where (percent), and what is written there; a minor one may be left out where room is scarce."""

    at: float
    text: str
    minor: bool = False


@dataclass(frozen=True)
class Mark:
    """A point of a chart. `x`, `y` in percent from the left and the top; `tip` is shown and read out."""

    index: int
    x: float
    y: float
    system: str
    tip: str
    best: bool = False
    other_x: float | None = None
    other_y: float | None = None
    """Where the same candidate stands by its other figure (measured, or without corrections), if there is one."""


@dataclass(frozen=True)
class Chart:
    """A chart with two axes. `paths` are SVG path data on the `GRID` square, by name."""

    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    marks: tuple[Mark, ...]
    paths: dict[str, str]


def front_chart(content: Content) -> Chart:
    """Accuracy over latency: the systems' fronts, the merged one, measured latencies, and all candidates scored."""
    points = content.result.points
    measured = [p.measured_total_us for p in points if p.measured_total_us is not None]
    x = Axis.over([p.total_us for p in points] + measured, wide=6.0)
    y = Axis.over([p.accuracy for p in points], margin=0.1)
    paths = {"merged": _steps(content.result.merged_front, x, y)}
    for system in SYSTEMS:
        paths[f"front {system}"] = _steps(content.result.front(system), x, y)
        near = [c for c in content.cloud if c.placement == system and x.holds(c.total_us) and y.holds(c.accuracy)]
        paths[f"cloud {system}"] = "".join(f"M{_grid(x, c.total_us)} {_down(y, c.accuracy)}h0" for c in near)
    marks = [
        Mark(
            index=i,
            x=_percent(x.at(point.total_us)),
            y=_percent(1 - y.at(point.accuracy)),
            system=point.placement,
            tip=_tip(i, point),
            best=i in content.best.values(),
            other_x=None if point.measured_total_us is None else _percent(x.at(point.measured_total_us)),
        )
        for i, point in enumerate(points)
    ]
    accuracy = tuple(Tick(_percent(1 - y.at(v)), f"{100 * v:g} %") for v in y.ticks(6))
    return Chart(_times(x), accuracy, tuple(marks), paths)


def prediction_chart(content: Content) -> Chart:
    """Predicted over measured latency of every candidate that was timed whole."""
    compared = [c for c in content.comparisons if c.corrected_us is not None]
    values = [v for c in compared for v in (c.measured.total_us, c.corrected_us, c.table_us) if v is not None]
    axis = Axis.over(values, wide=6.0)
    low, high = axis.low, axis.high
    corners = ((low, low * (1 + BAND)), (high, high * (1 + BAND)), (high, high * (1 - BAND)), (low, low * (1 - BAND)))
    band = "M" + "L".join(f"{_grid(axis, u)} {_down(axis, v)}" for u, v in corners) + "Z"
    marks = []
    for i, c in enumerate(sorted(compared, key=lambda c: c.measured.total_us)):
        assert c.corrected_us is not None
        marks.append(
            Mark(
                index=i,
                x=_percent(axis.at(c.measured.total_us)),
                y=_percent(1 - axis.at(c.corrected_us)),
                system=c.placement,
                tip=f"{SYSTEMS[c.placement]}: timed {duration(c.measured.total_us)}"
                + _prediction("corrected prediction", c.corrected_us, c.measured.total_us)
                + _prediction("table alone", c.table_us, c.measured.total_us),
                other_y=None if c.table_us is None else _percent(1 - axis.at(c.table_us)),
            )
        )
    return Chart(
        _times(axis), tuple(Tick(_percent(1 - t.at / 100), t.text) for t in _times(axis)), tuple(marks), {"band": band}
    )


def _times(axis: Axis) -> tuple[Tick, ...]:
    ticks = axis.ticks(6)
    return tuple(Tick(_percent(axis.at(v)), duration(v), minor=i % 2 == 1) for i, v in enumerate(ticks))


def _tip(index: int, point: Point) -> str:
    lines = [
        f"Point {index}: {SYSTEMS[point.placement]}",
        f"accuracy {point.accuracy:.2%}",
        f"predicted {duration(point.total_us)}",
        f"sends {size(point.payload_bytes)} per view",
    ]
    if point.measured_total_us is not None:
        lines.insert(3, f"timed {duration(point.measured_total_us)}")
    return "\n".join(lines)


def _steps(front: Sequence[Point], x: Axis, y: Axis) -> str:
    """A front as steps: until the next point is reached, this one's accuracy is the best there is."""
    if not front:
        return ""
    first, *rest = rising(front)
    start = f"M{_grid(x, first.total_us)} {_down(y, first.accuracy)}"
    return start + "".join(f"H{_grid(x, p.total_us)}V{_down(y, p.accuracy)}" for p in rest) + f"H{GRID}"


def _prediction(what: str, us: float | None, measured_us: float) -> str:
    return "" if us is None else f"\n{what} {duration(us)} ({us / measured_us - 1:+.1%})"


def _percent(fraction: float) -> float:
    return round(100 * fraction, 2)


def _grid(axis: Axis, value: float) -> float:
    return round(GRID * axis.at(value), 1)


def _down(axis: Axis, value: float) -> float:
    return round(GRID * (1 - axis.at(value)), 1)
