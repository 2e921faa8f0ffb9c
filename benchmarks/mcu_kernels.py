"""Instructions per multiply-accumulate on emulated microcontrollers, and what a whole network takes of flash and RAM.

Kernels: layers of small vision networks, each compiled as a graph of its own, once with splitkit's schedules and once
with the loops that TVM makes of it by default (its legalisation and fusion, unscheduled), same target, same code
generator, same firmware. Instructions are counted under QEMU -icount; per family they are added up over the layers.

Memory: MobileNetV2 of width 0.35 at 144 pixels, for which TinyEngine's repository (README, measured results, commit
022fc11) publishes figures of an STM32H743: int8, where splitkit computes in float32, of four times the bytes.

    python benchmarks/mcu_kernels.py [--boards stm32h743,alif-e3-hp] [--json]
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager as Manager
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from report import emit
from splitkit.compiler.grouping import Group
from splitkit.devices.qemu_system import QemuSystemDevice
from splitkit.devices.qemu_system.counts import Counts
from splitkit.exporters import get_exporter
from splitkit.exporters.memory_report import MemoryReport
from splitkit.graphs.reading import read_onnx
from splitkit.graphs.reading.graph import Graph
from splitkit.profiles import load_device

BOARDS = ("stm32h743", "alif-e3-hp")

TINYENGINE = {"sram_kB": 295, "flash_kB": 839, "latency_ms": 124}
"""mbv2-w0.35 with TinyEngine @ 0363956 on STM32H743."""


@dataclass(frozen=True)
class Layer:
    """A convolution (or, `size` 1, a linear layer) with bias and an activation."""

    family: str
    channels: int
    out: int
    size: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1

    @property
    def macs(self) -> int:
        """Multiply-accumulates, the padding's included."""
        return (self.size // self.stride) ** 2 * self.out * (self.channels // self.groups) * self.kernel**2


DEPTHWISE = ((32, 16, 3, 1), (64, 16, 3, 2), (72, 12, 5, 1), (96, 8, 5, 2))
LAYERS = (
    Layer("dense", 1, 8, 32, 3, 2),
    Layer("dense", 3, 16, 32, 3, 2),
    Layer("dense", 16, 16, 16, 3),
    *(Layer("pointwise", *shape) for shape in ((8, 32, 16), (16, 64, 16), (24, 72, 12), (48, 96, 8), (96, 24, 8))),
    *(
        Layer("depthwise", c, c, s, k, t, c)
        for c, s, k, t in ((32, 16, 3, 1), (64, 16, 3, 2), (72, 12, 5, 1), (96, 8, 5, 2))
    ),
    Layer("linear", 96, 10, 1),
    Layer("linear", 256, 128, 1),
)


@dataclass
class Network:
    """An ONNX graph, layer by layer; weights are random and keep the variance."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)
    macs: int = 0

    def constant(self, *shape: int) -> str:
        rng = np.random.default_rng(len(self.weights))
        value = rng.standard_normal(shape) / np.sqrt(max(1, np.prod(shape[1:])))
        self.weights.append(numpy_helper.from_array(value.astype(np.float32), f"w{len(self.weights)}"))
        return self.weights[-1].name

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], f"{op.lower()}{len(self.nodes)}", **attributes))
        return output

    def conv(self, x: str, layer: Layer, activation: bool = True) -> str:
        weight = self.constant(layer.out, layer.channels // layer.groups, layer.kernel, layer.kernel)
        square = {"strides": [layer.stride] * 2, "pads": [layer.kernel // 2] * 4, "group": layer.groups}
        y = self.node("Conv", x, weight, self.constant(layer.out), kernel_shape=[layer.kernel] * 2, **square)
        self.macs += layer.macs
        return self.node("Relu", y) if activation else y

    def linear(self, x: str, channels: int, out: int) -> str:
        self.macs += channels * out
        return self.node("Gemm", x, self.constant(out, channels), self.constant(out), transB=1)

    def model(self, shape: tuple[int, ...], output: str, out_shape: tuple[int, ...]) -> onnx.ModelProto:
        given, result = (
            helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)
            for name, dims in (("x", shape), (output, out_shape))
        )
        graph = helper.make_graph(self.nodes, "benchmark", [given], [result], self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def model_of(layer: Layer) -> onnx.ModelProto:
    """One layer as a graph."""
    network = Network()
    if layer.family == "linear":
        return network.model((1, layer.channels), network.linear("x", layer.channels, layer.out), (1, layer.out))
    size = layer.size // layer.stride
    shape = (1, layer.channels, layer.size, layer.size)
    return network.model(shape, network.conv("x", layer), (1, layer.out, size, size))


def mobilenet_v2(width: float = 0.35, size: int = 144, classes: int = 1000) -> tuple[onnx.ModelProto, int]:
    """MobileNetV2 (Sandler et al., CVPR 2018, table 2), every width scaled, the last one too; and its MACs."""

    def scaled(channels: int) -> int:
        rounded = max(8, int(channels * width + 4) // 8 * 8)
        return rounded + 8 if rounded < 0.9 * channels * width else rounded

    net, channels, extent = Network(), scaled(32), size
    x = net.conv("x", Layer("dense", 3, channels, extent, 3, 2))
    extent //= 2
    blocks = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expansion, out, repeats, first_stride in blocks:
        for i in range(repeats):
            stride, inner, given = first_stride if i == 0 else 1, channels * expansion, x
            if expansion > 1:
                x = net.conv(x, Layer("pointwise", channels, inner, extent))
            x = net.conv(x, Layer("depthwise", inner, inner, extent, 3, stride, inner))
            extent = -(-extent // stride)
            x = net.conv(x, Layer("pointwise", inner, scaled(out), extent), activation=False)
            if stride == 1 and channels == scaled(out):
                x = net.node("Add", x, given)
            channels = scaled(out)
    x = net.conv(x, Layer("pointwise", channels, scaled(1280), extent))
    x = net.node("Flatten", net.node("GlobalAveragePool", x), axis=1)
    x = net.linear(x, scaled(1280), classes)
    return net.model((1, 3, size, size), x, (1, classes)), net.macs


@contextmanager
def tvm_default() -> Iterator[None]:
    """While it lasts the exporter takes every operator through TVM's own legalisation and fusion."""

    def one_group(graph: Graph) -> list[Group]:
        return [Group("fallback", tuple(graph.nodes), graph.nodes[-1].output)]

    with (
        patch("splitkit.compiler.selection.grouped", one_group),
        patch("splitkit.exporters.baremetal.exporter.read_graph", read_onnx),
    ):
        yield


def count(
    device: QemuSystemDevice, model: onnx.ModelProto, how: Callable[[], Manager[None]]
) -> tuple[Counts, MemoryReport]:
    """Compile a graph, run it in a firmware, count."""
    with tempfile.TemporaryDirectory() as scratch:
        with how():
            artifact = get_exporter("baremetal").compile(model, device.target(), Path(scratch) / "net")
        return device.count(artifact), MemoryReport.load(artifact.path)


def by_family(device: QemuSystemDevice) -> list[dict[str, Any]]:
    """A row per family: instructions per MAC of splitkit's schedules and of TVM's defaults."""
    totals: dict[str, list[int]] = {}
    for i, layer in enumerate(LAYERS):
        model, total = model_of(layer), totals.setdefault(layer.family, [0, 0, 0])
        macs = layer.channels * layer.out if layer.family == "linear" else layer.macs
        found = [count(device, model, how)[0].graph for how in (nullcontext, tvm_default)]
        totals[layer.family] = [a + b for a, b in zip(total, (macs, *found), strict=True)]
        print(f"\r\033[K{device.profile.name}: layer {i + 1} of {len(LAYERS)}", end="", file=sys.stderr, flush=True)
    return [
        {
            "board": device.profile.name,
            "core": str(device.profile.target["mcpu"]),
            "family": family,
            "instructions_per_mac": ours / macs,
            "tvm_default": default / macs,
            "ratio": default / ours,
        }
        for family, (macs, ours, default) in totals.items()
    ]


def main() -> None:
    """Both boards, kernels first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boards", default=",".join(BOARDS), help="device profiles of kind qemu-system")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    rows: list[dict[str, Any]] = []
    figures: dict[str, float] = {}
    model, macs = mobilenet_v2()
    for name in args.boards.split(","):
        device = QemuSystemDevice(load_device(name).unscaled())
        families = by_family(device)
        rows += families
        counts, memory = count(device, model, nullcontext)
        label = name.replace("-", "_")
        figures |= {f"{row['family']}_per_mac_{label}": row["instructions_per_mac"] for row in families}
        figures |= {f"{row['family']}_tvm_over_ours_{label}": row["ratio"] for row in families}
        figures |= {
            f"mbv2_instructions_per_mac_{label}": counts.graph / macs,
            f"mbv2_float32_flash_kB_{label}": memory.flash_bytes / 1e3,
            f"mbv2_float32_code_kB_{label}": memory.code_bytes / 1e3,
            f"mbv2_float32_ram_kB_{label}": memory.ram_bytes / 1e3,
            f"mbv2_stack_bytes_measured_{label}": counts.stack_bytes,
        }
    figures |= {"mbv2_macs": macs, **{f"mbv2_tinyengine_int8_{key}": value for key, value in TINYENGINE.items()}}
    print("\r\033[K", end="", file=sys.stderr, flush=True)
    note = "instructions counted under QEMU -icount; TinyEngine: published, int8, STM32H743; splitkit: float32"
    emit("mcu_kernels", figures, rows, as_json=args.json, notes=note)


if __name__ == "__main__":
    main()
