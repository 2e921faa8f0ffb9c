"""Which runtimes a latency table, and so a search, can be made for."""

from collections.abc import Iterable

from splitkit.errors import ConfigError
from splitkit.exporters.protocol import KernelExporter
from splitkit.exporters.registry import get_exporter
from splitkit.profiles.schema import System
from splitkit.sides import Side


def require_kernels(system: System, sides: Iterable[Side]) -> None:
    """Refuse a runtime that does not say which kernels a graph becomes: their times could not be added up.

    Raises:
        ConfigError: of a side's exporter that is not a `KernelExporter`; the message says what can be done instead.
    """
    for side in sides:
        profile = system.device(side)
        if not isinstance(get_exporter(profile.exporter), KernelExporter):
            raise ConfigError(
                f"{side} {profile.name}: runtime {profile.exporter} does not say which kernels a graph becomes, "
                "so there is no latency table for it",
                f"search with tvm's kernels, then `splitkit export --runtime {side}={profile.exporter}`; "
                f"`splitkit bench BUNDLE` times whole halves on any runtime",
            )
