"""What `splitkit partition` prints."""

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from splitkit.partition import Chain, Option, Partition
    from splitkit.partition.jpeg import Jpeg


def cuts_table(found: "Partition", jpeg: "Jpeg | None") -> Table:
    """A line a cut, the best one bold."""
    table = Table(box=None, pad_edge=False)
    table.add_column("sent", overflow="fold")
    timed = ["measured us"] if any(option.measured_us is not None for option in found.options) else []
    for column in ("bytes", "sensor us", "link us", "aggregator us", "total us", *timed, "sensor RAM"):
        table.add_column(column, justify="right")
    for option in found.options:
        numbers = (option.sensor_us, option.link_us, option.aggregator_us, option.total_us)
        table.add_row(
            _what(option), f"{option.payload_bytes:,}", *(f"{us:,.0f}" for us in numbers),
            *([("" if option.measured_us is None else f"{option.measured_us:,.0f}")] if timed else []),
            f"{option.sensor_peak_bytes:,}" + ("" if option.fits else " too much"),
            style="bold" if option is found.best else None,
        )  # fmt: skip
    if jpeg is not None:
        sensor = "?" if jpeg.sensor_us is None else f"{jpeg.sensor_us:,.0f}"
        shown = [f"{us:,.0f}" for us in (jpeg.link_us, jpeg.aggregator_us, jpeg.total_us)]
        table.add_row("JPEG (all on aggregator)", f"{jpeg.payload_bytes:,}", sensor, *shown, *["" for _ in timed], "")
    return table


def _what(option: "Option") -> str:
    names = escape(", ".join(option.crossing))
    return names if option.placement == "split" else f"{names} (all on {option.placement})"


def notes(found: "Partition", bundled: bool) -> list[str]:
    """What the table does not show; `bundled` says whether there are bundles of such a model."""
    best = found.best
    lines = [
        f"best of {found.listed} cuts: {found.model} "
        + (f"cut at {', '.join(best.crossing)}" if best.placement == "split" else f"all on the {best.placement}"),
        *(f"{side}: {label}" for side, label in found.devices.items()),
        f"link: {found.link}",
    ]
    if found.views > 1:
        lines.append(
            f"{found.views} views with a sensor each, bytes are of one; cut no later than {', '.join(found.join)}"
        )
    if not best.fits:
        lines.append("the sensor can hold none of these")
    if bundled and len(best.crossing) > 1:
        lines.append("`splitkit bench` and the runtime carry one tensor: --most-tensors 1 finds the best such cut")
    if found.unbounded_us is not None:
        lines.append(f"with more than {found.most_tensors} tensors crossing: {found.unbounded_us:,.0f} us")
    shares = [f"{share:.0%} on the {side}" for side, share in found.fallback.items() if share > 0.005]
    if shares:
        lines.append(f"of the model's kernel time in operators without a schedule here: {', '.join(shares)}")
    if best.measured_fraction < 0.995:
        lines.append(f"{1 - best.measured_fraction:.0%} of the best one's kernel time is estimated, not measured")
    return lines


def chain_table(found: "Chain") -> Table:
    """A line a processor."""
    shown = Table(box=None, pad_edge=False)
    shown.add_column("processor")
    for column in ("pieces", "us"):
        shown.add_column(column, justify="right")
    shown.add_column("sends", overflow="fold")
    for column in ("bytes", "link us"):
        shown.add_column(column, justify="right")
    for stage in found.stages:
        sends = escape(", ".join(stage.sent))
        link = (f"{stage.payload_bytes:,}", f"{stage.link_us:,.0f}") if stage.sent else ("", "")
        shown.add_row(stage.device, f"{stage.pieces:,}", f"{stage.us:,.0f}", sends, *link)
    return shown
