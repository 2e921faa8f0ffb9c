"""Run a bundle as processes on this machine, over a rate-shaped socket, and time every stage."""

import json
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitkit.bundle import Bundle
from splitkit.devices.registry import get_device
from splitkit.errors import LinkError, VerificationError
from splitkit.processes import ending, tied
from splitkit.runtime.allowance import Allowance
from splitkit.runtime.programs import Programs, programs_for
from splitkit.runtime.stage import Stage
from splitkit.sides import SIDES

WARM_UP_FRAMES = 10

LATE, LATE_US = 1.05, 20.0
"""A modelled stage that lasted longer than its model by more than this factor and these microseconds was held up."""

Samples = NDArray[np.float64]


@dataclass(frozen=True)
class SystemMeasurement:
    """Latency of each stage and of the whole, per frame, in us, shape (frames,). Stages add up to the total.

    Attributes:
        sensor_us: image taken to computed, the slowest view.
        link_us: from there to the last view's arrival.
        aggregator_us: from there to the scores.
        total_us: image taken (the earliest view) to the scores, on one clock.
        sensor_label, aggregator_label: what the stage's time is: measured, emulated or analytical.
        runtime: which implementation ran it: `native`, or `python` and why.
        link_profile_us: what the link takes by its profile; what `link_us` is longer by is the runtime's own time.
        predicted: figures the bundle was exported with.
        scores_error: largest relative difference from the unsplit network's scores.
        top1_agreement: fraction of frames with its class.
        found: how often each class came first, by name, in order of the classes.
    """

    sensor_us: Samples
    link_us: Samples
    aggregator_us: Samples
    total_us: Samples
    sensor_label: str
    aggregator_label: str
    runtime: str
    link_profile_us: float
    predicted: Mapping[str, float]
    scores_error: float
    top1_agreement: float
    found: Mapping[str, int]

    @property
    def link_label(self) -> str:
        """What the link's time consists of."""
        added_us = float(np.median(self.link_us)) - self.link_profile_us
        return f"rate-shaped socket: {self.link_profile_us:.0f} us by its profile, {added_us:+.0f} us"

    def medians(self) -> dict[str, float]:
        """Median of each stage and of the total, in us."""
        return {name: float(np.median(getattr(self, name))) for name in STAGES}

    def to_json(self) -> dict[str, Any]:
        """Medians, labels, prediction and all samples."""
        return {
            **self.medians(),
            "labels": {"sensor": self.sensor_label, "link": self.link_label, "aggregator": self.aggregator_label},
            "runtime": self.runtime,
            "link_profile_us": self.link_profile_us,
            "predicted": dict(self.predicted),
            "scores_error": self.scores_error,
            "top1_agreement": self.top1_agreement,
            "classes_found": dict(self.found),
            "samples": {name: [round(float(x), 2) for x in getattr(self, name)] for name in STAGES},
        }


STAGES = ("sensor_us", "link_us", "aggregator_us", "total_us")


def measure_bundle(bundle: Bundle, frames: int = 50, timeout_s: float = 60.0) -> SystemMeasurement:
    """Start the aggregator and one process per view, run `frames` frames after warm-up, and collect the times.

    One frame is under way at a time: latency, not throughput. Sensors share one link if the system's link is shared.

    Raises:
        LinkError: a process failed or stayed silent; the message is the one it printed.
        VerificationError: the scores of a frame are not finite.
        BundleError: the compiled halves cannot be loaded here, or several tensors cross the cut.
    """
    manifest, payload_bytes = bundle.manifest, bundle.link.payload_bytes
    warm_up = _warm_up_frames(bundle)
    with tempfile.TemporaryDirectory(prefix="splitkit-") as scratch:
        programs = programs_for(bundle, Path(scratch))
        records = _run_processes(bundle, programs, frames + warm_up, Path(scratch), timeout_s)[warm_up:]
    captured = np.array([r["captured_ns"] for r in records])
    sent = np.array([r["sent_ns"] for r in records])
    received = np.array([r["received_ns"] for r in records])
    result = np.array([r["result_ns"] for r in records])
    start, computed = captured.min(axis=1), sent.max(axis=1)
    images, reference = bundle.sample()
    expected = reference[[r["frame"] % len(images) for r in records]].reshape(len(records), -1).astype(np.float64)
    scores = np.array([r["scores"] for r in records], dtype=np.float64)  # null, what was not finite, becomes NaN
    broken = [r["frame"] for r, found in zip(records, scores, strict=True) if not np.isfinite(found).all()]
    if broken:
        raise VerificationError(f"frame {broken[0]}: the scores are not finite", "export the bundle again")
    sensor_us, aggregator_us = (computed - start) / 1e3, (result - received) / 1e3
    return SystemMeasurement(
        sensor_us=sensor_us,
        link_us=(received - computed) / 1e3,
        aggregator_us=aggregator_us,
        total_us=(result - start) / 1e3,
        sensor_label=_label(Stage.of(bundle, "sensor"), sensor_us),
        aggregator_label=_label(Stage.of(bundle, "aggregator"), aggregator_us),
        runtime=programs.label,
        link_profile_us=float(manifest.system.link.latency_us(float(payload_bytes), manifest.views)),
        predicted=manifest.predicted,
        scores_error=float(np.abs(scores - expected).max() / np.abs(expected).max()),
        top1_agreement=float(np.mean(scores.argmax(axis=1) == expected.argmax(axis=1))),
        found=_counted(bundle, scores),
    )


def _counted(bundle: Bundle, scores: Samples) -> dict[str, int]:
    labels, counts = np.unique(scores.argmax(axis=1), return_counts=True)
    return {
        bundle.manifest.class_name(label): count for label, count in zip(labels.tolist(), counts.tolist(), strict=True)
    }


def _warm_up_frames(bundle: Bundle) -> int:
    """Enough to settle; where a device is not timed live, once round the images, so that results are known ahead."""
    profiles = [bundle.manifest.system.device(side) for side in SIDES if bundle.half(side) is not None]
    if all(get_device(profile).real_time for profile in profiles):
        return WARM_UP_FRAMES
    return max(WARM_UP_FRAMES, len(bundle.sample()[0]))


def _label(stage: Stage, samples_us: Samples) -> str:
    """How a stage's time came about. A device modelled as faster than this machine cannot be played in real time."""
    if stage.fixed_us is not None and np.median(samples_us) > LATE * stage.fixed_us + LATE_US:
        return f"{stage.label}, but this machine is slower than its {stage.fixed_us:.0f} us: an upper bound"
    return stage.label


def _run_processes(
    bundle: Bundle, programs: Programs, frames: int, scratch: Path, timeout_s: float
) -> list[dict[str, Any]]:
    """The aggregator's records of all frames."""
    records = scratch / "records.json"
    shared = scratch / "link" if bundle.manifest.system.link.shared else None
    aggregator = _start(programs.aggregator(frames, records, timeout_s))
    processes = {"aggregator": aggregator}
    try:
        assert aggregator.stdout is not None
        line = aggregator.stdout.readline()
        if line.startswith("listening on "):
            where = line.removeprefix("listening on ").strip()
            for view in range(bundle.manifest.views):
                processes[f"sensor {view}"] = _start(programs.sensor(view, where, shared, timeout_s))
        link = bundle.manifest.system.link
        frame_s = Allowance.of(link, bundle.link.payload_bytes, bundle.manifest.views, 1.0).silence_s
        _wait(processes, timeout_s + frames * frame_s)
        return list(json.loads(records.read_text()))
    finally:
        for process in processes.values():
            if process.poll() is None:
                process.kill()
            process.communicate()


def _start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(tied(command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _wait(processes: Mapping[str, subprocess.Popen[str]], longest_s: float) -> None:
    """Wait for every process to end well.

    Raises:
        LinkError: one of them did not.
    """
    deadline = time.monotonic() + longest_s
    while any(process.poll() is None for process in processes.values()):
        failed = [name for name, process in processes.items() if process.poll() not in (None, 0)]
        if failed:
            time.sleep(0.2)  # the failure spreads: let the process where it began say so as well
            break
        if time.monotonic() > deadline:
            silent = next(name for name, process in processes.items() if process.poll() is None)
            raise LinkError(f"the {silent} process did not end in time")
        time.sleep(0.01)
    messages: list[str] = []
    for name, process in processes.items():
        if process.poll() not in (None, 0):
            assert process.stderr is not None
            lines = process.stderr.read().strip().splitlines()
            text = lines[-1].removeprefix("error: ") if lines else ending(process.returncode)
            messages.append(f"{name}: {text}")
    if messages:
        raise LinkError("; ".join(messages))
