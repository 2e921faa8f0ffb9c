"""What each board said, written to the table at once, and taken back if the board turns out to be wrong."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from splitkit.exporters.protocol import Kernel
from splitkit.latency.agreement import Agreement
from splitkit.latency.jobs import Measured
from splitkit.latency.measurement import SideMeasurement
from splitkit.latency.store import Conditions, GraphTime, KernelTime, LutStore


@dataclass(frozen=True)
class Record:
    """What one board said of one network."""

    board: str
    network: str
    times: list[KernelTime]
    graphs: list[GraphTime]


class Ledger:
    """The rows of one building session under one set of conditions.

    Attributes:
        base: rows there were before, by kernel key.
        boards: how many networks of each board are in the table.
        anchor: the conditions' anchor kernel, if there was a session before.
        history: every time the anchor took, oldest first.
        flagged: measurements kept although the anchor had drifted.
    """

    def __init__(self, store: LutStore, conditions: Conditions, tolerance: float | None) -> None:
        """`tolerance` is how far boards may disagree; None if there is only one."""
        self.store, self.condition, self._exporter = store, store.condition(conditions), conditions.exporter
        self.base = store.times(self.condition)
        self.boards: Counter[str] = Counter()
        self.flagged = 0
        self._records: list[Record] = []
        self._sessions: dict[str, int] = {}
        table = {key: row.value for key, row in self.base.items()}
        self._agreement = None if tolerance is None else Agreement(tolerance, table)
        known = store.anchors(self.condition)
        self.anchor: Kernel | None = store.kernels(self._exporter, [known[0]])[known[0]] if known else None
        self.history = known[1] if known else []

    @property
    def networks(self) -> int:
        """Networks in the table."""
        return sum(self.boards.values())

    def known(self) -> dict[str, KernelTime]:
        """All rows there are, by kernel key."""
        return self.store.times(self.condition)

    def watch(self, kernels: Sequence[Kernel]) -> None:
        """Use these to watch the boards, the first as anchor."""
        self.store.add_kernels(self._exporter, kernels)
        self.anchor = kernels[0]

    def add(self, network: str, measured: Measured) -> None:
        """Commit one network's kernels and graphs, and what the anchor took meanwhile, or nothing of it."""
        record = _record(network, measured)
        with self.store.transaction():
            session = self._session(record.board)
            kernels = (kernel for timed, _ in measured.graphs.values() for kernel in timed.kernels)
            self.store.add_kernels(self._exporter, kernels)
            self._write(session, record.times, record.graphs)
            anchor_times = measured.anchor_times.get(self.anchor.key, ()) if self.anchor else ()
            for value in anchor_times:
                self.store.add_anchor(session, self.anchor.key, value)  # type: ignore[union-attr]
        self.history += anchor_times
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
        kernels = {row.kernel for record in bad for row in record.times}
        with self.store.transaction():
            self.store.forget(self.condition, kernels, [graph.digest for record in bad for graph in record.graphs])
            self.store.forget_anchors(self._session(board))
            old = [self.base[key] for key in kernels if key in self.base]
            if old:
                self.store.replace_times(self.condition, self._session("before"), old)
            for record in self._records:
                times = [row for row in record.times if row.kernel in kernels]
                self._write(self._session(record.board), times, record.graphs)
        self.boards.pop(board, None)
        known = self.store.anchors(self.condition)
        self.history = known[1] if known else []
        return [record.network for record in bad]

    def _session(self, board: str) -> int:
        """Every board's rows are a session of their own."""
        if board not in self._sessions:
            self._sessions[board] = self.store.start_session(self.condition)
        return self._sessions[board]

    def _write(self, session: int, times: Sequence[KernelTime], graphs: Sequence[GraphTime]) -> None:
        self.store.add_times(self.condition, session, times)
        for graph in graphs:
            self.store.add_graph(self.condition, graph)


def _record(network: str, measured: Measured) -> Record:
    times: list[KernelTime] = []
    graphs: list[GraphTime] = []
    for digest, (timed, drift) in measured.graphs.items():
        times += _rows(timed, drift)
        count, variance = len(timed.kernels), timed.graph_variance_us2
        graphs.append(GraphTime(digest, count, timed.kernel_sum_us, timed.graph_us, variance))
    return Record(measured.board, network, times, graphs)


def _rows(timed: SideMeasurement, drift: float) -> list[KernelTime]:
    return [
        KernelTime(kernel.key, value, variance, 1, drift)
        for kernel, value, variance in zip(timed.kernels, timed.kernel_us, timed.kernel_variance_us2, strict=True)
    ]


def _seen(record: Record, watched: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """By what boards are compared: kernels in place, and those all of them time in rotation."""
    in_place = {row.kernel: row.value for row in record.times}
    return in_place | {f"{key} in rotation": float(np.median(values)) for key, values in watched.items()}
