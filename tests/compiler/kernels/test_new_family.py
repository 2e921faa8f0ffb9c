"""A family of kernels is one file: put beside the others it is found, chosen, compiled, keyed and timed."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from splitkit.compiler import kernels
from splitkit.compiler.target import CompileTarget
from splitkit.exporters.tvm import TvmExporter

FAMILY = '''
"""Running sums over the last axis."""

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from splitkit.compiler.codegen.code import Code, Operand, splat
from splitkit.compiler.kernels.protocol import KernelFunction, KernelSpec
from splitkit.compiler.program import PLAIN


@dataclass(frozen=True)
class RunningSumSpec(KernelSpec):
    """Operands: input, output, both (rows, length)."""

    kind: ClassVar[str] = "running_sum"
    rows: int
    length: int

    @property
    def family(self):
        return "running_sum"

    def label(self):
        return f"running_sum {self.rows}x{self.length} f32"

    def emit(self, machine):
        code = Code()
        x, out = (Operand(code, name, self.rows * self.length) for name in ("x", "out"))
        with code.loop("row", self.rows) as row:
            total = code.register("total", 1)
            total.set(splat(0.0, 1))
            with code.loop("i", self.length) as i:
                total.set(total.get() + x.load(row * self.length + i))
                out.store(row * self.length + i, total.get())
        return KernelFunction(code.function([x, out]))

    def sample(self, rng):
        return [((self.rows, self.length), "float32")] * 2

    @classmethod
    def takes(cls, node, graph):
        shape = graph.types[node.inputs[0]].shape
        return node.op == "CumSum" and int(graph.constants[node.inputs[1]]) == len(shape) - 1

    @classmethod
    def select(cls, group, to):
        shape = to.type(group.data).shape
        spec = cls(prod(shape[:-1]), shape[-1])
        to.call(spec, [to.read(group.data, PLAIN), to.make(group.output, PLAIN)], group.nodes[0].name)
'''


def running_sums() -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, (2, 3, 5)) for name in "xy")
    axis = helper.make_tensor("axis", TensorProto.INT64, (), [2])
    nodes = [helper.make_node("CumSum", ["x", "axis"], ["s"]), helper.make_node("Relu", ["s"], ["y"])]
    graph = helper.make_graph(nodes, "sums", [x], [y], [axis])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.fixture
def family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "running_sum.py").write_text(FAMILY)
    monkeypatch.setattr(kernels, "__path__", [*kernels.__path__, str(tmp_path)])


@pytest.mark.usefixtures("family")
def test_one_file_is_all_it_takes(tmp_path: Path) -> None:
    exporter, model, x = TvmExporter(), running_sums(), np.random.default_rng(0).standard_normal((2, 3, 5))
    artifact = exporter.compile(model, CompileTarget(), tmp_path / "graph")
    assert [k.label for k in artifact.kernels] == ["running_sum 6x5 f32", "elementwise relu 30 float32->float32"]
    assert artifact.report["fallback"] == {}
    y = exporter.load(artifact).run({"x": x.astype(np.float32)})["y"]
    np.testing.assert_allclose(y, np.maximum(np.cumsum(x, axis=2), 0), rtol=1e-5, atol=1e-5)

    library = exporter.build_kernels(artifact.kernels[:1], CompileTarget(), tmp_path / "library")
    assert exporter.load(library).kernel_times_ns(3).shape == (3, 1)
