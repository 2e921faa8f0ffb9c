"""The generated C, compiled for this machine, computes what ONNX Runtime computes."""

from pathlib import Path

import numpy as np
import pytest

from splitkit.exporters import CompileTarget
from splitkit.exporters.baremetal import BareMetalExporter
from splitkit.exporters.onnxruntime import OnnxRuntimeExporter
from tests.exporters.baremetal.native import Native
from tests.exporters.tvm.graphs import GRAPHS, random_inputs

HOST = CompileTarget()


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("shift", [0, 1])
def test_a_network_computes_what_onnx_runtime_computes(name: str, shift: int, tmp_path: Path) -> None:
    model = GRAPHS[name]()
    inputs = random_inputs(model)
    reference = OnnxRuntimeExporter()
    expected = reference.load(reference.compile(model, HOST, tmp_path / "reference")).run(inputs)
    found = Native(BareMetalExporter().compile(model, HOST, tmp_path / "net")).run(inputs, shift)
    for tensor, value in expected.items():
        scale = np.abs(value.astype(np.float64)).max()
        assert scale > 0
        assert np.abs(found[tensor].astype(np.float64) - value).max() <= 1e-4 * scale, tensor
