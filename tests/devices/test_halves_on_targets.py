"""Every exported half, on every device that is not this machine, computes what ONNX Runtime computes."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from splitkit.devices import get_device
from splitkit.devices.linux_cross.architecture import architecture_of
from splitkit.devices.options import read_options
from splitkit.devices.qemu_system.board import Board
from splitkit.exporters import get_exporter
from splitkit.graphs.export import export_half
from splitkit.profiles import DeviceProfile, load_device, profile_names
from splitkit.sides import SIDES, Side
from tests.networks import digit_images, random_architectures, space_of, subnetwork, with_link

FRAMES = 50
TOLERANCE = 1e-4
EMULATED = [name for name in profile_names("devices") if load_device(name).kind in ("linux-cross", "qemu-system")]

Arrays = NDArray[np.generic]


@cache
def halves(dtype: str) -> dict[Side, tuple[onnx.ModelProto, list[Arrays], list[Arrays]]]:
    """Model, inputs and ONNX Runtime's outputs of both halves of a network cut after two units, on real images."""
    space = space_of("tiny")
    network = subnetwork(space, with_link(space, random_architectures(space, 1, seed=3)[0], 2, dtype))
    given: list[Arrays] = [frame[None] for frame in digit_images(frames=FRAMES)[:, 0]]
    found: dict[Side, tuple[onnx.ModelProto, list[Arrays], list[Arrays]]] = {}
    for side in SIDES:
        model = export_half(network, side)
        assert model is not None
        wanted = onnx_runtime(model, given)
        found[side] = (model, given, wanted)
        given = wanted
    return found


def programs(profile: DeviceProfile) -> tuple[str, ...]:
    """What it takes to build for a device and to run that here."""
    if profile.kind == "linux-cross":
        architecture = architecture_of(profile.target, profile.name)
        return f"{architecture.triple}-g++", f"qemu-{architecture.qemu}-static"
    risc_v = profile.target["mtriple"].startswith("riscv")
    compiler = "riscv64-unknown-elf-gcc" if risc_v else "arm-none-eabi-gcc"
    return compiler, read_options(profile, Board).emulator


def onnx_runtime(model: onnx.ModelProto, given: list[Arrays]) -> list[Arrays]:
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (name,) = [value.name for value in session.get_inputs()]
    return [session.run(None, {name: array})[0] for array in given]


@pytest.mark.toolchain
@pytest.mark.parametrize("dtype", ["uint8", pytest.param("float16", marks=pytest.mark.slow)])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", EMULATED)
def test_a_half_computes_what_onnx_runtime_computes(
    name: str, side: Side, dtype: str, tmp_path: Path, needs: Callable[..., None]
) -> None:
    profile = load_device(name)
    needs(*programs(profile))
    model, given, wanted = halves(dtype)[side]
    device = get_device(profile)
    artifact = get_exporter(profile.exporter).compile(model, device.target(), tmp_path / side)
    session, (source,), (result,) = device.open(artifact), artifact.inputs, artifact.outputs
    found = [session.run({source.name: array})[result.name] for array in given]
    for actual, expected in zip(found, wanted, strict=True):
        scale = np.abs(expected.astype(np.float64)).max()
        assert scale > 0
        # One unit of a link tensor's last place may fall to either side of the rounding border.
        allowed = {"uint8": 1.0, "float16": 2**-10 * scale}.get(result.dtype, TOLERANCE * scale)
        assert np.abs(actual.astype(np.float64) - expected.astype(np.float64)).max() <= allowed
    if result.dtype == "uint8":
        assert np.mean(np.stack(found) != np.stack(wanted)) < 1e-3
