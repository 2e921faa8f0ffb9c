"""How much of a front's predicted time rests on measured kernels, by side and kernel family."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from splitkit.compiler.kernel import Kernel
from splitkit.devices import get_device
from splitkit.latency.kernel_times import KernelTimes
from splitkit.latency.lowering import Lowering
from splitkit.latency.residency import IN_SITU
from splitkit.latency.store import LutStore
from splitkit.profiles.schema import System
from splitkit.sides import SIDES, Side
from splitkit.space import Architecture, SearchSpace, describe


@dataclass(frozen=True)
class FamilyCoverage:
    """One kernel family on one side, over the architectures asked about.

    Attributes:
        kernels, known: distinct kernels, and those whose time is measured (or the device's own model).
        us, known_us: their predicted time summed over all architectures, and the part of it that is known.
        modelled: the device is a model, so that "known" does not mean measured.
    """

    side: Side
    family: str
    kernels: int
    known: int
    us: float
    known_us: float
    modelled: bool


def family_coverage(
    store: LutStore, space: SearchSpace, system: System, architectures: Iterable[Architecture]
) -> tuple[FamilyCoverage, ...]:
    """Coverage by family, most time first. Reads the store only: units it does not know are left out.

    Raises:
        DeviceError: nothing was measured on a side.
    """
    found: list[FamilyCoverage] = []
    networks = [describe(space, architecture) for architecture in architectures]
    for side in SIDES:
        profile = system.device(side)
        placed = [item.unit for network in networks for item in getattr(network, side)]
        lowering = Lowering(store, profile.exporter, get_device(profile.unscaled()).target())
        lowered = lowering.recall(placed)
        calls = [kernel for unit in placed for kernel in lowered.get(unit, ())]
        found += _by_family(side, KernelTimes(store, profile), calls)
    return tuple(sorted(found, key=lambda c: (SIDES.index(c.side), -c.us)))


def _by_family(side: Side, times: KernelTimes, calls: list[Kernel]) -> Iterable[FamilyCoverage]:
    if not calls:
        return
    distinct = list({kernel.key: kernel for kernel in calls}.values())
    answer = times(distinct)
    us = dict(zip((k.key for k in distinct), answer.us[IN_SITU].tolist(), strict=True))
    known = dict(zip((k.key for k in distinct), answer.known.tolist(), strict=True))
    families: dict[str, list[Kernel]] = defaultdict(list)
    for kernel in calls:
        families[kernel.family].append(kernel)
    for family, kernels in families.items():
        keys = {kernel.key for kernel in kernels}
        yield FamilyCoverage(
            side=side,
            family=family,
            kernels=len(keys),
            known=sum(known[key] for key in keys),
            us=sum(us[kernel.key] for kernel in kernels),
            known_us=sum(us[kernel.key] for kernel in kernels if known[kernel.key]),
            modelled=times.modelled,
        )
