"""What to compile for: a processor and a number of threads."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TUNING = "tuning"
"""The entry of a target's specification that is meant for exporters, not for TVM."""


@dataclass(frozen=True)
class CompileTarget:
    """What to compile for, as a device profile states it.

    `spec` is a TVM target dict (`kind`, `mtriple`, `mcpu`, `mattr`, ...); the value `{"kind": "host"}` means this
    machine. Exporters that have no notion of a target ignore it. Its entry `tuning` holds what tuning found: parameters
    that replace the exporter's own choice, by the key of the kernel (see `TunableExporter`).
    """

    spec: Mapping[str, Any] = field(default_factory=lambda: {"kind": "host"})
    threads: int = 1

    def key(self) -> str:
        """Canonical text, equal for equal targets; part of a measurement's conditions.

        Tuning is left out: a tuned kernel has a key of its own, and the others are what they were.
        """
        return self.untuned().full_key()

    def full_key(self) -> str:
        """Canonical text, equal where the same graph becomes the same kernels."""
        return json.dumps({"spec": dict(self.spec), "threads": self.threads}, sort_keys=True)

    @property
    def tuning(self) -> Mapping[str, Any]:
        """Parameters of tuned kernels."""
        found: Mapping[str, Any] = self.spec.get(TUNING, {})
        return found

    def tuned(self, tuning: Mapping[str, Any]) -> "CompileTarget":
        """The same target with these parameters of tuned kernels."""
        return CompileTarget(dict(self.untuned().spec) | ({TUNING: dict(tuning)} if tuning else {}), self.threads)

    def untuned(self) -> "CompileTarget":
        """The same target with every choice left to the exporter."""
        return CompileTarget({k: v for k, v in self.spec.items() if k != TUNING}, self.threads)
