"""Which programs play a system on this machine: the native runner where it can, the Python ones otherwise."""

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

import splitkit
from splitkit.bundle import Bundle, load_bundle
from splitkit.devices.registry import get_device
from splitkit.errors import ToolchainError
from splitkit.profiles.schema import System
from splitkit.runtime.native import native_runner, runner_version
from splitkit.runtime.placement import Placement, place_aggregator, place_sensor
from splitkit.runtime.stage import Stage
from splitkit.sides import Side


class Programs(Protocol):
    """The commands that start a system's processes, which announce where they listen and write the same records."""

    @property
    def label(self) -> str:
        """For people: which kind it is, and why it is not the native one."""
        ...

    def aggregator(self, frames: int, records: Path, timeout_s: float) -> list[str]:
        """Listens on a free port of this machine."""
        ...

    def sensor(self, view: int, where: str, shared_link: Path | None, timeout_s: float) -> list[str]:
        """Connects to `where`."""
        ...


def programs_for(bundle: Bundle, scratch: Path) -> Programs:
    """Native ones if both devices allow it and there is a compiler. Files that they need are written to `scratch`."""
    reason = implementation_of(bundle.manifest.system).reason
    return PythonPrograms(bundle, reason) if reason else NativePrograms(bundle, scratch)


@dataclass(frozen=True)
class Implementation:
    """Which runtime it is, in which version; `reason` says why it is not the native one."""

    name: str
    version: str
    reason: str = ""


def implementation_of(system: System) -> Implementation:
    """What plays a system, whichever halves there are; compiles the native runner if need be."""
    reason = _not_native(system, "sensor") or _not_native(system, "aggregator")
    if not reason:
        try:
            native_runner()
            return Implementation("native", runner_version())
        except ToolchainError as error:
            reason = str(error)
    return Implementation("python", splitkit.__version__, reason)


def _not_native(system: System, side: Side) -> str:
    """Why the native runner cannot play a side; empty if it can.

    It runs libraries with one entry on one thread. A sensor that is not timed live needs no more than its results.
    """
    profile = system.device(side)
    device = get_device(profile)
    if side == "sensor" and not device.real_time:
        return ""
    if not device.here or profile.exporter != "tvm":
        return f"the {side} is run by {profile.kind} and {profile.exporter}"
    return f"the {side} has {profile.threads} threads" if profile.threads > 1 else ""


@dataclass(frozen=True)
class PythonPrograms:
    """`splitkit.runtime.sensor` and `.aggregator`."""

    bundle: Bundle
    reason: str

    @property
    def label(self) -> str:
        return f"python: {self.reason}"

    def aggregator(self, frames: int, records: Path, timeout_s: float) -> list[str]:
        return self._command(
            "aggregator", "--listen", "127.0.0.1:0", "--frames", str(frames), "--records", str(records),
            "--timeout", str(timeout_s),
        )  # fmt: skip

    def sensor(self, view: int, where: str, shared_link: Path | None, timeout_s: float) -> list[str]:
        shared = [] if shared_link is None else ["--shared-link", str(shared_link)]
        return self._command(
            "sensor", "--connect", where, "--view", str(view), "--timeout", str(timeout_s), *shared
        )  # fmt: skip

    def _command(self, program: str, *arguments: str) -> list[str]:
        key = self.bundle.verify_key
        signed = [] if key is None else ["--verify-key", str(key)]
        return [sys.executable, "-m", f"splitkit.runtime.{program}", str(self.bundle.path), *arguments, *signed]


class NativePrograms:
    """The C++ runner, which loads the halves that the `tvm` exporter compiled for this machine."""

    label = "native"

    def __init__(self, bundle: Bundle, scratch: Path) -> None:
        self.bundle, self._scratch = bundle, scratch
        self._system, self._views = bundle.manifest.system, bundle.manifest.views
        load_bundle(bundle.path, bundle.verify_key)  # as the Python programs do: what is run was looked at just before
        self._runner = str(native_runner())
        self._replayed_us = self._write_images()

    def aggregator(self, frames: int, records: Path, timeout_s: float) -> list[str]:
        return [
            *self._command("aggregator", timeout_s), "--listen", "127.0.0.1:0", "--frames", str(frames),
            "--records", str(records), *self._half("aggregator"), *_placed(place_aggregator(self._system)),
        ]  # fmt: skip

    def sensor(self, view: int, where: str, shared_link: Path | None, timeout_s: float) -> list[str]:
        link = self._system.link
        shared = [] if shared_link is None else ["--shared-link", str(shared_link)]
        lasting = ["--lasting-us", repr(self._replayed_us)] if self._replayed_us else self._half("sensor")
        return [
            *self._command("sensor", timeout_s), "--connect", where, "--view", str(view),
            "--images", str(self._images(view)), *lasting, "--link-overhead-us", repr(link.overhead_us),
            "--link-bytes-per-s", repr(link.bandwidth_bytes_per_s), *shared,
            *_placed(place_sensor(self._system, view, self._views)),
        ]  # fmt: skip

    def _command(self, program: str, timeout_s: float) -> list[str]:
        manifest = str(self.bundle.path / "manifest.json")
        return [self._runner, program, "--manifest", manifest, "--timeout", str(max(1, math.ceil(timeout_s)))]

    def _half(self, side: Side) -> list[str]:
        record = self.bundle.half(side)
        if record is None:
            return []
        scale = self._system.device(side).time_scale
        return [
            "--half",
            str(self.bundle.path / record.artifact),
            *(["--time-scale", repr(scale)] if scale > 1 else []),
        ]

    def _write_images(self) -> float:
        """What each sensor sees or, if it is not timed live, what it sends; returns how many us it then takes."""
        images, _ = self.bundle.sample()
        stage = Stage.of(self.bundle, "sensor")
        for view in range(self._views):
            with self._images(view).open("wb") as file:
                for image in images[:, view]:
                    seen = image[None] if stage.fixed_us is None else stage.compute(image[None])
                    file.write(np.ascontiguousarray(seen).tobytes())
        return stage.fixed_us or 0.0

    def _images(self, view: int) -> Path:
        return self._scratch / f"view-{view}.raw"


def _placed(placement: Placement) -> list[str]:
    patience = placement.patience
    return [
        "--cpus", ",".join(map(str, placement.cpus)), "--spin-us", str(patience.spin_ns // 1000),
        "--poll-us", str(patience.poll_ns // 1000),
    ]  # fmt: skip
