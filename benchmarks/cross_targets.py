"""Instructions of splitkit's kernels and of TVM's default schedule for the same operators, on cores that are emulated.

Cortex-A72 (NEON), Cortex-M7 (scalar) and Cortex-M55 (Helium), bare metal under `qemu-system -icount`: what a counter of
the board advances by is a number of instructions, the same in every run. Not a time: caches, dual issue and the beats
of vector instructions are not in it. Both sides run on the same input and must agree.

Needs the Debian packages qemu-system-arm, gcc-arm-none-eabi, libnewlib-arm-none-eabi and gcc-aarch64-linux-gnu.

    python benchmarks/cross_targets.py [--targets cortex-a72 cortex-m7 cortex-m55] [--only depthwise] [--json]
"""

import argparse
import re
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from report import emit
from splitkit.devices.qemu_system import QemuSystemDevice
from splitkit.exporters import Artifact, CompileTarget
from splitkit.exporters.baremetal import BareMetalExporter
from splitkit.profiles import load_device
from tvm_default import compile_default

FIRMWARE = Path(__file__).parent / "firmware_aarch64"
SHIFT = 6
"""Of `-icount`: an instruction lasts 2^6 ns of virtual time, several ticks of the generic timer."""


@dataclass(frozen=True)
class Layer:
    """One operator: `kind` conv, linear or pool; a convolution of `channels` to `outputs` on a square image."""

    kind: str
    channels: int
    outputs: int
    size: int = 1
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    activation: str = "Relu"

    @property
    def macs(self) -> int:
        area = ((self.size + 2 * (self.kernel // 2) - self.kernel) // self.stride + 1) ** 2
        return 0 if self.kind == "pool" else area * self.outputs * self.channels // self.groups * self.kernel**2


LAYERS = {
    "stem": Layer("conv", 3, 16, 48, 3, 2, activation="HardSwish"),
    "pointwise": Layer("conv", 32, 96, 24),
    "pointwise-projection": Layer("conv", 96, 24, 24, activation=""),
    "dense": Layer("conv", 32, 32, 16, 3),
    "grouped": Layer("conv", 32, 32, 16, 3, groups=2),
    "depthwise": Layer("conv", 96, 96, 24, 3, groups=96),
    "depthwise-stride": Layer("conv", 64, 64, 24, 5, 2, groups=64, activation="HardSwish"),
    "linear": Layer("linear", 256, 128, activation=""),
    "pool": Layer("pool", 96, 96, 12, activation=""),
}


def model_of(layer: Layer) -> onnx.ModelProto:
    """The operator with random weights and its activation."""
    rng = np.random.default_rng(0)
    fan_in = layer.channels // layer.groups * layer.kernel**2
    shape = [1, layer.channels] if layer.kind == "linear" else [1, layer.channels, layer.size, layer.size]
    constants: dict[str, NDArray[Any]] = {}
    nodes = []
    if layer.kind == "pool":
        nodes.append(helper.make_node("GlobalAveragePool", ["x"], ["y"]))
    else:
        window = [] if layer.kind == "linear" else [layer.kernel, layer.kernel]
        weight = rng.standard_normal((layer.outputs, layer.channels // layer.groups, *window)) * (2 / fan_in) ** 0.5
        constants = {"weight": weight, "bias": rng.standard_normal(layer.outputs) * 0.2}
        attrs: dict[str, Any] = {"transB": 1}
        if layer.kind == "conv":
            attrs = {"pads": [layer.kernel // 2] * 4, "strides": [layer.stride] * 2, "group": layer.groups}
            attrs["kernel_shape"] = window
        operator = "Conv" if layer.kind == "conv" else "Gemm"
        nodes.append(helper.make_node(operator, ["x", "weight", "bias"], ["y"], **attrs))
    if layer.activation:
        nodes.append(helper.make_node(layer.activation, ["y"], ["z"]))
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [helper.make_empty_tensor_value_info("z" if layer.activation else "y")],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model)


@dataclass(frozen=True)
class Counted:
    """Instructions of all kernels of an artifact, and what it computed from the fixed input."""

    instructions: int
    output: NDArray[np.float32]


def fixed_input(elements: int) -> NDArray[np.float32]:
    """The same values as the aarch64 firmware's."""
    numbers = np.arange(elements, dtype=np.uint64) * 40503 % 1021
    return (numbers.astype(np.float32) / np.float32(1021) - np.float32(0.25)).astype(np.float32)


def count_on_board(profile: str) -> Callable[[Artifact], Counted]:
    """Counting through splitkit's device kind `qemu-system`."""
    device = QemuSystemDevice(load_device(profile).unscaled())

    def count(artifact: Artifact) -> Counted:
        (source,) = artifact.inputs
        given = fixed_input(int(np.prod(source.shape))).reshape(source.shape)
        (output,) = device.open(artifact).run({source.name: given}).values()
        return Counted(int(device.count(artifact).kernels.sum()), output)

    return count


def count_on_a72(artifact: Artifact) -> Counted:
    """Counting on QEMU's `virt` board with the generic timer."""
    name = artifact.report["name"]
    (source,), (result,) = artifact.inputs, artifact.outputs
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "network.h").write_text(
            f'#include "{name}.h"\n'
            f"#define KERNELS {len(artifact.kernels)}\n#define INIT {name}_init\n#define RUN {name}_run\n"
            f"#define INPUT_BYTES {source.bytes}\n#define OUTPUT_BYTES {result.bytes}\n"
            f"static float input_buffer[INPUT_BYTES / 4];\nstatic {name}_output_t output_buffer;\n"
            "#define INPUT input_buffer\n#define OUTPUT &output_buffer\n"
        )
        (work / "stamp.h").write_text("void stamp(int);\n#define SPLITKIT_AFTER_KERNEL(index) stamp(index)\n")
        command = ["aarch64-linux-gnu-gcc", "-mcpu=cortex-a72", "-O2", "-ffreestanding", "-nostdlib", "-static"]
        command += [
            "-fno-pie",
            "-no-pie",
            "-fno-builtin",
            "-Wl,--build-id=none,-Ttext-segment=0x40100000",
            "-I",
            folder,
        ]
        command += ["-I", str(artifact.path), "-include", "stamp.h"]
        parts = [FIRMWARE / "main.c", artifact.path / f"{name}.c", artifact.path / f"{name}_kernels.o"]
        run([*command, "-c", *map(str, parts[:2])], work)
        objects = ["main.o", f"{name}.o", str(parts[2]), str(FIRMWARE / "start.S")]
        weights = [str(artifact.path / f"{name}_weights.S")] if artifact.memory.weight_bytes else []
        run([*(c for c in command if c not in ("-include", "stamp.h")), *objects, *weights, "-o", "firmware"], work)
        machine = ["-M", "virt", "-cpu", "cortex-a72", "-m", "512", "-nodefaults", "-display", "none"]
        machine += ["-nic", "none"]  # the board's own network card wants a boot ROM that few systems install
        icount = ["-icount", f"shift={SHIFT},sleep=off", "-semihosting-config", "enable=on,target=native"]
        run(["qemu-system-aarch64", *machine, *icount, "-kernel", "firmware"], work, timeout_s=300)
        frequency, *stamps = np.fromfile(work / "counts.bin", "<u8").astype(np.int64)
        output = np.fromfile(work / "output.bin", "<f4").reshape(result.shape)
    ticks = np.diff(stamps)
    per_instruction = frequency * 2**SHIFT / 1e9
    instructions = np.rint((ticks[2:] - ticks[0]) / per_instruction)
    return Counted(int(instructions.sum()), output)


def run(command: Sequence[str], work: Path, timeout_s: float = 60) -> None:
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=timeout_s, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed ({done.returncode}): {(done.stderr or done.stdout)[-2000:]}")


@dataclass(frozen=True)
class Core:
    """An emulated core: what to compile for, how to count, and what its (vector) multiply-add looks like."""

    target: CompileTarget
    count: Callable[[Artifact], Counted]
    objdump: tuple[str, ...]
    fused: str


def cores(names: Sequence[str]) -> dict[str, Core]:
    """The cores asked for; others are not even looked for."""

    def board(profile: str, fused: str, *flags: str) -> Core:
        target = CompileTarget(dict(load_device(profile).target))
        return Core(target, count_on_board(profile), ("arm-none-eabi-objdump", *flags), fused)

    a72 = CompileTarget({"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a72"})
    makers: dict[str, Callable[[], Core]] = {
        "cortex-a72": lambda: Core(a72, count_on_a72, ("aarch64-linux-gnu-objdump",), r"\bfmla\s+v\d+\.4s"),
        "cortex-m7": lambda: board("stm32h743", r"\bvfma\.f32\s+s\d"),
        "cortex-m55": lambda: board("alif-e3-hp", r"\bvfma\.f32\s+q\d", "-m", "armv8.1-m.main"),
    }
    return {name: makers[name]() for name in names}


def multiply_adds(artifact: Artifact, core: Core) -> int:
    """(Vector) multiply-add instructions in the disassembly of an artifact's kernels."""
    file = artifact.path / f"{artifact.report['name']}_kernels.o"
    text = subprocess.run([*core.objdump, "-d", str(file)], capture_output=True, text=True, check=True).stdout
    return len(re.findall(core.fused, text))


def row(target: str, core: Core, name: str, layer: Layer, scratch: Path) -> dict[str, Any]:
    """One operator on one core, both ways."""
    model = model_of(layer)
    ours = BareMetalExporter("ours").compile(model, core.target, scratch / f"{target}-{name}-ours")
    theirs = compile_default(model, core.target, scratch / f"{target}_{name}_default".replace("-", "_"))
    mine, default = core.count(ours), core.count(theirs)
    scale = float(np.abs(default.output).max())
    assert scale > 1e-2, "a vanishing output proves nothing"
    return {
        "target": target,
        "operator": name,
        "macs": layer.macs,
        "instructions": mine.instructions,
        "tvm_default": default.instructions,
        "times_fewer": default.instructions / mine.instructions,
        "per_mac": mine.instructions / layer.macs if layer.macs else float("nan"),
        "tvm_default_per_mac": default.instructions / layer.macs if layer.macs else float("nan"),
        "multiply_adds_in_code": multiply_adds(ours, core),
        "error": float(np.abs(mine.output - default.output).max()) / scale,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", nargs="+", default=["cortex-a72", "cortex-m7", "cortex-m55"], metavar="CORE")
    parser.add_argument("--only", nargs="+", choices=LAYERS, default=list(LAYERS), metavar="OPERATOR")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        rows = [
            row(target, core, name, LAYERS[name], Path(scratch))
            for target, core in cores(args.targets).items()
            for name in args.only
        ]
    figures: dict[str, float] = {"max_error": max(r["error"] for r in rows)}
    for target in args.targets:
        mine = [r for r in rows if r["target"] == target]
        figures[f"times_fewer_{target}"] = float(np.exp(np.mean([np.log(r["times_fewer"]) for r in mine])))
        figures[f"least_times_fewer_{target}"] = min(r["times_fewer"] for r in mine)
    emit("cross_targets", figures, rows, as_json=args.json, notes="instructions counted under QEMU -icount, not times")


if __name__ == "__main__":
    main()
