"""Elastic layers: one set of weights, any smaller layer out of it.

The choice is an argument, never state: a layer is asked to be what an operator says. Fewer channels are the first
ones; a smaller window is the centre of the larger one, passed through a small learned matrix so that the centre need
not serve both sizes as it is (Cai et al., "Once-for-All", ICLR 2020, section 3.2).
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from splitkit.autograd import depthwise
from splitkit.space.operators import Operator
from splitkit.supernet.extents import LayerExtent
from splitkit.supernet.interpret import NO_TAIL, Tail
from splitkit.supernet.statistics import Statistics

MOST_ROWS = 8192
"""Pixels of a batch up to which a 1x1 convolution is run as a product of matrices. Convolutions are compiled for every
shape, and a space has more shapes than oneDNN remembers; for larger ones that matters less than its faster kernels."""


class ElasticConv(nn.Module):
    """Convolution with a batch norm, or with a bias where `normed` is false (squeeze-excite).

    `weight` has the shape (outputs, inputs, k, k) of the largest layer, inputs being 1 for a depthwise one.
    """

    def __init__(self, extent: LayerExtent, normed: bool = True) -> None:
        super().__init__()
        self.extent = extent
        self.normed = normed
        kernel = max(extent.kernels)
        inputs = 1 if extent.depthwise else extent.inputs
        self.weight = nn.Parameter(torch.empty(extent.outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(extent.outputs))
        if normed:
            self.gain = nn.Parameter(torch.ones(extent.outputs))
        self.transforms = nn.ParameterDict({str(k): torch.eye(k * k) for k in extent.kernels[:-1]})

    def forward(self, x: Tensor, operator: Operator, statistics: Statistics, tail: Tail = NO_TAIL) -> Tensor:
        """(batch, in, h, w) -> (batch, out, h', w') as `operator` and `tail` say."""
        outputs = operator.output.shape[1]
        weight = self.sliced_weight(operator)
        bias = None if self.normed else self.bias[:outputs]
        if _is_small_product(x, operator):
            x = F.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)
        elif operator.groups > 1 and torch.is_grad_enabled():
            x = depthwise(x, weight, operator.stride)
        else:
            x = F.conv2d(x, weight, bias, operator.stride, operator.kernel // 2, groups=operator.groups)
        if not self.normed:
            return tail.apply(x)
        return statistics.normalise(self, x, self.gain[:outputs], self.bias[:outputs], tail)

    def sliced_weight(self, operator: Operator) -> Tensor:
        """Weights (out, in / groups, k, k) of the convolution that `operator` asks for."""
        weight = self.weight[: operator.output.shape[1]]
        if not self.extent.depthwise:
            weight = first_inputs(weight, operator.inputs[0].shape[1], self.extent.stacked)
        return smaller_window(weight, operator.kernel, self.extent.kernels, self.transforms)


class ElasticLinear(nn.Module):
    """Fully connected layer, `weight` (outputs, inputs) of the largest one."""

    def __init__(self, extent: LayerExtent) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(extent.outputs, extent.inputs))
        self.bias = nn.Parameter(torch.zeros(extent.outputs))

    def forward(self, x: Tensor, operator: Operator) -> Tensor:
        """(batch, in) -> (batch, out)."""
        return F.linear(x, *self.sliced(operator))

    def sliced(self, operator: Operator) -> tuple[Tensor, Tensor]:
        """Weight (out, in) and bias (out,) of the layer that `operator` asks for."""
        inputs, outputs = operator.inputs[0].shape[1], operator.output.shape[1]
        return self.weight[:outputs, :inputs], self.bias[:outputs]


def smaller_window(weight: Tensor, kernel: int, kernels: Sequence[int], transforms: nn.ParameterDict) -> Tensor:
    """Weights (out, in, k, k) of the window `kernel` out of those of the largest of `kernels`, step by step."""
    for larger, smaller in pairwise(reversed(kernels)):
        if smaller < kernel:
            break
        edge = (larger - smaller) // 2
        centre = weight[:, :, edge : larger - edge, edge : larger - edge]
        with torch.autocast(weight.device.type, enabled=False):  # weights are rounded once, where they are used
            weight = (centre.flatten(2) @ transforms[str(smaller)]).view_as(centre)
    return weight


def first_inputs(weight: Tensor, inputs: int, views: int) -> Tensor:
    """The first input channels of every view's share."""
    if views == 1:
        return weight[:, :inputs]
    outputs, _, *window = weight.shape
    shares = weight.view(outputs, views, -1, *window)
    return shares[:, :, : inputs // views].reshape(outputs, inputs, *window)


def _is_small_product(x: Tensor, operator: Operator) -> bool:
    # In training alone: a score is to be what the extracted network's convolutions give, to the last bits.
    pixels = x.shape[0] * x.shape[2] * x.shape[3]
    pointwise = operator.kernel == 1 and operator.stride == 1 and operator.groups == 1
    return pointwise and pixels <= MOST_ROWS and torch.is_grad_enabled()
