"""Instructions of integer kernels and networks on emulated microcontrollers, beside CMSIS-NN's and beside float32.

Kernels: fourteen layers, each quantised and compiled as a graph of its own; what is counted is the call of the layer,
requantisation and border included. CMSIS-NN's figures are of its current sources, compiled by gcc 12 -O3 and counted in
the same way. Networks: ResNet-8 (32x32) and MobileNetV1-0.25 (96x96) in MLPerf Tiny's shapes, random weights; whole
runs, with changes of layout and the input's quantisation, and flash and RAM, in int8 and in float32.

Instructions are counted under QEMU -icount; they are not cycles.

    python benchmarks/int8_mcu.py [--boards stm32h743,alif-e3-hp,stm32f446,esp32p4] [--json]
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from mcu_kernels import Layer, Network

from report import emit, status
from splitkit.devices.qemu_system import QemuSystemDevice
from splitkit.exporters import get_exporter
from splitkit.exporters.memory_report import MemoryReport
from splitkit.graphs.calibrate import quantise
from splitkit.profiles import load_device

BOARDS = ("stm32h743", "alif-e3-hp", "stm32f446", "esp32p4")
LIKE = {"stm32h743": "m7", "stm32f446": "m7", "stm32u585": "m7", "alif-e3-hp": "m55"}
"""Which of CMSIS-NN's figures a board is held against: its code for M4 and M33 is that for M7."""


@dataclass(frozen=True)
class Published:
    """A layer, and CMSIS-NN's instructions per multiply-accumulate on a Cortex-M7 and a Cortex-M55."""

    layer: Layer
    m7: float
    m55: float


LAYERS = (
    Published(Layer("pointwise", 32, 64, 16), 2.67, 0.615),
    Published(Layer("pointwise", 96, 24, 20), 1.82, 0.322),
    Published(Layer("pointwise", 256, 64, 6), 1.64, 0.228),
    Published(Layer("pointwise", 16, 96, 32), 3.93, 1.05),
    Published(Layer("dense", 16, 16, 32, 3), 2.33, 0.388),
    Published(Layer("dense", 32, 64, 16, 3), 1.86, 0.237),
    Published(Layer("dense", 64, 64, 8, 3), 1.76, 0.206),
    Published(Layer("dense", 3, 16, 32, 3), 4.86, 1.36),
    Published(Layer("dense", 3, 8, 96, 3, 2), 6.23, 1.99),
    Published(Layer("depthwise", 96, 96, 16, 3, 1, 96), 8.42, 2.17),
    Published(Layer("depthwise", 64, 64, 24, 3, 2, 64), 8.57, 2.31),
    Published(Layer("depthwise", 96, 96, 16, 5, 1, 96), 8.92, 1.62),
    Published(Layer("linear", 256, 64, 1), 2.08, 0.526),
    Published(Layer("linear", 64, 10, 1), 2.81, 1.07),
)


def layer_model(layer: Layer) -> onnx.ModelProto:
    """The layer on bytes, quantised: its steps are those of its input and output."""
    net = Network()
    if layer.family == "linear":
        shape, out = (1, layer.channels), (1, layer.out)
        y = net.node("Relu", net.linear("x", layer.channels, layer.out))
    else:
        size = layer.size // layer.stride
        shape, out = (1, layer.channels, layer.size, layer.size), (1, layer.out, size, size)
        y = net.conv("x", layer)
    return in_int8(net.model(shape, y, out))


def resnet8() -> tuple[onnx.ModelProto, int]:
    """ResNet-8 of MLPerf Tiny's image classification: 3x3 convolutions of 16, 32 and 64 channels at 32x32."""
    net = Network()
    x, channels, size = net.conv("x", Layer("dense", 3, 16, 32, 3)), 16, 32
    for out, stride in ((16, 1), (32, 2), (64, 2)):
        given = x
        y = net.conv(x, Layer("dense", channels, out, size, 3, stride))
        y = net.conv(y, Layer("dense", out, out, size // stride, 3), activation=False)
        if stride > 1:
            given = net.conv(x, Layer("pointwise", channels, out, size, 1, stride), activation=False)
        x, channels, size = net.node("Relu", net.node("Add", y, given)), out, size // stride
    x = net.node("Flatten", net.node("GlobalAveragePool", x), axis=1)
    return net.model((1, 3, 32, 32), net.linear(x, 64, 10), (1, 10)), net.macs


def mobilenet_v1() -> tuple[onnx.ModelProto, int]:
    """MobileNetV1-0.25 of MLPerf Tiny's visual wake words, at 96x96."""
    net, channels, size = Network(), 8, 48
    x = net.conv("x", Layer("dense", 3, 8, 96, 3, 2))
    for out, stride in (
        (16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *((128, 1),) * 5, (256, 2), (256, 1),
    ):  # fmt: skip
        x = net.conv(x, Layer("depthwise", channels, channels, size, 3, stride, channels))
        size //= stride
        x = net.conv(x, Layer("pointwise", channels, out, size))
        channels = out
    x = net.node("Flatten", net.node("GlobalAveragePool", x), axis=1)
    return net.model((1, 3, 96, 96), net.linear(x, 256, 2), (1, 2)), net.macs


NETWORKS = {"resnet8": resnet8, "vww": mobilenet_v1}


def typed(model: onnx.ModelProto) -> onnx.ModelProto:
    """With every tensor's shape."""
    return onnx.shape_inference.infer_shapes(model)


def in_int8(model: onnx.ModelProto) -> onnx.ModelProto:
    """Quantised on a normal input."""
    model = typed(model)
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    return quantise(model, [{"x": x}])


def count_layer(device: QemuSystemDevice, model: onnx.ModelProto) -> float:
    """Instructions per multiply-accumulate of the one layer in it."""
    with tempfile.TemporaryDirectory() as scratch:
        artifact = get_exporter("baremetal").compile(model, device.target(), Path(scratch) / "net")
        counts = device.count(artifact)
        (layer,) = [i for i, kernel in enumerate(artifact.kernels) if kernel.macs]
        assert artifact.kernels[layer].family.startswith("int8_")
        return float(counts.kernels[layer]) / artifact.kernels[layer].macs


def count_network(device: QemuSystemDevice, model: onnx.ModelProto, macs: int) -> dict[str, float]:
    """Of a whole run."""
    with tempfile.TemporaryDirectory() as scratch:
        artifact = get_exporter("baremetal").compile(model, device.target(), Path(scratch) / "net")
        memory = MemoryReport.load(artifact.path)
        return {
            "per MAC": device.count(artifact).graph / macs,
            "flash kB": memory.flash_bytes / 1e3,
            "RAM kB": memory.ram_bytes / 1e3,
        }


def main() -> None:
    """Layers of every board, then networks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boards", default=",".join(BOARDS), help="device profiles of kind qemu-system")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    figures: dict[str, float] = {}
    rows: list[dict[str, Any]] = []
    for name in args.boards.split(","):
        device = QemuSystemDevice(load_device(name).unscaled())
        label = name.replace("-", "_")
        per_mac, ratios = [], []
        for published in LAYERS:
            layer = published.layer
            status(f"{name}: {layer}")
            found = count_layer(device, layer_model(layer))
            row: dict[str, Any] = {"board": name, "what": str(layer), "per MAC": found}
            per_mac.append(found)
            if name in LIKE:
                row["CMSIS-NN"] = getattr(published, LIKE[name])
                ratios.append(found / row["CMSIS-NN"])
                row["ratio"] = ratios[-1]
            rows.append(row)
        figures[f"{label}_per_mac_geomean"] = geomean(per_mac)
        if ratios:
            figures |= {f"{label}_over_cmsis_nn": geomean(ratios), f"{label}_worst_over_cmsis_nn": max(ratios)}
        for network, make in NETWORKS.items():
            model, macs = make()
            status(f"{name}: {network}")
            both = {"int8": in_int8(model), "float32": typed(model)}
            found_of = {precision: count_network(device, each, macs) for precision, each in both.items()}
            rows += [{"board": name, "what": f"{network}, {p}", **values} for p, values in found_of.items()]
            for precision, values in found_of.items():
                figures[f"{label}_{network}_{precision}_per_mac"] = values["per MAC"]
            for what in ("flash kB", "RAM kB"):
                ratio = found_of["int8"][what] / found_of["float32"][what]
                figures[f"{label}_{network}_{what.split()[0].lower()}_over_float32"] = ratio
    for board, name in (("m7", "stm32h743"), ("m55", "alif_e3_hp")):
        for ours, what in (("over_cmsis_nn", f"{board}_over_cmsis_nn"),):
            if f"{name}_{ours}" in figures:
                figures[what] = figures[f"{name}_{ours}"]
    worst = [value for key, value in figures.items() if key.endswith("_worst_over_cmsis_nn")]
    figures |= {"worst_over_cmsis_nn": max(worst)} if worst else {}
    emit("int8_mcu", figures, rows, as_json=args.json, notes="instructions under QEMU -icount, not cycles")


def geomean(values: list[float]) -> float:
    """Geometric mean."""
    return float(np.exp(np.log(values).mean()))


if __name__ == "__main__":
    main()
