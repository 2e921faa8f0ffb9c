"""The sentence that the found split beside every other way comes to."""

from collections.abc import Sequence

from splitkit.report.axes import duration
from splitkit.search.baselines import Name, Row
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
            f"{_figures(split)}, worse by no more than could be chance{more}."
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
