"""Which sub-network to measure next, so that the table predicts likely candidates best for the least measuring.

Out of many drawn uniformly, greedily the one whose units not measured yet carry the most expected error for what
the network costs. A unit's expected error is how often it was drawn times how far its estimated time may be off: the
regression's own standard deviation of the logarithm (uncertainty sampling: Settles, "Active Learning Literature
Survey", 2009, section 3.1), re-ranked as measurements arrive. As long as nothing is measured, its estimated cost.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from splitkit.compiler.kernel import Kernel
from splitkit.sides import Side
from splitkit.space import Architecture, Sampler, SearchSpace
from splitkit.space.encoding import Encoding
from splitkit.space.unit_table import UnitTable
from splitkit.space.units import Unit

FloatArray = NDArray[np.float64]

CANDIDATES = 3000
"""Architectures drawn to choose from; also what usefulness is estimated on."""

MACS_PER_BYTE = 8.0
"""Rough price of moving a byte, in multiply-accumulates: only ranks units by cost."""

NETWORK_COST = 10
"""What compiling and measuring a network costs beyond its units, in units: halves of two units are rarely worth it."""

MOST_SIGMA = 1.0
"""Standard deviation of a log time beyond which an estimate says nothing; also that of units nobody lowered yet."""


@dataclass
class Chooser:
    """Candidates, what their units are worth, and which units are measured.

    Attributes:
        present: for each candidate the entries of the unit table it runs, -1 where a column is empty, shape (n, c).
        frequency: how often each entry was drawn, each candidate counting in proportion to 1 / its cost; entries
            standing for equal units share the one of the first, shape (entries,).
        cost: estimated work of one run, shape (entries,).
        error: expected error of each entry's time, in units of cost, as long as it is not measured, shape (entries,).
        done: measured; `chosen`: in a network that is being measured; each of shape (entries,).
        left: candidates not chosen yet, shape (n,).
    """

    table: UnitTable
    architectures: Sequence[Architecture]
    present: NDArray[np.int64]
    frequency: FloatArray
    cost: FloatArray
    error: FloatArray
    done: NDArray[np.bool_]
    chosen: NDArray[np.bool_]
    left: NDArray[np.bool_]
    kernels: dict[int, tuple[Kernel, ...]] = field(default_factory=dict)

    @classmethod
    def draw(cls, space: SearchSpace, sides: Sequence[Side], exclude: Iterable[Architecture], seed: int) -> "Chooser":
        """Candidates of a space, drawn uniformly; only units that run on `sides` count."""
        sampler, held_out = Sampler(space, np.random.default_rng(seed)), set(exclude)
        drawn = list(dict.fromkeys(a for _ in range(CANDIDATES) if (a := sampler.uniform()) not in held_out))
        table = UnitTable(space)
        rows = table.rows(Encoding(space).encode_all(drawn))
        counts = sum(((rows.sensor if side == "sensor" else rows.aggregator) for side in sides), start=0 * rows.ids)
        present = np.where(counts > 0, _merge_equal(table, rows.ids, counts), -1)
        used = present >= 0
        cost = np.zeros(len(table))
        for i in np.unique(present[used]):
            cost[i] = _estimated_cost(table.unit(int(i)))
        share = counts / np.maximum((counts * np.where(used, cost[present], 0)).sum(axis=1, keepdims=True), 1)
        frequency: FloatArray = np.bincount(present[used], weights=share[used], minlength=len(table)).astype(np.float64)
        nothing = np.zeros(len(table), dtype=np.bool_)
        left = np.ones(len(drawn), dtype=np.bool_)
        return cls(table, drawn, present, frequency, cost, MOST_SIGMA * cost, nothing, nothing.copy(), left)

    @property
    def covered(self) -> float:
        """Share of the weight (how often, times estimated cost) that is measured."""
        weight = self.frequency * self.cost
        return float(weight[self.done].sum() / weight.sum())

    def progress(self) -> tuple[int, int]:
        """Units measured, of how many."""
        wanted = self.frequency > 0
        return int((self.done & wanted).sum()), int(wanted.sum())

    def next(self) -> Architecture | None:
        """The most useful candidate, which counts as being measured from now on; None if none adds anything."""
        i = self._best(~self.done & ~self.chosen, self.left)
        if i is None:
            return None
        self.left[i] = False
        self.chosen[self.entries(i)] = True
        return self.architectures[i]

    def networks_to(self, coverage: float, limit: int) -> int:
        """How many more networks this order takes until so much is covered; `limit` if more."""
        wanted, left, weight = ~self.done & ~self.chosen, self.left.copy(), self.frequency * self.cost
        missing = (1 - coverage) * weight.sum()
        for n in range(limit):
            if weight[wanted].sum() <= missing or (i := self._best(wanted, left)) is None:
                return n
            left[i] = False
            wanted[self.entries(i)] = False
        return limit

    def units(self, architecture: Architecture) -> list[Unit]:
        """The units a candidate runs whose kernels are not known."""
        entries = self.entries(self.architectures.index(architecture))
        return [self.table.unit(int(e)) for e in entries if int(e) not in self.kernels]

    def heaviest_unlowered(self, count: int) -> list[Unit]:
        """Units that weigh most among those whose kernels are not known."""
        weight = self.frequency * self.cost
        order = np.argsort(-weight, kind="stable")[: int((weight > 0).sum())]
        return [self.table.unit(int(e)) for e in order if int(e) not in self.kernels][:count]

    def lowered(self, found: Mapping[Unit, tuple[Kernel, ...]]) -> None:
        """Take in which kernels units become."""
        for entry in np.flatnonzero(self.frequency > 0).tolist():
            if entry not in self.kernels and (unit := self.table.unit(entry)) in found:
                self.kernels[entry] = found[unit]

    def all_kernels(self) -> tuple[Kernel, ...]:
        """Every kernel of the units whose kernels are known."""
        return tuple({k.key: k for kernels in self.kernels.values() for k in kernels}.values())

    def measured(self, known: Iterable[str]) -> None:
        """Take in which kernels are measured, by key: units are done that need no other."""
        keys = set(known)
        self.done[:] = False
        self.done[[entry for entry, kernels in self.kernels.items() if all(k.key in keys for k in kernels)]] = True

    def given_up(self, architecture: Architecture, *, again: bool = True) -> None:
        """A network that was not measured after all: others, and `again` itself, may be chosen for its units."""
        i = self.architectures.index(architecture)
        self.chosen[self.entries(i)] = False
        self.left[i] = again

    def rank(self, known: Mapping[str, float], estimates: Mapping[str, tuple[float, float]]) -> None:
        """Take in the times of measured kernels, and of others an estimate and its standard deviation (of the log).

        Units whose kernels are all accounted for are worth their expected error from now on, the others their cost,
        brought to the same scale.
        """
        times, errors, entries = [], [], []
        for entry, kernels in self.kernels.items():
            if all(k.key in known or k.key in estimates for k in kernels):
                missing = {k.key: estimates[k.key] for k in kernels if k.key not in known}
                entries.append(entry)
                times.append(sum(known[k.key] if k.key in known else missing[k.key][0] for k in kernels))
                errors.append(sum(time * min(sigma, MOST_SIGMA) for time, sigma in missing.values()))
        if not entries:
            return
        scale = sum(times) / max(float(self.cost[entries].sum()), 1e-9)
        self.error = MOST_SIGMA * scale * self.cost
        self.error[entries] = errors

    def entries(self, i: int) -> NDArray[np.int64]:
        """What candidate i runs, as entries of the table."""
        row: NDArray[np.int64] = self.present[i]
        return row[row >= 0]

    def forget(self, left: NDArray[np.bool_]) -> None:
        """As if nothing were measured, with these candidates to choose from, shape (n,)."""
        self.done[:], self.chosen[:], self.left = False, False, left
        self.error = MOST_SIGMA * self.cost

    def _best(self, wanted: NDArray[np.bool_], left: NDArray[np.bool_]) -> int | None:
        used = self.present >= 0
        worth = self.frequency * self.error
        gain = np.where(used & wanted[self.present], worth[self.present], 0.0).sum(axis=1)
        gain = np.where(left, gain / (NETWORK_COST + used.sum(axis=1)), 0.0)
        i = int(gain.argmax())
        return i if gain[i] > 0 else None


def _merge_equal(table: UnitTable, ids: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Entries replaced by the first one that stands for an equal unit."""
    first: dict[object, int] = {}
    canonical = np.arange(len(table))
    for i in np.unique(ids[counts > 0]):
        canonical[i] = first.setdefault(table.unit(int(i)), int(i))
    return canonical[ids]


def _estimated_cost(unit: Unit) -> float:
    operators = unit.operators(unit.input_tensors(), "unit")
    return sum(op.macs + MACS_PER_BYTE * (op.output.bytes + 4 * op.weight_elements) for op in operators)
