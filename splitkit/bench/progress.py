"""What building a table tells: where it stands, and what it came to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class BuildProgress:
    """Told after each step: how many units are known of all that are wanted, and seconds spent.

    Also how many `networks` were measured, what share of the units' weight is covered, and how many seconds are left
    to go, as far as that can be seen.
    """

    known: int
    wanted: int
    seconds: float
    networks: int = 0
    coverage: float = 0.0
    eta_s: float | None = None


@dataclass(frozen=True)
class BuildReport:
    """What a building session did.

    Attributes:
        measured, reused: kernels timed now, and known before.
        missing: units left for want of time.
        flagged: steps that saw the anchor drift.
        seconds: how long it took.
        networks: how many were measured.
        coverage: share of the units' weight that is known.
        boards: how many networks each of them measured.
        trouble: boards that ever failed, and how last.
        left_out: boards that are not used any more, and why; the rows of those whose timings were not believed are not
            in the table.
        lost: jobs that took their process with them.
    """

    measured: int
    reused: int
    missing: int
    flagged: int
    seconds: float
    networks: int = 0
    coverage: float = 0.0
    boards: Mapping[str, int] = field(default_factory=dict)
    trouble: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    lost: int = 0


Progress = Callable[[BuildProgress], None]
