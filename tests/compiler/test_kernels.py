"""What the exporter says of kernels: lowering, blocks in context, libraries of kernels, times."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from splitkit.exporters import Artifact, CompileTarget, Kernel, KernelExporter
from splitkit.exporters.tvm import TvmExporter
from tests.compiler.graphs import GRAPHS, Net, mobile, random_inputs

TARGET = CompileTarget()


@pytest.mark.parametrize("name", ["aggregator of two views", "attention", "shuffle"])
def test_lowering_names_the_kernels_that_compiling_makes(name: str, tmp_path: Path) -> None:
    model = GRAPHS[name]()
    exporter = TvmExporter()
    assert exporter.lower(model, TARGET) == exporter.compile(model, TARGET, tmp_path).kernels


@pytest.mark.parametrize("name", GRAPHS)
def test_lowering_is_repeatable(name: str) -> None:
    assert TvmExporter().lower(GRAPHS[name](), TARGET) == TvmExporter().lower(GRAPHS[name](), TARGET)


def part(model: onnx.ModelProto, inputs: Sequence[str], outputs: Sequence[str]) -> onnx.ModelProto:
    """The nodes between two sets of tensors, by walking back from the outputs."""
    producers = {o: n for n in model.graph.node for o in n.output}
    wanted: set[str] = set()
    stack = list(outputs)
    while stack:
        name = stack.pop()
        node = producers.get(name)
        if name in inputs or node is None or node.name in wanted:
            continue
        wanted.add(node.name)
        stack.extend(node.input)
    nodes = [n for n in model.graph.node if n.name in wanted]
    used = {i for n in nodes for i in n.input}
    infos = {v.name: v for v in [*model.graph.input, *model.graph.value_info, *model.graph.output]}
    graph = helper.make_graph(
        nodes,
        "part",
        [infos[n] for n in inputs],
        [infos[n] for n in outputs],
        [t for t in model.graph.initializer if t.name in used],
    )
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def blocks_model() -> tuple[onnx.ModelProto, list[str]]:
    """A network and the names of its block boundaries, with widths that pack differently."""
    net = Net()
    x = net.act(net.batch_norm(net.conv(net.input("x", 1, 3, 32, 32), 3, 16, 3, 2, bias=False), 16), "HardSwish")
    cuts = [x]
    for i, o, s, se in (
        (16, 24, 2, True),
        (24, 24, 1, False),
        (24, 40, 2, True),
        (40, 20, 1, False),
        (20, 20, 1, True),
    ):
        x = net.mbconv(x, i, o, 3, 3, s, "HardSwish", se)
        cuts.append(x)
    return net.model(net.head(x, 20)), cuts


def test_kernels_of_blocks_add_up_to_those_of_the_network() -> None:
    model, cuts = blocks_model()
    exporter = TvmExporter()
    whole = Counter(k.key for k in exporter.lower(model, TARGET))
    edges = [model.graph.input[0].name, *cuts, model.graph.output[0].name]
    blocks: Counter[str] = Counter()
    for start, stop in pairwise(edges):
        blocks.update(k.key for k in exporter.lower(part(model, [start], [stop]), TARGET, {start, stop} & set(cuts)))
    assert blocks == whole


def test_an_edge_that_is_not_interior_costs_a_layout_kernel() -> None:
    model, cuts = blocks_model()
    block = part(model, [cuts[1]], [cuts[2]])
    families = [k.family for k in TvmExporter().lower(block, TARGET)]
    assert (families[0], families[-1]) == ("layout", "layout")
    assert "layout" not in [k.family for k in TvmExporter().lower(block, TARGET, {cuts[1], cuts[2]})]


def test_lowering_a_block_takes_milliseconds() -> None:
    model, cuts = blocks_model()
    block = part(model, [cuts[0]], [cuts[1]])
    exporter = TvmExporter()
    exporter.lower(block, TARGET)  # imports the compiler
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        exporter.lower(block, TARGET)
        best = min(best, time.perf_counter() - start)
    assert best < 0.05


def test_a_kernel_states_its_work_and_traffic() -> None:
    net = Net()
    model = net.model(net.act(net.conv(net.input("x", 1, 16, 10, 10), 16, 32, 3), "Relu"))
    (kernel,) = [k for k in TvmExporter().lower(model, TARGET) if k.family == "dense"]
    assert kernel.macs == 16 * 32 * 9 * 100
    assert (kernel.read_bytes, kernel.write_bytes) == (16 * 100 * 4, 32 * 100 * 4)
    assert kernel.weight_bytes == (16 * 32 * 9 + 32) * 4
    assert kernel.label.startswith("conv k=3 s=1 p=1 g=1 16x10x10->32x10x10 +bias +relu f32")


def test_equal_layers_of_different_networks_share_a_key() -> None:
    def keys(seed: int, width: int) -> set[str]:
        net = Net(seed)
        x = net.conv(net.input("in", 1, 3, 16, 16), 3, 16)
        x = net.act(net.conv(x, 16, 16, 3, groups=16), "Relu")
        return {
            k.key for k in TvmExporter().lower(net.model(net.conv(x, 16, width)), TARGET) if k.family == "depthwise"
        }

    assert keys(0, 24) == keys(1, 32)


def all_kernels() -> list[Kernel]:
    """One kernel of every key that the test graphs become."""
    found: dict[str, Kernel] = {}
    for name in ("aggregator of two views", "sensor", "attention"):
        found |= {k.key: k for k in TvmExporter().lower(GRAPHS[name](), TARGET)}
    return list(found.values())


def test_kernels_are_rebuilt_from_their_payloads_and_timed(tmp_path: Path) -> None:
    exporter = TvmExporter()
    assert isinstance(exporter, KernelExporter)
    kernels = all_kernels()
    artifact = exporter.build_kernels(kernels, TARGET, tmp_path)
    session = exporter.load(Artifact.load(tmp_path))
    times = session.kernel_times_ns(8)
    assert artifact.kernels == tuple(kernels)
    assert times.shape == (8, len(kernels))
    assert (times > 0).all()
    assert np.median(times, axis=0).sum() == pytest.approx(np.median(session.time_ns(8)), rel=0.5)


def test_kernels_timed_alone_are_fed_values_that_neither_vanish_nor_overflow(tmp_path: Path) -> None:
    exporter = TvmExporter()
    exporter.build_kernels(all_kernels(), TARGET, tmp_path)
    session = exporter.load(Artifact.load(tmp_path))
    session.time_ns(3)
    for offset, size, dtype in session.artifact.report["fill"]:
        values = session._arena[offset : offset + size].view(dtype)
        if values.dtype == np.float32:
            assert np.isfinite(values).all()
            assert (np.abs(values) > 1e-30).any(), "all values vanished"


def test_in_situ_times_add_up_to_the_whole(tmp_path: Path) -> None:
    exporter = TvmExporter()
    exporter.compile(mobile(size=96), TARGET, tmp_path)
    session = exporter.load(Artifact.load(tmp_path))
    session.time_ns(20)
    ratios = []
    for _ in range(15):  # interleaved, because the machine's speed drifts
        whole = np.min(session.time_ns(10))
        ratios.append(np.min(session.kernel_times_ns(10).sum(axis=1)) / whole)
    assert np.median(ratios) == pytest.approx(1.0, abs=0.1)


def test_an_artifact_loads_in_another_process_without_the_compiler(tmp_path: Path) -> None:
    model = GRAPHS["aggregator"]()
    exporter = TvmExporter()
    artifact = exporter.compile(model, TARGET, tmp_path)
    inputs = random_inputs(model)
    expected = exporter.load(artifact).run(inputs)
    np.savez(tmp_path / "inputs.npz", **inputs)
    script = (
        "import sys, json, numpy as np\n"
        "from pathlib import Path\n"
        "from splitkit.exporters import Artifact, get_exporter\n"
        "artifact = Artifact.load(Path(sys.argv[1]))\n"
        "session = get_exporter(artifact.exporter).load(artifact)\n"
        "out = session.run(dict(np.load(sys.argv[1] + '/inputs.npz')))\n"
        "assert 'tvm' not in sys.modules, 'the compiler was imported'\n"
        "print(json.dumps({k: v.tolist() for k, v in out.items()}))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    for name, value in expected.items():
        np.testing.assert_array_equal(np.array(got[name], value.dtype), value)


def test_a_process_that_compiles_again_into_a_directory_runs_the_new_code(tmp_path: Path) -> None:
    exporter = TvmExporter()
    x = np.full((2, 5), -2, np.float32)
    for operator, expected in (("Neg", 2.0), ("Relu", 0.0)):
        net = Net()
        y = net.op(operator, net.input("x", 2, 5))
        session = exporter.load(exporter.compile(net.model(y), TARGET, tmp_path))
        assert (session.run({"x": x})[y] == expected).all()
