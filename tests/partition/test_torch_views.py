"""Models of several views as torch's two exporters write them, with a shared trunk in front of a maximum."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from benchmarks.outsider_networks import conv_bn
from benchmarks.random_weights import randomise
from benchmarks.stranger_networks import InvertedResidual
from splitkit.graphs.batched import BatchedViews
from splitkit.graphs.edges import Edges
from splitkit.graphs.session import Session
from splitkit.graphs.subject import Subject
from splitkit.graphs.views import SeparateViews
from splitkit.latency.store import LutStore
from splitkit.partition.costs import network_and_costs
from splitkit.partition.cuts import list_cuts
from splitkit.partition.examine import Examiner
from splitkit.partition.inputs import noisy
from splitkit.partition.measuring import named_tensors
from splitkit.partition.views import subject_of
from tests.latency.systems import analytical_system

VIEWS = 3


class Trunk(nn.Module):
    """(n, 3, 32, 32) -> (n, 16)."""

    def __init__(self) -> None:
        super().__init__()
        stem = [*conv_bn(3, 8, 3, 2), nn.ReLU6(), InvertedResidual(8, 8, 1, 4), InvertedResidual(8, 16, 2, 4)]
        self.net = nn.Sequential(*stem, nn.AdaptiveAvgPool2d(1))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.net(x)
        return y.view(y.size(0), -1)


class AsBatch(nn.Module):
    """One input (views, 3, 32, 32), as in MVCNN (Su et al. 2015)."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.last = Trunk(), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.last(self.trunk(x).amax(0, keepdim=True))
        return scores


class Apart(AsBatch):
    """An input a view."""

    def forward(self, *views: Tensor) -> Tensor:
        scores: Tensor = self.last(torch.stack([self.trunk(view) for view in views]).amax(0))
        return scores


def exported(module: nn.Module, shapes: list[tuple[int, ...]], dynamo: bool, path: Path) -> onnx.ModelProto:
    torch.manual_seed(0)
    randomise(module.eval())
    examples = tuple(torch.randn(shape) for shape in shapes)
    torch.onnx.export(module, examples, str(path), dynamo=dynamo, opset_version=18, verbose=False)
    return onnx.load(str(path))


@pytest.mark.parametrize("dynamo", [True, False], ids=["dynamo", "TorchScript"])
@pytest.mark.parametrize("apart", [True, False], ids=["an input a view", "one batch"])
@pytest.mark.filterwarnings("ignore")
def test_views_of_a_model_out_of_torch_are_found_and_cut(apart: bool, dynamo: bool, tmp_path: Path) -> None:
    module, shapes = (Apart(), [(1, 3, 32, 32)] * VIEWS) if apart else (AsBatch(), [(VIEWS, 3, 32, 32)])
    model = exported(module, shapes, dynamo, tmp_path / "model.onnx")
    join = next(node.output[0] for node in model.graph.node if node.op_type == "Reshape")
    found = subject_of(model, Edges.of(model), VIEWS, [join])
    assert isinstance(found, SeparateViews if apart else BatchedViews)
    with LutStore(":memory:") as store:
        examiner = Examiner.of(found, analytical_system(), store)
        network, _ = network_and_costs(examiner, named_tensors(found.branch))
    cuts = list_cuts(network)
    assert len(cuts) > 6
    [frame] = noisy(Edges.of(model).captured, 1)
    [(name, expected)] = Session(model)(frame).items()
    for each in cuts:
        np.testing.assert_allclose(joined(found, each.crossing, frame)[name], expected, rtol=1e-5, atol=1e-5)


def joined(
    found: Subject, crossing: tuple[str, ...], frame: dict[str, np.typing.NDArray[np.generic]]
) -> dict[str, np.typing.NDArray[np.generic]]:
    """What the aggregator makes of what all sensors send."""
    halves, stack = found.placed(crossing), np.concatenate([*frame.values()])
    [image] = found.edges.captured_names
    sent = {image: stack}
    if "sensor" in halves.models:
        each = [Session(halves.models["sensor"])({image: view}) for view in np.split(stack, VIEWS)]
        sent |= {name: np.concatenate([one[name] for one in each]) for name in each[0]}
    inputs = [value.name for value in halves.models["aggregator"].graph.input]
    return Session(halves.models["aggregator"])(dict(zip(inputs, (sent[n] for n in halves.crossing), strict=True)))
