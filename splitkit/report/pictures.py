"""The same figures as PNGs, for slides and papers. Every picture carries the labels of its times."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splitkit.report.axes import Axis, duration, size
from splitkit.report.content import SYSTEMS, Content, rising
from splitkit.report.diagram import Diagram, Group
from splitkit.report.palette import LIGHT
from splitkit.search import Point
from splitkit.sides import SIDES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SOFTWARE = "Software\0splitkit"
"""Stands near the beginning of every picture, as PNG's text chunks say it: see `page.GENERATOR`."""

MARKERS = {"sensor": "^", "aggregator": "s", "split": "o"}
COLOURS = {"sensor": LIGHT.sensor, "link": LIGHT.link, "aggregator": LIGHT.aggregator, "split": LIGHT.split}
STYLE: Any = {
    "figure.dpi": 160,
    "figure.facecolor": LIGHT.paper,
    "font.size": 9,
    "axes.edgecolor": LIGHT.line,
    "axes.labelcolor": LIGHT.ink,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LIGHT.line,
    "grid.linewidth": 0.6,
    "text.color": LIGHT.ink,
    "xtick.color": LIGHT.soft,
    "ytick.color": LIGHT.soft,
    "legend.frameon": False,
}


def draw_pictures(content: Content, directory: Path) -> tuple[Path, ...]:
    """Draw what there is data for into `directory`: front, latency, architectures, prediction, coverage (.png)."""
    import matplotlib
    from matplotlib.figure import Figure  # a figure of its own: no global state, no display

    wanted: dict[str, tuple[bool, tuple[float, float], Callable[[Figure, Content], None]]] = {
        "front": (bool(content.result.points), (6.4, 4.2), _front),
        "latency": (bool(content.best), (6.4, 0.9 + 0.75 * len(content.best)), _latency),
        "architectures": (bool(content.best), _architectures_size(content), _architectures),
        "prediction": (any(c.corrected_us is not None for c in content.comparisons), (4.6, 4.6), _prediction),
        "coverage": (bool(content.coverage), (6.4, 1.4 + 0.24 * len(content.coverage)), _coverage),
    }
    files = []
    with matplotlib.rc_context(STYLE):
        for name, (has_data, inches, draw) in wanted.items():
            if not has_data:
                continue
            figure = Figure(figsize=inches, layout="constrained")
            draw(figure, content)
            figure.supxlabel(content.labels, fontsize=7, color=LIGHT.soft)
            files.append(directory / f"{name}.png")
            figure.savefig(files[-1], metadata=dict([SOFTWARE.split("\0")]))
    return tuple(files)


def _front(figure: "Figure", content: Content) -> None:
    axes, result = figure.subplots(), content.result
    x = Axis.over([p.total_us for p in result.points], wide=6.0)
    low = min(p.accuracy for p in result.points)
    for name, title in SYSTEMS.items():
        front, colour = result.front(name), COLOURS[name]
        cloud = [c for c in content.cloud if c.placement == name and x.holds(c.total_us) and c.accuracy >= low]
        axes.scatter(
            [c.total_us for c in cloud], [100 * c.accuracy for c in cloud], s=3, color=colour, alpha=0.25, lw=0
        )
        if front:
            us, accuracy = [p.total_us for p in front], [100 * p.accuracy for p in front]
            axes.step(*_outline(front), where="post", color=colour, lw=1)
            axes.scatter(us, accuracy, marker=MARKERS[name], color=colour, s=22, label=title, zorder=3)
    merged = _outline(result.merged_front)
    axes.step(*merged, where="post", color=LIGHT.ink, lw=5, alpha=0.15, label="front over all systems")
    for point in result.points:
        if point.measured_total_us is not None:
            ends = [point.total_us, point.measured_total_us]
            axes.plot(ends, [100 * point.accuracy] * 2, color=LIGHT.ink, lw=0.8, marker="|", markevery=[1], zorder=2)
    best = [result.points[i] for i in content.best.values()]
    axes.scatter(
        [p.total_us for p in best], [100 * p.accuracy for p in best], s=90, facecolor="none", edgecolor=LIGHT.ink,
        label="chosen for its system",
    )  # fmt: skip
    _time_axis(axes, x, "x")
    axes.set_xlabel("predicted latency of one frame")
    axes.set_ylabel("accuracy on the search images, %")
    axes.set_title(f"{result.space} on {result.system}", loc="left")
    axes.legend(fontsize=8)


def _outline(front: Sequence[Point]) -> tuple[list[float], list[float]]:
    """Latencies, and accuracies in percent, of the points at which a front rises."""
    points = rising(front)
    return [p.total_us for p in points], [100 * p.accuracy for p in points]


def _latency(figure: "Figure", content: Content) -> None:
    axes = figure.subplots()
    names = [name for name in SYSTEMS if name in content.best]
    word = "timed by the model" if content.modelled else "measured"
    ticks: dict[float, str] = {}
    for row, name in enumerate(names):
        point = content.result.points[content.best[name]]
        bars = [("predicted", point), (word, content.measured.get(point.architecture))]
        for offset, (what, stages) in enumerate(bars):
            if stages is None:
                continue
            at, left = row + 0.36 * offset, 0.0
            for part in ("sensor", "link", "aggregator"):
                us = getattr(stages, f"{part}_us")
                hatch = None if offset == 0 else "///"
                axes.barh(
                    at, us, 0.32, left=left, color=COLOURS[part], hatch=hatch, edgecolor=LIGHT.paper, lw=0.3,
                    label=part if row == offset == 0 else None,
                )  # fmt: skip
                left += us
            axes.text(left, at, f" {duration(left)}", va="center", fontsize=8)
            ticks[at] = f"{SYSTEMS[name]}, {point.accuracy:.1%}" if what == "predicted" else what
    axes.set_yticks(list(ticks), list(ticks.values()))
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"us for one frame (plain: predicted; hatched: {word})")
    axes.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1), fontsize=8)


def _prediction(figure: "Figure", content: Content) -> None:
    axes = figure.subplots()
    compared = [c for c in content.comparisons if c.corrected_us is not None]
    axis = Axis.over([v for c in compared for v in (c.measured.total_us, c.corrected_us, c.table_us) if v], wide=6.0)
    ends = [axis.low, axis.high]
    axes.fill_between(ends, [0.9 * v for v in ends], [1.1 * v for v in ends], color=LIGHT.line, alpha=0.6, lw=0)
    axes.plot(ends, ends, color=LIGHT.soft, lw=1, ls="--")
    for c in compared:
        style: dict[str, Any] = {"marker": MARKERS[c.placement], "color": COLOURS[c.placement], "ls": ""}
        if c.table_us is not None:
            axes.vlines(c.measured.total_us, c.table_us, c.corrected_us or 0.0, color=LIGHT.ink, lw=0.7)
            axes.plot(c.measured.total_us, c.table_us, mfc="none", **style)
        axes.plot(c.measured.total_us, c.corrected_us or 0.0, **style)
    _time_axis(axes, axis, "x")
    _time_axis(axes, axis, "y")
    axes.set_xlabel("timed by the model" if content.modelled else "measured")
    axes.set_ylabel("predicted")
    axes.set_title("filled: corrected by these; hollow: table alone; band: 10 %", loc="left", fontsize=8)


def _coverage(figure: "Figure", content: Content) -> None:
    axes = figure.subplots()
    labels: list[str] = []
    for side in SIDES:
        rows = [row for row in content.coverage if row.side == side]
        total = sum(row.us for row in rows) or 1.0
        for row in rows:
            known, rest = 100 * row.known_us / total, 100 * (row.us - row.known_us) / total
            axes.barh(len(labels), known, color=COLOURS[side])
            axes.barh(len(labels), rest, left=known, facecolor="none", edgecolor=COLOURS[side], hatch="////", lw=0)
            axes.text(known + rest, len(labels), f" {row.known} of {row.kernels}", va="center", fontsize=7)
            labels.append(f"{side}: {row.family}")
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("% of the side's predicted time (solid: measured or the device's model; hatched: estimated)")
    axes.set_title("kernels known, by family", loc="left")


def _architectures_size(content: Content) -> tuple[float, float]:
    rows = max((content.diagrams[i].rows for i in content.best.values()), default=1)
    return 2.6 * max(len(content.best), 1), 1.4 + 0.27 * (rows + 4)


def _architectures(figure: "Figure", content: Content) -> None:
    names = [name for name in SYSTEMS if name in content.best]
    all_axes = figure.subplots(1, len(names), squeeze=False, sharey=True)[0]
    for axes, name in zip(all_axes, names, strict=True):
        point, diagram = content.result.points[content.best[name]], content.diagrams[content.best[name]]
        _network(axes, diagram)
        axes.set_title(f"{SYSTEMS[name]}\n{point.accuracy:.1%}, {duration(point.total_us)}", loc="left", fontsize=9)
        axes.set_axis_off()
    all_axes[0].invert_yaxis()


def _network(axes: "Axes", diagram: Diagram) -> None:
    """Rows from the top, as wide as their channels; a dashed line where the link is."""
    at = _rows(axes, diagram.sensor, diagram.widest, LIGHT.sensor, 0)
    views = f"{diagram.views} x " if diagram.views > 1 else ""
    axes.axhline(at, color=LIGHT.link, ls="--", lw=1.2)
    axes.text(
        0.5, at + 0.45, f"{views}{size(diagram.payload_bytes)}: {diagram.link}", ha="center", va="center", fontsize=7
    )
    axes.axhline(at + 0.9, color=LIGHT.link, ls="--", lw=1.2)
    _rows(axes, diagram.aggregator, diagram.widest, LIGHT.aggregator, at + 1.6)
    axes.set_xlim(0, 1)


def _rows(axes: "Axes", groups: tuple[Group, ...], widest: int, colour: str, at: float) -> float:
    for group in groups:
        for row in group.rows:
            axes.barh(at, row.channels / widest, 0.5, color=colour, left=0.5 - row.channels / widest / 2)
            axes.text(0, at + 0.48, f"{group.title}: {row.text}", fontsize=5.5, color=LIGHT.soft, va="center")
            at += 1
    return at


def _time_axis(axes: "Axes", axis: Axis, which: str) -> None:
    if axis.logarithmic:
        getattr(axes, f"set_{which}scale")("log")
    getattr(axes, f"set_{which}lim")(axis.low, axis.high)
    ticks = axis.ticks()
    getattr(axes, f"set_{which}ticks")(ticks, [duration(v) for v in ticks])
    getattr(axes, f"set_{which}ticks")([], minor=True)
