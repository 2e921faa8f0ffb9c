"""Do boards agree? Networks share kernels, so every board times some that others timed as well.

A board's deviation is the median, over the kernels it shares with others, of the logarithm of its time over the median
of theirs. The board that deviates most is taken out first: a wrong one also makes the others look wrong.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

SHARED_KERNELS = 5
"""A board that shares fewer kernels with the others is not judged yet."""


@dataclass
class Agreement:
    """What each board measured, and what the table knew before any of them (one more source).

    Attributes:
        tolerance: relative deviation up to which boards agree.
    """

    tolerance: float
    table: Mapping[str, float]
    _times: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))

    def add(self, board: str, times: Mapping[str, float]) -> None:
        """Take in a board's times by kernel key."""
        for key, time in times.items():
            self._times[board][key].append(time)

    def remove(self, board: str) -> None:
        """Forget a board."""
        self._times.pop(board, None)

    def disagreeing(self, boards: int) -> dict[str, float]:
        """The boards not to be believed, each with how many times too slow it is.

        Of two sources that contradict each other, neither is believed or refused while another of so many `boards` may
        still be measured; after that both are refused, since nothing says which is right. The table is never refused.
        """
        sources = {board: {k: float(np.median(t)) for k, t in times.items()} for board, times in self._times.items()}
        if self.table:
            sources[""] = dict(self.table)
        found: dict[str, float] = {}
        limit = np.log1p(self.tolerance)
        while len(sources) > 1:
            deviations = {source: d for source in sources if (d := _deviation(source, sources)) is not None}
            if not deviations or max(map(abs, deviations.values())) <= limit:
                break
            if len(deviations) == 2:
                if boards + bool(self.table) - len(found) > 2:
                    break
                found |= {board: float(np.exp(d)) for board, d in deviations.items() if board}
                break
            worst = max(deviations, key=lambda source: abs(deviations[source]))
            if worst:
                found[worst] = float(np.exp(deviations[worst]))
            del sources[worst]
        return found


def _deviation(source: str, sources: Mapping[str, Mapping[str, float]]) -> float | None:
    """Median log ratio to the median of the other sources; None where too little is shared."""
    ratios = []
    for key, time in sources[source].items():
        others = [times[key] for other, times in sources.items() if other != source and key in times]
        if others:
            ratios.append(np.log(max(time, 1e-9) / max(float(np.median(others)), 1e-9)))
    return float(np.median(ratios)) if len(ratios) >= SHARED_KERNELS else None
