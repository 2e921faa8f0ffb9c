"""One HTML page: styles, script and drawings inside, nothing fetched, readable without JavaScript."""

from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from splitkit.report.axes import Axis, duration, size, thousands
from splitkit.report.baselines_table import baseline_bars
from splitkit.report.charts import front_chart, prediction_chart
from splitkit.report.content import SYSTEMS, Content, Stages
from splitkit.report.coverage import FamilyCoverage
from splitkit.report.palette import DARK, LIGHT, Palette
from splitkit.report.verdict import verdict_of
from splitkit.search import Point
from splitkit.sides import SIDES

SHAPES = {
    "sensor": "M0-6.5 6 5H-6Z",
    "aggregator": "M-5-5H5V5H-5Z",
    "split": "M5.5 0A5.5 5.5 0 1 1 -5.5 0A5.5 5.5 0 1 1 5.5 0Z",
}
"""SVG paths of the systems' markers."""

GENERATOR = '<meta name="generator" content="splitkit '
"""Stands near the beginning of every page, so that a later report knows whether it may replace it."""


def render_page(content: Content) -> str:
    """The page's text. Every name in it that a user chose is escaped."""
    environment = Environment(
        loader=PackageLoader("splitkit.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = environment.get_template("style.css").render(light=_variables(LIGHT), dark=_variables(DARK))
    script = environment.get_template("script.js").render()
    return environment.get_template("report.html").render(
        **_view(content), style=Markup(style), script=Markup(script), version=version("splitkit")
    )


def _view(content: Content) -> dict[str, Any]:
    """What the template is filled with."""
    result = content.result
    points = result.points
    fastest = content.fastest
    return {
        "content": content,
        "points": points,
        "systems": SYSTEMS,
        "shapes": SHAPES,
        "shown": [name for name in SYSTEMS if result.fronts.get(name)],
        "best": [(name, content.best[name]) for name in SYSTEMS if name in content.best],
        "missing": ", ".join(SYSTEMS[name] for name in result.fronts if not result.fronts[name]),
        "answer": verdict_of(content.result).text,
        "first": points.index(fastest) if fastest else 0,
        "front": front_chart(content) if points else None,
        "front_log": Axis.over([p.total_us for p in points], wide=6.0).logarithmic,
        "prediction": prediction_chart(content),
        "facts": [list(_facts(content, point)) for point in points],
        "bars": list(_bars(content)),
        "coverage": list(_coverage(content.coverage)),
        "baselines": list(baseline_bars(content.baselines)) if content.baselines else [],
        "any_measured": any(p.measured_total_us is not None for p in points),
        "timed_word": "timed by the model" if content.modelled else "measured",
        "evaluated": sum(result.evaluated.values()),
        "infeasible": sum(result.infeasible.values()),
        "limits": [(name.replace("_", " "), _plain(limit)) for name, limit in result.constraints.limits().items()],
        "duration": duration,
        "size": size,
    }


def _facts(content: Content, point: Point) -> Iterator[tuple[str, str]]:
    """Name and value of each of a point's figures."""
    yield "accuracy (search images)", f"{point.accuracy:.2%}"
    yield "predicted, one frame", duration(point.total_us)
    for name, us in (("sensor", point.sensor_us), ("link", point.link_us), ("aggregator", point.aggregator_us)):
        yield f"\u2003{name}", f"{duration(us)} ({us / point.total_us:.0%})"
    if point.measured_total_us is not None:
        yield ("timed by the model" if content.modelled else "measured"), duration(point.measured_total_us)
    yield "rests on known kernels", f"{point.measured_fraction:.0%}"
    yield "pipelined", f"{point.throughput_per_s:.0f} frames/s"
    busy = point.busy_pipelined
    for name, share in (("sensor", busy.sensor), ("link", busy.link), ("aggregator", busy.aggregator)):
        yield f"\u2003{name} busy", f"{share:.0%}"
    yield "payload per view", size(point.payload_bytes)
    yield "sensor memory, at least", size(point.peak_sensor_bytes)
    yield "MACs, each sensor", thousands(point.sensor_macs)
    yield "MACs, aggregator", thousands(point.aggregator_macs)
    if point.energy_uj is not None:
        yield "energy by the profiles", f"{point.energy_uj:.3g} uJ"


def _bars(content: Content) -> Iterator[dict[str, Any]]:
    """Predicted, and where there is one measured, stages of each system's best point, on one scale."""
    rows: list[tuple[str, str, str, Stages]] = []
    for placement, index in ((name, content.best[name]) for name in SYSTEMS if name in content.best):
        point = content.result.points[index]
        who, accuracy = SYSTEMS[placement], f"{point.accuracy:.2%}"
        rows.append((who, accuracy, "predicted", Stages(point.sensor_us, point.link_us, point.aggregator_us)))
        if (measured := content.measured.get(point.architecture)) is not None:
            rows.append((who, accuracy, "timed" if content.modelled else "measured", measured))
    longest = max((stages.total_us for *_, stages in rows), default=1.0)
    for who, accuracy, what, stages in rows:
        us = asdict(stages)
        yield {
            "who": who,
            "accuracy": accuracy,
            "what": what,
            "first": what == "predicted",
            "parts": [(part.removesuffix("_us"), round(100 * value / longest, 2)) for part, value in us.items()],
            "us": (*us.values(), stages.total_us),
            "total": duration(stages.total_us),
            "text": ", ".join(f"{part.removesuffix('_us')} {duration(value)}" for part, value in us.items()),
        }


def _coverage(rows: tuple[FamilyCoverage, ...]) -> Iterator[dict[str, Any]]:
    for side in SIDES:
        families = [row for row in rows if row.side == side]
        total = sum(row.us for row in families)
        if not total:
            continue
        known = sum(row.known_us for row in families)
        what = "is the device's own model" if families[0].modelled else "rests on measured kernels"
        kernels = f"{sum(row.known for row in families)} of {sum(row.kernels for row in families)} kernels"
        yield {
            "side": side,
            "summary": f"{known / total:.1%} of the predicted time {what} ({kernels})",
            "families": [_family(row, total, max(row.us for row in families)) for row in families],
        }


def _family(row: FamilyCoverage, total: float, most: float) -> dict[str, Any]:
    word = "modelled" if row.modelled else "measured"
    return {
        "family": row.family,
        "known": round(100 * row.known_us / most, 2),
        "estimated": round(100 * (row.us - row.known_us) / most, 2),
        "count": f"{row.us / total:.0%}",
        "kernels": row.kernels,
        "of_known": row.known,
        "share": round(100 * row.us / total, 1),
        "known_share": round(100 * row.known_us / row.us, 1) if row.us else 100.0,
        "text": f"{row.family}: {row.us / total:.1%} of the time, {row.known} of {row.kernels} kernels {word}",
    }


def _plain(limit: float) -> str:
    return f"{limit:,.0f}" if limit >= 1000 else f"{limit:g}"


def _variables(palette: Palette) -> str:
    return " ".join(f"--{name}: {colour};" for name, colour in asdict(palette).items())
