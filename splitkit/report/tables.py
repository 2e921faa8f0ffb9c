"""Tables for people: fronts, and measured beside predicted."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from splitkit.report.privacy import PrivacyRow
from splitkit.runtime.measure import SystemMeasurement
from splitkit.search.result import SearchResult


def front_table(result: SearchResult) -> Table:
    """Every point of the merged front and of each system's own, by rising latency."""
    labels = ", ".join(f"{part}: {label}" for part, label in result.labels.items())
    table = Table(
        title=f"{result.space} on {result.system} ({labels})", caption="* on the front over all systems, > chosen",
        box=None, pad_edge=False, padding=(0, 1, 0, 0),  # so that ten columns fit 80 characters
    )  # fmt: skip
    for column in ("", "runs on", "accuracy", "total us", "sensor", "link", "aggr.", "payload B", "sensor B", "fps"):
        table.add_column(column, justify="left" if column in ("", "runs on") else "right", overflow="fold")
    chosen = set(result.chosen.values())
    for index, point in enumerate(result.points):
        table.add_row(
            f"{'>' if index in chosen else ''}{index}{'*' if index in result.merged else ''}",
            point.placement,
            f"{point.accuracy:.1%}",
            f"{point.total_us:.0f}",
            f"{point.sensor_us:.0f}",
            f"{point.link_us:.0f}",
            f"{point.aggregator_us:.0f}",
            str(point.payload_bytes),
            str(point.peak_sensor_bytes),
            f"{point.throughput_per_s:.0f}",
        )
    return table


def stage_table(measured: SystemMeasurement) -> Table:
    """Stages of a running bundle beside their prediction."""
    medians = measured.medians()
    labels = {"sensor_us": measured.sensor_label, "link_us": measured.link_label}
    labels |= {"aggregator_us": measured.aggregator_label, "total_us": "sensor to result"}
    table = Table(title=f"{len(measured.total_us)} frames, medians", caption=f"runtime: {measured.runtime}")
    for column in ("stage", "measured us", "predicted us", "error", "what it is"):
        table.add_column(column, justify="left" if column in ("stage", "what it is") else "right")
    for stage, us in medians.items():
        predicted = measured.predicted.get(stage)
        error = "" if not predicted else f"{predicted / us - 1:+.1%}" if us else ""
        shown = "" if predicted is None else f"{predicted:.0f}"
        table.add_row(stage.removesuffix("_us"), f"{us:.0f}", shown, error, labels[stage])
    return table


def privacy_table(rows: Sequence[PrivacyRow]) -> Table:
    """What could be sent, and how much of the image can be drawn from it."""
    table = Table(title="what the link gives away of the image")
    for column in ("what is sent", "bytes", "PSNR dB", "SSIM"):
        table.add_column(column, justify="left" if column == "what is sent" else "right")
    for row in rows:
        table.add_row(Text(row.sent), f"{row.payload_bytes:.0f}", f"{row.psnr_db:.1f}", f"{row.ssim:.3f}")
    return table


def demo_table(summary: Mapping[str, Any]) -> Table:
    """The three systems of `summary.json` side by side."""
    table = Table(title=f"{summary['space']} on {summary['system']}, one frame")
    columns = (
        ("test accuracy", "test_accuracy", "{:.2%}"),
        ("predicted total us", "predicted_total_us", "{:.0f}"),
        ("measured total us", "measured_total_us", "{:.0f}"),
        ("  sensor", "sensor_us", "{:.0f}"),
        ("  link", "link_us", "{:.0f}"),
        ("  aggregator", "aggregator_us", "{:.0f}"),
        ("payload bytes", "payload_bytes", "{}"),
        ("peak sensor bytes", "peak_sensor_bytes", "{}"),
    )
    table.add_column("")
    for name in summary["systems"]:
        table.add_column(name.replace("_", " "), justify="right")
    for title, field, form in columns:
        table.add_row(title, *(form.format(system[field]) for system in summary["systems"].values()))
    captions = []
    if compared := summary["comparison"]:
        captions.append(
            f"test accuracy, split less {compared['against'].replace('_', ' ')}: "
            f"{compared['test_accuracy_difference']:+.2%} (95 % interval {compared['low_95']:+.2%} to "
            f"{compared['high_95']:+.2%}, the same {compared['test_images']} images)"
        )
    if split := summary["systems"].get("split"):
        captions.append(", ".join(f"{part}: {label}" for part, label in split["labels"].items()))
    table.caption = "\n".join(captions) or None
    return table
