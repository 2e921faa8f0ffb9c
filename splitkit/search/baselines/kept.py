"""`baselines.json`: every way that was compared so far, and the sentence they come to."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from splitkit.errors import ConfigError, reason
from splitkit.reading import parse_json, typed
from splitkit.scratch import write_json
from splitkit.search.baselines.row import NAMES, Name, Row

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Baselines:
    """Ways to do what a run's split does.

    Attributes:
        space, system, data: what they were compared on.
        conditions: what the rows depend on, as short texts.
        loss: accuracy that a file format, a narrower link or a bottleneck may cost, in [0, 1].
        rows: in the order of the table.
        left_out: why a way has no row, by name.
        winner: name of the fastest way that is as accurate as the found split; None for a tie or nothing to compare.
        verdict: that in a sentence.
    """

    space: str
    system: str
    data: str
    conditions: Mapping[str, str]
    loss: float
    rows: tuple[Row, ...] = ()
    left_out: Mapping[Name, str] = field(default_factory=dict)
    winner: Name | None = None
    verdict: str = ""

    def row(self, name: Name) -> Row | None:
        """The row of that name, if there is one."""
        return next((row for row in self.rows if row.name == name), None)

    def with_row(self, row: Row) -> Self:
        """With one more, or another one of its name."""
        rows = {**{r.name: r for r in self.rows}, row.name: row}
        return replace(self, rows=tuple(rows[name] for name in NAMES if name in rows))

    def without(self, name: Name, why: str) -> Self:
        """With a reason in place of a row."""
        return replace(self, left_out={**self.left_out, name: why})

    def to_json(self) -> dict[str, Any]:
        """The object that `baselines.json` holds."""
        return {
            "schema_version": SCHEMA_VERSION,
            "space": self.space,
            "system": self.system,
            "data": self.data,
            "conditions": dict(self.conditions),
            "loss": self.loss,
            "rows": [row.to_json() for row in self.rows],
            "left_out": dict(self.left_out),
            "winner": self.winner,
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class _Body:
    """The file, its rows not yet read."""

    schema_version: int
    space: str
    system: str
    data: str
    conditions: dict[str, str]
    loss: float
    rows: list[dict[str, Any]]
    left_out: dict[Name, str]
    winner: Name | None
    verdict: str


def save_baselines(found: Baselines, path: Path) -> None:
    """Write `baselines.json`, whole or not at all."""
    write_json(path, found.to_json())


def load_baselines(path: Path) -> Baselines:
    """Read a file that `save_baselines` wrote.

    Raises:
        ConfigError: it is missing, not JSON, of another schema version, or a field is missing, unknown or wrong.
    """
    again = "delete it to compare afresh"
    try:
        body = parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {reason(error)}", "run `splitkit baselines` first") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON: {reason(error)}", again) from error
    version = body.get("schema_version") if isinstance(body, dict) else None
    if version != SCHEMA_VERSION:
        raise ConfigError(f"{path}: schema_version: {version!r}, this splitkit reads {SCHEMA_VERSION}", again)
    try:
        if unknown := sorted(set(body) - set(_Body.__dataclass_fields__)):
            raise ValueError(f"{unknown[0]}: unknown")
        read = typed(_Body, body)
        rows = tuple(Row.from_json(row) for row in read.rows)
    except ValueError as error:
        raise ConfigError(f"{path}: not baselines: {error}", again) from error
    return Baselines(
        space=read.space, system=read.system, data=read.data, conditions=read.conditions, loss=read.loss, rows=rows,
        left_out=read.left_out, winner=read.winner, verdict=read.verdict,
    )  # fmt: skip
