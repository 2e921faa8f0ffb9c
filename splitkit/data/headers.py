"""Looking at the headers of files, as many as there are: what the index knows already is not looked at again."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from splitkit.data.decode import FullScale, Kind, Peak, UnreadableError, bombs_are_errors, look_at_header, shown
from splitkit.data.index import Listings, Say
from splitkit.data.listing import DAMAGED, DEEP_COLOUR, INTEGERS, REALS, SETTLED_NS, UNSEEN, UNSETTLED, USABLE, Look
from splitkit.data.table import Files

AT_ONCE = 8192
"""Files that are given to the threads together: what waits for them is bounded."""

SHARE = 64
"""Files that a thread looks at in one go."""

KEEP_EVERY_S = 3.0
"""A process that is killed loses no more than this; longer where keeping takes more than a tenth of the time."""

SAY_EVERY_S = 10.0

Number = TypeVar("Number", bound=np.generic)

KINDS: dict[int, Kind] = {INTEGERS: "integers", REALS: "reals", DEEP_COLOUR: "deep colour"}
_VERDICTS = {kind: verdict for verdict, kind in KINDS.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Headers:
    """What the headers of `files` say, by their order.

    Attributes:
        verdicts: uint8.
        peaks: float64, of pictures deeper than 8 bits.
    """

    files: Files
    verdicts: NDArray[np.uint8]
    peaks: NDArray[np.float64]

    def highest(self) -> tuple[Peak, ...]:
        """The largest value of each kind of picture that is deeper than 8 bits."""
        found = ((kind, self.peaks[self.verdicts == verdict]) for verdict, kind in KINDS.items())
        return tuple(Peak(kind, float(values.max())) for kind, values in found if len(values))

    def problems(self, full_scale: FullScale) -> dict[int, str]:
        """Why files cannot be used, in one line each; some of them because they hold values above the full scale."""
        found = {}
        for i in np.flatnonzero((self.verdicts == DAMAGED) | (self.verdicts >= INTEGERS)).tolist():
            if why := self._problem(i, full_scale):
                found[i] = f"{shown(self.files.path(i))}: {why}"
        return found

    def _problem(self, index: int, full_scale: FullScale) -> str:
        verdict = int(self.verdicts[index])
        if verdict == DAMAGED:
            return self.files.look_at(index).reason
        try:
            full_scale.white(KINDS[verdict], float(self.peaks[index]))
        except UnreadableError as error:
            return str(error)
        return ""


def look_at_headers(files: Files, workers: int, known: Listings, say: Say) -> Headers:
    """Look at those of the files that are not known yet, with `workers` threads, and keep what was seen as it goes.

    `say` is told now and then how far it is.
    """
    known.keep_fresh()
    looks = [listing.looked() for listing in files.listings]
    pending = np.flatnonzero(_gathered(files, [look.verdicts for look in looks]) == UNSEEN)
    with bombs_are_errors(), ThreadPoolExecutor(workers) as pool:
        # Threads: Pillow reads outside the interpreter lock, and processes would have to load torch first.
        keeper = _Keeper(files, known, say, len(pending))
        try:
            for start in range(0, len(pending), AT_ONCE):
                chosen = pending[start : start + AT_ONCE]
                shares = [files.part(chosen[i : i + SHARE]) for i in range(0, len(chosen), SHARE)]
                for share, seen in zip(shares, pool.map(_look_at, shares), strict=True):
                    keeper.record(share, seen)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            keeper.keep()
    peaks = [look.peaks if len(look.peaks) else np.zeros(len(look.sizes)) for look in looks]
    return Headers(files, _gathered(files, [look.verdicts for look in looks]), _gathered(files, peaks))


class _Keeper:
    """Writes down what was seen, and says how far it is."""

    def __init__(self, files: Files, known: Listings, say: Say, total: int) -> None:
        self._files, self._known, self._say, self._total = files, known, say, total
        self._changed: set[int] = set()
        self._done = 0
        self._begun = self._said_at = self._kept_at = time.monotonic()
        self._pause_s = KEEP_EVERY_S

    def record(self, share: Files, seen: Sequence[Look]) -> None:
        """Note what was seen of some files."""
        for folder, place, look in zip(share.folders.tolist(), share.places.tolist(), seen, strict=True):
            self._files.listings[folder].looked().record(place, look)
            self._changed.add(folder)
        self._done += len(seen)
        now = time.monotonic()
        if now - self._kept_at >= self._pause_s:
            self.keep()
        if now - self._said_at >= SAY_EVERY_S:
            self._said_at = now
            left_s = (now - self._begun) / self._done * (self._total - self._done)
            self._say(f"{self._done} of {self._total} pictures looked at, {left_s:.0f} s to go")

    def keep(self) -> None:
        """Put into the index what it does not have."""
        begun = time.monotonic()
        if self._known.index is not None and self._changed:
            self._known.index.put([self._files.listings[folder] for folder in sorted(self._changed)])
        self._changed.clear()
        self._kept_at = time.monotonic()
        self._pause_s = max(KEEP_EVERY_S, 10 * (self._kept_at - begun))


def _look_at(files: Files) -> list[Look]:
    return [_look(path) for path in files.paths]


def _look(path: Path) -> Look:
    size, written_ns = 0, UNSETTLED
    try:
        status = path.stat()
        if time.time_ns() - status.st_mtime_ns >= SETTLED_NS:
            size, written_ns = status.st_size, status.st_mtime_ns
    except OSError:
        pass  # opening says why
    try:
        peak = look_at_header(path)
    except UnreadableError as error:
        if getattr(error.__cause__, "errno", None) is not None:
            written_ns = UNSETTLED  # the system's reason, such as a permission: it may be gone the next time
        return Look(size, written_ns, DAMAGED, reason=str(error))
    return Look(size, written_ns, USABLE) if peak is None else Look(size, written_ns, _VERDICTS[peak.kind], peak.value)


def _gathered(files: Files, arrays: Sequence[NDArray[Number]]) -> NDArray[Number]:
    """Values of the files in their order, from an array for each folder."""
    starts = np.cumsum([0, *(len(array) for array in arrays)])[:-1]
    return np.concatenate(arrays)[starts[files.folders] + files.places]
