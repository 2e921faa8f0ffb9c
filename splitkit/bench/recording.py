"""What each board said, written to the table at once, and taken back if the board turns out to be wrong."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from splitkit.bench.agreement import Agreement
from splitkit.bench.jobs import Measured
from splitkit.compiler.kernel import Kernel
from splitkit.latency.measurement import GraphTiming
from splitkit.latency.residency import STATES, mode_of
from splitkit.latency.rows import CacheMode, Conditions, GraphTime, KernelTime
from splitkit.latency.store import LutStore


@dataclass(frozen=True)
class GraphRecord:
    """One graph, the rows of its kernels, and the state of the cache they belong to."""

    mode: CacheMode
    times: list[KernelTime]
    graph: GraphTime


@dataclass(frozen=True)
class Record:
    """What one board said of one network."""

    board: str
    network: str
    graphs: list[GraphRecord]

    def kernels(self) -> set[str]:
        """Keys of every row."""
        return {row.kernel for graph in self.graphs for row in graph.times}


class Recorder:
    """The rows of one building session on one kind of device.

    Attributes:
        base: rows there were before, by state of the cache and kernel key.
        boards: how many networks of each board are in the table.
        anchor: the conditions' anchor kernel, if there was a session before.
        flagged: measurements kept although the anchor had drifted.
    """

    def __init__(
        self, store: LutStore, conditions: Conditions, tolerance: float | None = None, cache_bytes: int = 0
    ) -> None:
        """`tolerance` is how far boards may disagree; None if there is only one."""
        self.store, self._exporter, self._cache_bytes = store, conditions.exporter, cache_bytes
        self._conditions = {mode: store.condition(replace(conditions, cache_mode=mode)) for mode in STATES}
        self.base = self._times()
        self.boards: Counter[str] = Counter()
        self.flagged = 0
        self._records: list[Record] = []
        self._sessions: dict[tuple[str, CacheMode], int] = {}
        table = {_row_key(row.kernel, mode): row.value for mode, rows in self.base.items() for row in rows.values()}
        self._agreement = None if tolerance is None else Agreement(tolerance, table)
        known = self._anchor()
        self.anchor: Kernel | None = known[0] if known else None

    @property
    def reference(self) -> float | None:
        """The anchor's first time, whoever took it."""
        known = self._anchor()
        return known[1] if known else None

    @property
    def networks(self) -> int:
        """Networks in the table."""
        return sum(self.boards.values())

    def known(self) -> dict[str, float]:
        """The times there are, by kernel key: that in the largest networks, if there are several."""
        return {key: row.value for rows in self._times().values() for key, row in rows.items()}

    @property
    def reused(self) -> int:
        """Kernels that were known before."""
        return len({key for rows in self.base.values() for key in rows})

    def watch(self, kernels: Sequence[Kernel]) -> None:
        """Use these to watch the boards, the first as anchor."""
        self.store.add_kernels(self._exporter, kernels)
        self.anchor = kernels[0]

    def add(self, network: str, measured: Measured) -> None:
        """Commit one network's kernels and graphs, and what the anchor took meanwhile, or nothing of it."""
        record = _record(network, measured, self._cache_bytes)
        with self.store.transaction():
            kernels = (kernel for timed, _ in measured.graphs.values() for kernel in timed.kernels)
            self.store.add_kernels(self._exporter, kernels)
            self._write(record)
            anchor_times = measured.anchor_times.get(self.anchor.key, ()) if self.anchor else ()
            for value in anchor_times:
                self.store.add_anchor(self._session(record.board), self.anchor.key, value)  # type: ignore[union-attr]
        self.flagged += measured.flagged
        self.boards[record.board] += 1
        if self._agreement is not None:
            self._records.append(record)
            self._agreement.add(record.board, _seen(record, measured.anchor_times))

    def take_back(self, boards: int) -> tuple[dict[str, str], list[str]]:
        """Look whether `boards` boards agree. Rows of those that are wrong are taken out.

        Returns:
            The wrong boards and why, and the networks that are to be measured again.
        """
        if self._agreement is None:
            return {}, []
        networks, reasons = [], {}
        for board, factor in self._agreement.disagreeing(boards).items():
            self._agreement.remove(board)
            networks += self._drop(board)
            reasons[board] = (
                f"times kernels {factor:.2f} times as long as the others, tolerance {self._agreement.tolerance:.0%}"
            )
        return reasons, networks

    def _drop(self, board: str) -> list[str]:
        """Take out every row that a board had a part in, and put back what the others say of it."""
        bad = [record for record in self._records if record.board == board]
        self._records = [record for record in self._records if record.board != board]
        kernels = {key for record in bad for key in record.kernels()}
        with self.store.transaction():
            for mode, condition in self._conditions.items():
                digests = [graph.graph.digest for record in bad for graph in record.graphs if graph.mode == mode]
                self.store.forget(condition, kernels, digests)
                old = [row for key, row in self.base[mode].items() if key in kernels]
                if old:
                    self.store.replace_times(condition, self._session("before", mode), old)
            self.store.forget_anchors(self._session(board))
            for record in self._records:
                self._write(record, kernels)
        self.boards.pop(board, None)
        return [record.network for record in bad]

    def _anchor(self) -> tuple[Kernel, float] | None:
        return self.store.anchor(self._conditions["in_situ"], self._exporter)

    def _times(self) -> dict[CacheMode, dict[str, KernelTime]]:
        return {mode: self.store.times(condition) for mode, condition in self._conditions.items()}

    def _session(self, board: str, mode: CacheMode = "in_situ") -> int:
        """Every board's rows are a session of their own."""
        if (board, mode) not in self._sessions:
            self._sessions[board, mode] = self.store.start_session(self._conditions[mode])
        return self._sessions[board, mode]

    def _write(self, record: Record, kernels: Iterable[str] | None = None) -> None:
        """Store a record's graphs and rows: all of these, or those of `kernels`."""
        wanted = record.kernels() if kernels is None else set(kernels)
        for part in record.graphs:
            condition, session = self._conditions[part.mode], self._session(record.board, part.mode)
            self.store.add_times(condition, session, [row for row in part.times if row.kernel in wanted])
            self.store.add_graph(condition, part.graph)


def _record(network: str, measured: Measured, cache_bytes: int) -> Record:
    graphs = []
    for digest, (timed, drift) in measured.graphs.items():
        graph = GraphTime(digest, len(timed.kernels), timed.kernel_sum, timed.total, timed.variance)
        graphs.append(GraphRecord(mode_of(timed.kernels, cache_bytes), _rows(timed, drift), graph))
    return Record(measured.board, network, graphs)


def _rows(timed: GraphTiming, drift: float) -> list[KernelTime]:
    return [
        KernelTime(kernel.key, value, variance, 1, drift)
        for kernel, value, variance in zip(timed.kernels, timed.kernel_times, timed.kernel_variances, strict=True)
    ]


def _seen(record: Record, watched: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """By what boards are compared: kernels in place, and those all of them time in rotation."""
    in_place = {_row_key(row.kernel, graph.mode): row.value for graph in record.graphs for row in graph.times}
    return in_place | {_row_key(key, "rotation"): float(np.median(values)) for key, values in watched.items()}


def _row_key(key: str, mode: CacheMode) -> str:
    """What boards speak of: a kernel in one state of the cache."""
    return f"{key} {mode}"
