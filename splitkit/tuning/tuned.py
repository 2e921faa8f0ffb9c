"""What tuning found, kept in a JSON file: parameters of kernels by the conditions under which they are faster."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from splitkit.devices import UnscaledDevice, get_device
from splitkit.errors import ConfigError, reason
from splitkit.exporters.registry import get_exporter
from splitkit.profiles.schema import DeviceProfile, System
from splitkit.reading import parse_json
from splitkit.scratch import write_json

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class TunedKernel:
    """One row: under these conditions this kernel was searched.

    Attributes:
        fingerprint, exporter, version, target: as in the latency table; other code or hardware asks for another row.
        kernel, label: the kernel as the exporter's rules make it.
        parameters: what makes it faster; None where nothing did.
        ratio: its time over that of the untuned kernel, as confirmed; 1 where nothing was faster.
    """

    fingerprint: str
    exporter: str
    version: str
    target: str
    kernel: str
    label: str
    parameters: Any
    ratio: float


@dataclass(frozen=True)
class TuningConditions:
    """Where a row holds."""

    fingerprint: str
    exporter: str
    version: str
    target: str

    @classmethod
    def of(cls, device: UnscaledDevice, exporter: str) -> "TuningConditions":
        """Those of a device."""
        return cls(device.fingerprint(), exporter, get_exporter(exporter).version, device.target().key())

    def hold_for(self, row: TunedKernel) -> bool:
        """Whether the row was found under them."""
        return self == TuningConditions(row.fingerprint, row.exporter, row.version, row.target)


def read_tuning(path: Path) -> list[TunedKernel]:
    """Every row of a file; none if there is no file.

    Raises:
        ConfigError: the file is not one of tuned kernels.
    """
    if not path.exists():
        return []
    try:
        body = parse_json(path.read_text(encoding="utf-8"))
        if body["schema_version"] != SCHEMA_VERSION:
            raise ConfigError(f"{path}: schema_version {body['schema_version']}, this splitkit reads {SCHEMA_VERSION}")
        return [TunedKernel(**row) for row in body["kernels"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path}: not a file of tuned kernels: {reason(error)}", "remove it and tune again"
        ) from error


def add_tuning(path: Path, rows: Iterable[TunedKernel]) -> None:
    """Add rows to a file, in place of older ones of the same kernels under the same conditions; whole or not at all."""

    def identity(row: TunedKernel) -> tuple[str, ...]:
        return row.fingerprint, row.exporter, row.version, row.target, row.kernel

    merged = {identity(row): row for row in [*read_tuning(path), *rows]}
    body = {"schema_version": SCHEMA_VERSION, "kernels": [asdict(merged[key]) for key in sorted(merged)]}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, body)


def parameters_for(rows: Iterable[TunedKernel], conditions: TuningConditions) -> dict[str, Any]:
    """Parameters by kernel, of those kernels that tuning made faster under these conditions."""
    return {row.kernel: row.parameters for row in rows if conditions.hold_for(row) and row.parameters is not None}


def tuned_system(system: System, path: Path) -> System:
    """The system with the targets of its devices holding what was found for them, besides what they hold already.

    Raises:
        ConfigError: the file is not one of tuned kernels.
    """
    rows = read_tuning(path)
    if not rows:
        return system
    parts = {"sensor": _tuned_profile(system.sensor, rows), "aggregator": _tuned_profile(system.aggregator, rows)}
    return system.model_copy(update=parts)


def _tuned_profile(profile: DeviceProfile, rows: Iterable[TunedKernel]) -> DeviceProfile:
    device = get_device(profile.unscaled())
    found: Mapping[str, Any] = parameters_for(rows, TuningConditions.of(device, profile.exporter))
    if not found:
        return profile
    return profile.model_copy(update={"target": dict(device.target().tuned({**device.target().tuning, **found}).spec)})
