"""A small supernet in the style of public ones, to compare with: layers are set to a choice before they are run.

The manner of once-for-all and AttentiveNAS: `active_out_channel` and the like are attributes of each layer, weights are
sliced and copied at every call, batch norms are sliced out of the widest one's, tensors are in torch's default layout.
It covers what the spaces here ask for: inverted residual and fused blocks, elastic width, window and depth.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from splitkit.autograd.activation import activate
from splitkit.space import Architecture, SearchSpace, describe
from splitkit.space.operators import Operator
from splitkit.supernet.extents import LayerExtent, UnitExtents, unit_extents
from splitkit.supernet.interpret import layer_name, operators_of


class DynamicConv(nn.Module):
    """Convolution of the largest size, of which the active part is run, with batch norm."""

    def __init__(self, extent: LayerExtent) -> None:
        super().__init__()
        self.extent, largest = extent, max(extent.kernels)
        inputs = 1 if extent.depthwise else extent.inputs
        self.conv = nn.Conv2d(inputs, extent.outputs, largest, bias=False)
        self.norm = nn.BatchNorm2d(extent.outputs)
        self.matrices = nn.ParameterDict({str(k): torch.eye(k * k) for k in extent.kernels[:-1]})
        self.active_out, self.active_kernel, self.stride = extent.outputs, largest, 1

    def forward(self, x: Tensor) -> Tensor:
        inputs = 1 if self.extent.depthwise else x.shape[1]
        weight = self.conv.weight[: self.active_out, :inputs]
        for larger, smaller in pairwise(reversed(self.extent.kernels)):
            if smaller < self.active_kernel:
                break
            edge = (larger - smaller) // 2
            centre = weight[:, :, edge : larger - edge, edge : larger - edge].contiguous()
            weight = F.linear(centre.view(*centre.shape[:2], -1), self.matrices[str(smaller)]).view_as(centre)
        groups = x.shape[1] if self.extent.depthwise else 1
        x = F.conv2d(x, weight.contiguous(), None, self.stride, self.active_kernel // 2, groups=groups)
        n, norm = self.active_out, self.norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        statistics = (norm.running_mean[:n], norm.running_var[:n])
        return F.batch_norm(x, *statistics, norm.weight[:n], norm.bias[:n], training=True, momentum=0.1)


class DynamicLinear(nn.Module):
    """Fully connected layer of the largest size, of which the active part is run."""

    def __init__(self, extent: LayerExtent) -> None:
        super().__init__()
        self.linear = nn.Linear(extent.inputs, extent.outputs)
        self.active_out = extent.outputs

    def forward(self, x: Tensor) -> Tensor:
        weight = self.linear.weight[: self.active_out, : x.shape[1]].contiguous()
        return F.linear(x, weight, self.linear.bias[: self.active_out])


class StatefulSupernet(nn.Module):
    """One chain of dynamic layers: `set_active` an all-on-sensor architecture, then call."""

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self.space = space
        self.layers = nn.ModuleDict()
        for key, unit in unit_extents(space)["sensor"].items():
            self._add(key, unit)
        self.active: list[tuple[str, tuple[Operator, ...]]] = []

    def _add(self, key: str, unit: UnitExtents) -> None:
        for name, extent in unit.items():
            kind = DynamicConv if extent.kind == "conv" else DynamicLinear
            self.layers[f"{key}/{name}"] = kind(extent)

    def set_active(self, architecture: Architecture) -> None:
        """Make every layer what `architecture` says."""
        network = describe(self.space, architecture)
        self.active = [(placed.slot.replace(".", "_"), operators_of(placed)) for placed in network.sensor]
        for key, operators in self.active:
            for op in operators:
                if op.kind in ("conv", "linear"):
                    layer = self.layers[f"{key}/{layer_name(op)}"]
                    layer.active_out = op.output.shape[1]
                    if isinstance(layer, DynamicConv):
                        layer.active_kernel, layer.stride = op.kernel, op.stride

    def forward(self, images: Tensor) -> Tensor:
        """uint8 (n, 1, channels, size, size) -> scores of the active sub-network."""
        x = images.flatten(0, 1)
        for key, operators in self.active:
            values = {operators[0].inputs[0].name: x}
            for op in operators:
                values[op.output.name] = self._run(key, op, [values[t.name] for t in op.inputs])
            x = values[operators[-1].output.name]
        return x

    def _run(self, key: str, op: Operator, inputs: list[Tensor]) -> Tensor:
        x = inputs[0]
        match op.kind:
            case "conv" | "linear":
                return self.layers[f"{key}/{layer_name(op)}"](x)  # type: ignore[no-any-return]
            case "activation":
                return activate(op.activation, x)
            case "add":
                return x + inputs[1]
            case "scale":
                return x * inputs[1]
            case "cast":
                return x.float()
            case "normalise":
                return x / 127.5 - 1
            case "resize":
                return F.interpolate(x, size=op.output.shape[2:], mode="bilinear", align_corners=False)
            case "pool":
                return F.adaptive_avg_pool2d(x, 1)
            case "flatten":
                return x.flatten(1)
            case _:
                raise ValueError(f"{op.kind}: not in an all-on-sensor network of one view")
