"""The C++ runner of a bundle for aarch64 as a process, emulated here."""

import subprocess
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from splitkit.bundle import MANIFEST, Bundle
from splitkit.bundle.export import export_bundle
from splitkit.devices.linux_cross.architecture import ARCHITECTURES, emulator_for
from splitkit.devices.linux_cross.build import EXECUTABLE
from splitkit.profiles import System, load_device, load_link
from splitkit.sides import Side
from tests.networks import digit_images, space_of, subnetwork, with_link
from tests.scratch import scratch_folder

VIEWS = 2


def aarch64_system() -> System:
    """Two single-board computers and a fast link."""
    return System(name="boards", sensor=load_device("rpi4"), link=load_link("usb"), aggregator=load_device("rpi5"))


@cache
def aarch64_bundle() -> Bundle:
    """A verified bundle of the smallest `tiny` network of two views, cut after two units, both halves for aarch64."""
    space = space_of("tiny", VIEWS)
    network = subnetwork(space, with_link(space, space.smallest(), 2, "uint8"))
    return export_bundle(network, aarch64_system(), digit_images(VIEWS), scratch_folder() / "aarch64")


class Peer:
    """A running program of the runner; killed at the end if it is still there."""

    def __init__(self, bundle: Bundle, side: Side, *arguments: str) -> None:
        command = [*emulator_for(ARCHITECTURES["aarch64"], None), str(bundle.path / side / EXECUTABLE)]
        timeout = () if "--timeout" in arguments else ("--timeout", "20")
        command += [side, "--manifest", str(bundle.path / MANIFEST), *timeout, *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def port(self, host: str = "127.0.0.1") -> int:
        """Where an aggregator listens on `host`."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith(f"listening on {host}:"), line
        return int(line.rsplit(":", 1)[1])

    def end(self) -> tuple[int, str]:
        """Wait for its end; exit code and the line on stderr."""
        _, stderr = self.process.communicate(timeout=30)
        return self.process.returncode, stderr.strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def images_file(bundle: Bundle, view: int, path: Path) -> Path:
    """The bundle's sample of one view as the runner reads it."""
    bundle.sample()[0][:, view].tofile(path)
    return path
