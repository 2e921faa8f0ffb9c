"""The generated C, compiled for this machine, computes what ONNX Runtime computes."""

import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest

from splitkit.bundle import HalfRecord, TensorRecord
from splitkit.bundle.readme import c_example
from splitkit.exporters import CompileTarget
from splitkit.exporters.baremetal import BareMetalExporter
from splitkit.exporters.baremetal.toolchain import WARNINGS
from splitkit.exporters.memory_report import MemoryReport
from splitkit.exporters.onnxruntime import OnnxRuntimeExporter
from splitkit.exporters.tvm import TvmExporter
from splitkit.graphs.export import export_half
from splitkit.sides import SIDES, Side
from splitkit.supernet import SubNetwork
from tests.compiler.graphs import GRAPHS, Net, random_inputs
from tests.exporters.baremetal.native import Native
from tests.networks import digit_images, random_architectures, space_of, subnetwork, with_link

pytestmark = pytest.mark.toolchain

HOST = CompileTarget()


@pytest.fixture(autouse=True)
def compiler(needs: Callable[..., None]) -> None:
    needs("cc")


@pytest.mark.parametrize("name", GRAPHS)
def test_a_network_computes_what_onnx_runtime_computes(name: str, tmp_path: Path) -> None:
    """Also where inputs and results are aligned to nothing but their type."""
    model = GRAPHS[name]()
    inputs = random_inputs(model)
    reference = OnnxRuntimeExporter()
    expected = reference.load(reference.compile(model, HOST, tmp_path / "reference")).run(inputs)
    native = Native(BareMetalExporter().compile(model, HOST, tmp_path / "net"))
    for shift in (0, 1):
        found = native.run(inputs, shift)
        for tensor, value in expected.items():
            scale = np.abs(value.astype(np.float64)).max()
            assert scale > 0
            assert np.abs(found[tensor].astype(np.float64) - value).max() <= 1e-4 * scale, (tensor, shift)


@cache
def halves(dtype: str) -> tuple[SubNetwork, dict[Side, onnx.ModelProto]]:
    """A network of `tiny` cut after two units, and its halves."""
    space = space_of("tiny")
    network = subnetwork(space, with_link(space, random_architectures(space, 1, seed=3)[0], 2, dtype))
    models = {side: export_half(network, side) for side in SIDES}
    return network, {side: model for side, model in models.items() if model is not None}


@pytest.mark.parametrize("dtype", ["uint8", pytest.param("float16", marks=pytest.mark.slow)])
def test_halves_of_a_sub_network_agree_on_real_images(dtype: str, tmp_path: Path) -> None:
    given = digit_images(frames=50)[:, 0]
    reference = OnnxRuntimeExporter()
    for side, model in halves(dtype)[1].items():
        expected = reference.load(reference.compile(model, HOST, tmp_path / f"{side}_reference"))
        native = Native(BareMetalExporter().compile(model, HOST, tmp_path / side))
        (source,), (result,) = native.artifact.inputs, native.artifact.outputs
        wanted = []
        for frame in given:
            inputs = {source.name: frame.reshape(source.shape)}
            wanted.append(expected.run(inputs)[result.name])
            found = native.run(inputs)[result.name]
            scale = np.abs(wanted[-1].astype(np.float64)).max()
            # One unit of a link tensor's last place may fall to either side of the rounding border.
            allowed = {"uint8": 1, "float16": 2**-10 * scale}.get(result.dtype, 1e-4 * scale)
            assert scale > 0
            assert np.abs(found.astype(np.float64) - wanted[-1]).max() <= allowed
        given = np.stack(wanted)


def test_a_link_s_scale_and_zero_point_are_in_the_header(tmp_path: Path) -> None:
    network, models = halves("uint8")
    assert network.quantisation is not None
    for side, role in (("sensor", "OUTPUT"), ("aggregator", "INPUT")):
        BareMetalExporter().compile(models[side], HOST, tmp_path / side)
        text = (tmp_path / side / f"{side}.h").read_text()
        assert f"{side.upper()}_{role}_SCALE {float(network.quantisation.scale):.9g}f " in text
        assert f"{side.upper()}_{role}_ZERO_POINT {round(float(network.quantisation.zero_point))}\n" in text


def test_kernels_and_keys_are_those_of_the_tvm_exporter(tmp_path: Path) -> None:
    model = GRAPHS["residual"]()
    artifact = BareMetalExporter().compile(model, HOST, tmp_path / "net")
    assert artifact.kernels == TvmExporter().lower(model, HOST) == BareMetalExporter().lower(model, HOST)


def test_the_memory_plan_is_the_compiled_one(tmp_path: Path) -> None:
    model = GRAPHS["residual"]()
    artifact = BareMetalExporter().compile(model, HOST, tmp_path / "net")
    assert artifact.memory == BareMetalExporter().plan_memory(model, HOST)


def test_unconnected_kernels_run_on_values_of_their_own(tmp_path: Path) -> None:
    kernels = BareMetalExporter().lower(GRAPHS["sensor"](), HOST)
    native = Native(BareMetalExporter().build_kernels(kernels, HOST, tmp_path / "kernels"))
    assert native.function("run")() == 0


def test_a_network_without_constants_has_none(tmp_path: Path) -> None:
    net = Net()
    model = net.model(net.op("Relu", net.input("x", 2, 5)))
    native = Native(BareMetalExporter().compile(model, HOST, tmp_path / "net"))
    x = np.linspace(-1, 1, 10, dtype=np.float32).reshape(2, 5)
    (found,) = native.run({"x": x}).values()
    assert np.array_equal(found, np.maximum(x, 0))
    assert MemoryReport.load(tmp_path / "net").weight_bytes == 0


def test_weights_of_another_network_are_noticed(tmp_path: Path) -> None:
    artifact = BareMetalExporter().compile(GRAPHS["residual"](), HOST, tmp_path / "net")
    weights = tmp_path / "net" / "net_weights.bin"
    data = bytearray(weights.read_bytes())
    data[100] ^= 1
    weights.write_bytes(data)
    with pytest.raises(AssertionError):
        Native(artifact)


def test_the_bundle_readmes_example_compiles(tmp_path: Path) -> None:
    artifact = BareMetalExporter().compile(GRAPHS["sensor"](), HOST, tmp_path / "sensor")
    (source,), (result,) = (
        [TensorRecord(name=t.name, shape=t.shape, dtype=t.dtype) for t in tensors]
        for tensors in (artifact.inputs, artifact.outputs)
    )
    half = HalfRecord(
        onnx="sensor.onnx",
        artifact="sensor",
        inputs=(source,),
        outputs=(result,),
        exporter=artifact.exporter,
        exporter_version=artifact.version,
        device="host",
        macs=0,
        arena_bytes=artifact.memory.arena_bytes,
        weight_bytes=artifact.memory.weight_bytes,
    )
    (text,) = c_example(half, "Sensor")
    (tmp_path / "example.c").write_text(text.strip().removeprefix("```c\n").removesuffix("```"))
    command = ["cc", *WARNINGS, f"-I{tmp_path / 'sensor'}", "-c", "example.c", "-o", "example.o"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert c_example(half.model_copy(update={"exporter": "tvm"}), "Sensor") == []
