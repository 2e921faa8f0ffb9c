"""What a search paid for: scores, measurements, trials and compile checks, kept as they come.

A search is deterministic given its seed, its predictor and these answers, so resuming one means running it again from
the start with every expensive question answered from the journal; replaying one means doing so and asking nothing.

The file is JSON lines: a header with the conditions under which the answers hold, then one line per batch of answers,
flushed to disk before the search goes on. A kill or a full disk can tear only the last line, which is then dropped.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from splitkit.errors import ConfigError
from splitkit.reading import parse_json, typed
from splitkit.scores import Score
from splitkit.search.protocol import Evaluator
from splitkit.space import Architecture

SCHEMA_VERSION = 2


class Journal:
    """Answers by architecture. Without a path it lives in memory.

    Args:
        path: the file; its folder is made, an existing file is continued.
        conditions: what the answers depend on (space, system, checkpoint ...), as short texts such as hashes.
        replay: answer only from the file; a question it cannot answer is an error.

    Raises:
        ConfigError: the file is not a journal, was made under other conditions, or is missing for a replay.
    """

    def __init__(
        self, path: Path | None = None, conditions: Mapping[str, str] | None = None, *, replay: bool = False
    ) -> None:
        self.path = path
        self.conditions = dict(conditions or {})
        self.replay = replay
        self.scores: dict[str, Score] = {}
        self.measurements: dict[str, dict[str, Any]] = {}
        self.admissions: dict[str, str | None] = {}
        self.trials: dict[str, dict[str, Any]] = {}
        header = _line({"schema_version": SCHEMA_VERSION, "journal": "search", "conditions": self.conditions})
        if path is not None and path.exists() and not _torn(path, header):
            self._read(path)
        elif replay:
            raise ConfigError(f"{path}: there is no journal to replay", "run the search without --replay first")
        elif path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            self._append(header)

    def score(self, evaluator: Evaluator, architectures: Sequence[Architecture]) -> list[Score]:
        """The score of each; only those not known yet are asked of `evaluator`, in one batch, and kept."""
        keys = [architecture.digest() for architecture in architectures]
        missing = {k: a for k, a in zip(keys, architectures, strict=True) if k not in self.scores}
        if missing:
            self._refuse_in_replay("score", next(iter(missing.values())))
            new = dict(zip(missing, evaluator.score(list(missing.values())), strict=True))
            self.scores |= new
            self._append(_line({"score": {key: [s.accuracy, s.log_likelihood] for key, s in new.items()}}))
        return [self.scores[key] for key in keys]

    def measurement(self, architecture: Architecture, measure: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """The JSON form of a candidate's measurement, made by `measure` if it is not known yet."""
        key = architecture.digest()
        if key not in self.measurements:
            self._refuse_in_replay("measurement", architecture)
            self.measurements[key] = json.loads(json.dumps(measure()))
            self._append(_line({"measurement": {key: self.measurements[key]}}))
        return self.measurements[key]

    def admission(self, architecture: Architecture, check: Callable[[Architecture], str | None]) -> str | None:
        """Why a candidate cannot be exported, or None if it can; asked of `check` if it is not known yet."""
        key = architecture.digest()
        if key not in self.admissions:
            self._refuse_in_replay("compile check", architecture)
            self.admissions[key] = check(architecture)
            self._append(_line({"admission": {key: self.admissions[key]}}))
        return self.admissions[key]

    def trial(self, architecture: Architecture, schedule: Sequence[int]) -> dict[str, Any] | None:
        """The JSON form of what came of fine-tuning a candidate for these steps; None if that is not known yet."""
        found = self.trials.get(_trial_key(architecture, schedule))
        if found is None:
            self._refuse_in_replay("fine-tuning", architecture)
        return found

    def add_trial(self, architecture: Architecture, schedule: Sequence[int], body: Mapping[str, Any]) -> None:
        """Keep what came of fine-tuning a candidate."""
        key = _trial_key(architecture, schedule)
        self.trials[key] = json.loads(json.dumps(body))
        self._append(_line({"trial": {key: self.trials[key]}}))

    def _refuse_in_replay(self, what: str, architecture: Architecture) -> None:
        if self.replay:
            raise ConfigError(
                f"{self.path}: replay: no {what} of {architecture}",
                "the table, the settings or the code changed since; search without --replay",
            )

    def _append(self, line: str) -> None:
        if self.path is None:
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def _read(self, path: Path) -> None:
        content = path.read_bytes()
        whole, _, torn = content.rpartition(b"\n")
        lines = whole.split(b"\n") if whole else []
        try:
            entries = [parse_json(line.decode("utf-8")) for line in lines]
            header = entries[0]
            if header["schema_version"] != SCHEMA_VERSION or header["journal"] != "search":
                raise ConfigError(
                    f"{path}: not a search journal of schema version {SCHEMA_VERSION}",
                    "delete it to search afresh, or use another run name",
                )
            self._check_conditions(path, header["conditions"])
            for entry in entries[1:]:
                scores = typed(dict[str, tuple[float, float]], entry.get("score", {}))
                self.scores |= {key: Score(*score) for key, score in scores.items()}
                self.measurements |= typed(dict[str, dict[str, Any]], entry.get("measurement", {}))
                self.admissions |= typed(dict[str, str | None], entry.get("admission", {}))
                self.trials |= typed(dict[str, dict[str, Any]], entry.get("trial", {}))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise ConfigError(f"{path}: not a search journal: {error}", "delete it to search afresh") from error
        if torn and not self.replay:
            os.truncate(path, len(content) - len(torn))

    def _check_conditions(self, path: Path, found: Mapping[str, str]) -> None:
        for name in sorted({*found, *self.conditions}):
            if found.get(name) != self.conditions.get(name):
                raise ConfigError(
                    f"{path}: {name}: the journal was made with {found.get(name)!r}, now it is "
                    f"{self.conditions.get(name)!r}",
                    "use another run name, or delete it to search afresh",
                )


def _torn(path: Path, header: str) -> bool:
    """Whether all there is are the first letters of the header, or nothing."""
    content = path.read_bytes()
    return len(content) < len(header) and header.encode().startswith(content)


def _line(entry: Mapping[str, Any]) -> str:
    return json.dumps(entry, separators=(",", ":")) + "\n"


def _trial_key(architecture: Architecture, schedule: Sequence[int]) -> str:
    return f"{architecture.digest()} {'+'.join(str(steps) for steps in schedule)}"
