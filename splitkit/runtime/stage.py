"""One half as a stage of the running system: computes on this machine, takes as long as the hardware it stands for."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitkit.bundle import Bundle
from splitkit.bundle.bundle import mask_of
from splitkit.devices.registry import get_device
from splitkit.exporters.protocol import Session
from splitkit.runtime.clock import OWN_PROCESSOR, Patience, now_ns
from splitkit.sides import Side

EMULATION_RUNS = 5
"""Runs from whose median an emulated stage takes its time."""


MOST_KNOWN = 1024
"""Results kept of a stage whose device is not timed live."""


@dataclass(frozen=True)
class Stage:
    """A half, and how its time comes about.

    Attributes:
        session: the compiled half; None where that side computes nothing.
        input_names: what it takes, and behind it the mask of views, if it takes one.
        time_scale: above 1, the stage lasts this many times the compiled graph's run time here. The graph is timed
            anew for every frame, on its input, staged; what Python adds around it is not magnified.
        fixed_us: for a device that is not timed live (a model, an emulator), how long the stage lasts whatever happens
            here, unless here is slower.
        label: how its time must be labelled: `measured`, `measured x8 (emulated slower core)`, `analytical`.
        known: with `fixed_us`, what came out for inputs seen before, by their digest. An emulator is slower than what
            it stands for, so a frame can only end in time if its result is there already.
    """

    session: Session | None
    input_names: tuple[str, ...]
    output_name: str
    time_scale: float
    fixed_us: float | None
    label: str
    patience: Patience = OWN_PROCESSOR
    known: dict[bytes, NDArray[Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, bundle: Bundle, side: Side, patience: Patience = OWN_PROCESSOR) -> "Stage":
        """The stage of one side of a bundle through whose cut one tensor passes, compiled half loaded.

        Raises:
            BundleError: the compiled half cannot be loaded here.
            DeviceError: the system's device is not usable here.
        """
        artifact = bundle.artifact(side)
        profile = bundle.manifest.system.device(side)
        if artifact is None:
            return cls(None, (), "", 1.0, None, "nothing to compute", patience)
        device = get_device(profile)
        return cls(
            session=device.open(artifact),
            input_names=tuple(tensor.name for tensor in artifact.inputs),
            output_name=artifact.outputs[0].name,
            time_scale=profile.time_scale if device.real_time else 1.0,
            fixed_us=None if device.real_time else device.time_graph(artifact, 1).undisturbed,
            label=device.label(),
            patience=patience,
        )

    def run(
        self, array: NDArray[Any], start_ns: int | None = None, present: NDArray[Any] | None = None
    ) -> tuple[NDArray[Any], int]:
        """Compute, and return what came out and when the stage's time was over, which is now or just past.

        `present`, (views,), says which views are there, where the half takes a mask. `start_ns` is when the stage began
        for the hardware it stands for (left out: now). Emulated stages end exactly when they are due, however late this
        thread woke up. Without a session the input is the output.
        """
        if self.session is None:
            return array, now_ns()
        start = now_ns() if start_ns is None else start_ns
        result = self.compute(array, present)
        due_ns = self._due_ns(start)
        if due_ns <= now_ns():
            return result, now_ns()
        self.patience.wait_until(due_ns)
        return result, due_ns

    def compute(self, array: NDArray[Any], present: NDArray[Any] | None = None) -> NDArray[Any]:
        """What comes out, however long that takes here. Without a session the input."""
        session = self.session
        if session is None:
            return array
        given = (array,) if present is None else (array, mask_of(present))
        inputs = dict(zip(self.input_names, given, strict=True))
        if self.fixed_us is None:
            return session.run(inputs)[self.output_name]
        digest = hashlib.sha256(b"".join(np.ascontiguousarray(each).tobytes() for each in given)).digest()
        if digest not in self.known:
            if len(self.known) >= MOST_KNOWN:
                self.known.clear()
            self.known[digest] = session.run(inputs)[self.output_name]
        return self.known[digest]

    def _due_ns(self, start_ns: int) -> int:
        """When the hardware that this stage stands for would be done."""
        if self.fixed_us is not None:
            return start_ns + round(self.fixed_us * 1e3)
        if self.session is None or self.time_scale <= 1.0:
            return start_ns
        # Timing again and again must itself fit into the emulated time.
        runs = EMULATION_RUNS if self.time_scale > 2 * EMULATION_RUNS else 1
        duration_ns = float(sorted(self.session.time_ns(runs).tolist())[runs // 2])
        return start_ns + round(duration_ns * self.time_scale)
