"""The found split beside every other way, as a table for terminals and as bars for the page."""

from collections.abc import Iterator
from typing import Any

from rich.table import Table
from rich.text import Text

from splitkit.report.axes import duration
from splitkit.search.baselines import TITLES, Baselines, Row

COLUMNS = ("way", "accuracy", "total us", "sensor", "link", "aggr.", "payload B")


def baselines_table(found: Baselines) -> Table:
    """One row a way; > is the winner, and what is not known of a time is said below."""
    tested = any(row.test_accuracy is not None for row in found.rows)
    labels = next((row.labels for row in found.rows), {})
    table = Table(
        title=f"{found.space} on {found.system} ({', '.join(f'{part}: {label}' for part, label in labels.items())})",
        caption="\n".join(notes(found)) or None, caption_justify="left",
        box=None, pad_edge=False, padding=(0, 1, 0, 0),
    )  # fmt: skip
    for column in (*COLUMNS, *(["test"] if tested else [])):
        table.add_column(column, justify="left" if column == "way" else "right", overflow="fold")
    for row in found.rows:
        cells = [f"{row.accuracy:.1%}", *_times(row), _payload(row)]
        cells += ["" if row.test_accuracy is None else f"{row.test_accuracy:.1%}"] if tested else []
        table.add_row(Text(f"{'> ' if row.name == found.winner else ''}{row.title}"), *cells)
    return table


def notes(found: Baselines) -> Iterator[str]:
    """How each row was obtained, and why some are not there."""
    for row in found.rows:
        yield f"{row.title}: {row.obtained}"
    for name, why in found.left_out.items():
        yield f"left out, {TITLES[name]}: {why}"


def _times(row: Row) -> list[str]:
    sensor = "?" if "encoding" in row.missing else f"{row.sensor_us:.0f}"
    least = ">= " if row.missing else ""
    return [f"{least}{row.total_us:.0f}", sensor, f"{row.link_us:.0f}", f"{row.aggregator_us:.0f}"]


def _payload(row: Row) -> str:
    p99 = "" if row.payload_p99_bytes is None else f" (99 %: {row.payload_p99_bytes:.0f})"
    return f"{row.payload_bytes:.0f}{p99}"


def baseline_bars(found: Baselines) -> Iterator[dict[str, Any]]:
    """The rows as the report page draws them, on one scale."""
    longest = max((row.total_us for row in found.rows), default=1.0)
    for row in found.rows:
        us = {"sensor": row.sensor_us, "link": row.link_us, "aggregator": row.aggregator_us}
        yield {
            "who": row.title,
            "wins": row.name == found.winner,
            "accuracy": f"{row.accuracy:.2%}",
            "test": "" if row.test_accuracy is None else f"{row.test_accuracy:.2%}",
            "parts": [(part, round(100 * value / longest, 2)) for part, value in us.items()],
            "us": (*(duration(value) for value in us.values()), duration(row.total_us)),
            "total": ("at least " if row.missing else "") + duration(row.total_us),
            "payload": _payload(row),
            "obtained": row.obtained,
            "text": ", ".join(f"{part} {duration(value)}" for part, value in us.items()),
        }
