"""Kernels of bytes give, byte for byte, what the reference in numpy gives: on this machine, and on emulated ones."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from splitkit.compiler.codegen.border_cases import BorderCases
from splitkit.compiler.codegen.dot import Helium, Pairs, Products, Quads, Smlad, unit_for
from splitkit.compiler.frontend import machine_of
from splitkit.compiler.kernels.int8_convolution import Int8ConvSpec
from splitkit.devices import get_device
from splitkit.devices.qemu_system import QemuSystemDevice
from splitkit.exporters import CompileTarget, get_exporter
from splitkit.exporters.tvm import TvmExporter
from splitkit.graphs.int8.patterns import in_integers
from splitkit.graphs.int8.reference import evaluate
from splitkit.graphs.reading import read_onnx
from splitkit.profiles import load_device
from tests.graphs.int8.models import convolution, quantised_network

X86 = {"sse2": "nehalem", "avx2": "haswell", "avx512": "skylake-avx512", "vnni": "icelake-server", "host": ""}
EMULATED = {
    "stm32h743": ("qemu-system-arm", "arm-none-eabi-gcc"),
    "alif-e3-hp": ("qemu-system-arm", "arm-none-eabi-gcc"),
    "esp32p4": ("qemu-system-riscv32", "riscv64-unknown-elf-gcc"),
    "rpi4": ("qemu-aarch64-static", "aarch64-linux-gnu-g++"),
    "rpi5": ("qemu-aarch64-static", "aarch64-linux-gnu-g++"),
    "stm32mp157": ("qemu-arm-static", "arm-linux-gnueabihf-g++"),
    "visionfive2": ("qemu-riscv64-static", "riscv64-linux-gnu-g++"),
}


def target(name: str) -> CompileTarget:
    """Kernels of that generation of x86; skips those that this processor cannot run."""
    if name == "host":
        return CompileTarget()
    needed = {"sse2": "sse4_2", "avx2": "fma", "avx512": "avx512bw", "vnni": "avx512_vnni"}[name]
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    if f" {needed} " not in flags.replace("\n", " "):
        pytest.skip(f"this processor has no {needed}")
    return CompileTarget({"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mcpu": X86[name]})


def agree(model: onnx.ModelProto, run: Callable[[NDArray[np.uint8]], NDArray[np.uint8]], seed: int) -> bool:
    """Compare; whether the output varied enough to tell."""
    shape = tuple(d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(model.graph.input[0].type.tensor_type.elem_type)
    x = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8).view(dtype)
    graph = in_integers(read_onnx(model))
    assert "IntegerConv" in {node.op for node in graph.nodes}
    expected = evaluate(graph, {"x": x})["y"]
    np.testing.assert_array_equal(run(x), expected)
    return len(np.unique(expected)) > 5


def drawn(seed: int) -> onnx.ModelProto:
    """A layer of any shape: odd channels, strides to 3, borders on one side, extreme zero points and steps."""
    random, rng = Random(seed), np.random.default_rng(seed)
    kernel = random.choice([(1, 1), (3, 3), (5, 5), (1, 7), (3, 2), (2, 4)])
    dilation = (1, 1) if random.random() < 0.8 else (2, 1 + random.randrange(2))
    size = tuple(max(random.randrange(1, 14), (k - 1) * d + 1) for k, d in zip(kernel, dilation, strict=True))
    groups, per_in, per_out = random.choice([(1, 1, 1), (1, 1, 1), (2, 1, 1), (3, 1, 1), (0, 1, 1)])
    channels = random.choice([1, 2, 3, 4, 5, 8, 11, 16, 17, 24, 40, 67])
    if groups == 0:  # depthwise
        channels = out = groups = max(channels, 2)
    else:
        channels, out = channels * groups * per_in, random.choice([1, 3, 8, 10, 16, 20, 33, 48]) * groups * per_out
    pads = (0, 0, 0, 0) if random.random() < 0.3 else tuple(random.randrange(k) for k in (*kernel, *kernel))
    dtype = random.choice(["uint8", "uint8", "int8"])
    low = 0 if dtype == "uint8" else -128
    activation = random.choice(["", "Relu", "Clip"])
    return convolution(
        rng, channels, out, size, kernel, (random.randrange(1, 4), random.randrange(1, 4)), pads, dilation, groups,
        low + random.choice([0, 1, 100, 255]), low + (0 if activation else random.choice([0, 128, 255])),
        activation, dtype, random.choice([1, 1, 2]),
    )  # fmt: skip


def fuzz(seeds: range, which: CompileTarget, directory: Path) -> None:
    exporter, telling = TvmExporter(), 0
    for seed in seeds:
        model = drawn(seed)
        session = exporter.load(exporter.compile(model, which, directory / str(seed)))
        try:
            telling += agree(model, lambda x, s=session: s.run({"x": x})["y"], seed)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
    assert telling > 0.6 * len(seeds)


@pytest.mark.parametrize("name", X86)
def test_random_layers_agree(name: str, tmp_path: Path) -> None:
    first = 100 * list(X86).index(name)
    fuzz(range(first, first + 12), target(name), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", X86)
def test_many_random_layers_agree(name: str, tmp_path: Path) -> None:
    fuzz(range(10_000, 10_100), target(name), tmp_path)


def test_layers_of_any_target_agree(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The way of targets that have no products of bytes, whose code any machine runs."""
    from splitkit.compiler.codegen import dot
    from splitkit.compiler.kernels import int8_dense, int8_depthwise, protocol

    monkeypatch.setattr(int8_dense, "unit_for", lambda machine, dtype: Products(machine.lanes, 4, 14, dtype))
    monkeypatch.setattr(int8_depthwise, "rows_for", lambda machine, dtype: None)
    for cache in (int8_dense.plan, int8_depthwise.plan, protocol._emitted):
        cache.cache_clear()
    try:
        fuzz(range(900, 908), target("host"), tmp_path)
    finally:
        for cache in (int8_dense.plan, int8_depthwise.plan, protocol._emitted):
            cache.cache_clear()
    assert dot.unit_for is unit_for


def test_accumulators_near_overflow(tmp_path: Path) -> None:
    """The largest bytes and weights everywhere, of as many channels as still fit."""
    weights = np.full((8, 2048, 3, 3), 127, np.int8)
    weights[1::2] = -128
    model = convolution(np.random.default_rng(0), 2048, 8, (3, 3), (3, 3), pads=(1, 1, 1, 1), zero=0, weights=weights)
    graph = in_integers(read_onnx(model))
    x = np.full((1, 2048, 3, 3), 255, np.uint8)
    exporter = TvmExporter()
    session = exporter.load(exporter.compile(model, CompileTarget(), tmp_path))
    np.testing.assert_array_equal(session.run({"x": x})["y"], evaluate(graph, {"x": x})["y"])


@pytest.mark.parametrize("threads", [1, 2])
def test_a_whole_network_agrees(threads: int, tmp_path: Path) -> None:
    _, quantised, images = quantised_network()
    artifact = TvmExporter().compile(quantised, CompileTarget(threads=threads), tmp_path)
    graph, session = in_integers(read_onnx(quantised)), TvmExporter().load(artifact)
    for image in images:
        np.testing.assert_array_equal(session.run({"x": image})["y"], evaluate(graph, {"x": image})["y"])
    assert artifact.report["fallback"] == {}
    families = {kernel.family for kernel in artifact.kernels}
    assert families == {
        "elementwise", "byte_layout", "byte_table", "int8_dense", "int8_pointwise", "int8_depthwise", "int8_grouped",
        "int8_linear", "int8_mean", "int8_pairs",
    }  # fmt: skip


@pytest.mark.toolchain
@pytest.mark.parametrize("board", EMULATED)
def test_the_same_bytes_on_every_target(board: str, needs: Callable[..., None], tmp_path: Path) -> None:
    needs(*EMULATED[board])
    device = get_device(load_device(board))
    exporter = get_exporter(device.profile.exporter)
    whole, quantised, images = quantised_network()
    artifact = exporter.compile(quantised, device.target(), tmp_path / "int8")
    graph, session = in_integers(read_onnx(quantised)), device.open(artifact)
    for image in images[:2]:
        np.testing.assert_array_equal(session.run({"x": image})["y"], evaluate(graph, {"x": image})["y"])
    if isinstance(device, QemuSystemDevice):
        floats = exporter.compile(whole, device.target(), tmp_path / "floats")
        assert artifact.memory.weight_bytes < 0.6 * floats.memory.weight_bytes


@pytest.mark.parametrize(
    ("spec", "unit"),
    [
        ({"mtriple": "x86_64-linux-gnu", "mcpu": "icelake-server"}, Quads),
        ({"mtriple": "x86_64-linux-gnu", "mcpu": "alderlake"}, Quads),
        ({"mtriple": "x86_64-linux-gnu", "mcpu": "haswell"}, Pairs),
        ({"mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a76"}, Quads),
        ({"mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a72"}, Products),
        ({"mtriple": "thumbv7em-none-eabihf", "mcpu": "cortex-m7", "mfloat-abi": "hard"}, Smlad),
        ({"mtriple": "thumbv8.1m.main-none-eabihf", "mcpu": "cortex-m55", "mfloat-abi": "hard"}, Helium),
        ({"mtriple": "riscv64-linux-gnu", "mcpu": "sifive-u74"}, Products),
    ],
)
def test_every_target_multiplies_as_it_does_best(spec: dict[str, str], unit: type) -> None:
    assert type(unit_for(machine_of(CompileTarget({"kind": "llvm"} | spec)), "uint8")) is unit


def test_no_instruction_that_saturates_is_used() -> None:
    """`vpmaddubsw` adds two products in sixteen bits, which large weights overflow."""
    spec = Int8ConvSpec(1, 16, 16, (8, 8), (3, 3), 16, 16, padding=(1, 1, 1, 1))
    machine = machine_of(target("avx2"))
    from splitkit.compiler.library import compiled

    text = str(compiled([spec.emit(machine).func], machine).inspect_source("asm"))
    assert "vpmaddwd" in text
    assert "pmaddubsw" not in text


@pytest.mark.parametrize("height", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_border_cases_are_the_windows_that_there_are(height: int, kernel: int, stride: int) -> None:
    pad = kernel // 2
    if height + 2 * pad < kernel:
        pytest.skip("no output")
    spec = Int8ConvSpec(
        1, 4, 4, (height, height), (kernel, kernel), 4, 4, (stride, stride), (pad, pad, kernel - 1 - pad, pad)
    )
    cases = BorderCases(spec)
    insides = list(cases.insides())
    assert len(insides) == cases.count

    def met(at: int, before: int) -> list[int]:
        return [r for r in range(kernel) if 0 <= at * stride + r - before < height]

    for y in range(spec.out_size[0]):
        rows = met(y, pad)
        low, high = (rows[0], rows[-1] + 1) if rows else (0, 0)
        for x in range(spec.out_size[1]):
            found_rows, found_columns = insides[int(cases.of(low, high, x))]
            assert list(range(kernel))[found_rows] == rows
            assert found_columns == met(x, pad)
