"""The found split beside every other way: a table, bars, and the sentence they come to."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from splitkit.report.axes import duration
from splitkit.search.baselines import Baselines, Name, Row
from splitkit.search.choice import accurate_enough


def judge_baselines(rows: Sequence[Row], error: float) -> tuple[Name | None, str]:
    """The fastest way of those that are as accurate as the found split, None for a tie, and that in a sentence.

    As accurate is what is not worse on the same images of the search slice by more than could be chance, or by a
    trifle (see `search.choice`). A time that lacks a part can lose but not win.

    Args:
        error: how far off predictions may be, relative.
    """
    split = next((row for row in rows if row.name == "split"), None)
    others = [row for row in rows if row is not split]
    if split is None:
        return None, "There is no found split to compare with." if rows else ""
    if not others:
        return None, ""
    alike = [row for row in others if accurate_enough(row.images, split.images)]
    known = sorted((row for row in alike if not row.missing), key=lambda row: row.total_us)
    open_ = [row for row in alike if row.missing and row.total_us < split.total_us]
    tolerance = (1 + error) / max(1 - error, 1e-9) - 1
    winner, text = _between(split, known, tolerance)
    better = [row for row in others if not accurate_enough(split.images, row.images)]
    if better:
        named = ", ".join(f"{row.title} ({_figures(row)})" for row in better)
        text += f" More accurate than it by more than could be chance: {named}."
    for row in open_:
        room = duration(split.total_us - row.total_us)
        text += f" {_begun(row.title)} would be faster if its {row.missing} took less than {room}, which nobody timed."
    return winner, text


def _between(split: Row, known: Sequence[Row], tolerance: float) -> tuple[Name | None, str]:
    if not known:
        return "split", f"{_begun(split.title)} wins: {_figures(split)}, and no other way is as accurate."
    first = known[0]
    if max(first.total_us, split.total_us) / min(first.total_us, split.total_us) - 1 <= tolerance:
        return None, (
            f"A tie between {split.title} ({_figures(split)}) and {first.title} ({_figures(first)}): predictions may "
            "be off by more than they differ."
        )
    if first.total_us < split.total_us:
        faster = [row.title for row in known[1:] if row.total_us * (1 + tolerance) < split.total_us]
        more = f"; so do {', '.join(faster)}" if faster else ""
        return first.name, (
            f"{_begun(first.title)} wins over {split.title} at equal accuracy: {_figures(first)} against "
            f"{_figures(split)}{more}."
        )
    times = first.total_us / split.total_us
    return "split", (
        f"{_begun(split.title)} wins: {_figures(split)}; the fastest other way that is as accurate, {first.title}, "
        f"takes {times:.2f} times as long ({_figures(first)})."
    )


def _begun(title: str) -> str:
    return title[0].upper() + title[1:]


def _figures(row: Row) -> str:
    return f"{duration(row.total_us)} at {row.accuracy:.1%}"


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
    from splitkit.search.baselines import TITLES

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
