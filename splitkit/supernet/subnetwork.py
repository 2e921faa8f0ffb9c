"""A sub-network by itself: plain torch modules, one per side, ready to fine-tune, to export and to deploy."""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from splitkit.autograd import depthwise, normalise
from splitkit.errors import CheckpointError, ConfigError
from splitkit.space.architecture import Architecture
from splitkit.space.network import PlacedUnit, describe
from splitkit.space.operators import Operator
from splitkit.space.search_space import SearchSpace
from splitkit.supernet.interpret import Tail, layer_name, operators_of, run, takes_mask
from splitkit.supernet.link import LEVELS, Quantisation, fake_float16, straight_through_codes
from splitkit.supernet.sharing import weights_of
from splitkit.supernet.storage import fill, header_of, read_checkpoint, tensors_of, write_checkpoint
from splitkit.supernet.supernet import UNNORMED

FORMAT = "splitkit subnetwork"


class Header(BaseModel):
    """The plain values of a sub-network's file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    space: SearchSpace
    architecture: Architecture
    folded: Annotated[bool, Field(strict=True)]


class PlainUnit(nn.Module):
    """One unit with its own weights: `nn.Conv2d`, `nn.BatchNorm2d` and `nn.Linear` named after the operators.

    It is its own `Layers`. A unit that quantises or dequantises keeps the link's constants as buffers.
    """

    def __init__(self, placed: PlacedUnit, folded: bool = False) -> None:
        super().__init__()
        self.operators = operators_of(placed)
        self.convs = nn.ModuleDict()
        self.norms = nn.ModuleDict()
        self.linears = nn.ModuleDict()
        for op in self.operators:
            if op.kind == "conv":
                self._add_conv(op, folded)
            elif op.kind == "linear":
                self.linears[layer_name(op)] = nn.Linear(op.inputs[0].shape[1], op.output.shape[1])
            elif op.kind == "quantise" or op.kind == "dequantise":
                self.register_buffer("scale", torch.ones(()))
                self.register_buffer("zero_point", torch.zeros(()))
                self.register_buffer("inverse_scale", torch.ones(()))

    scale: Tensor
    zero_point: Tensor
    inverse_scale: Tensor

    def forward(self, x: Tensor, present: Tensor | None = None) -> Tensor:
        """Run the unit; any batch."""
        return run(self.operators, x, self, present)

    def conv(self, name: str, operator: Operator, x: Tensor, tail: Tail) -> Tensor:
        conv, training = self.convs[name], self.training and torch.is_grad_enabled()
        assert isinstance(conv, nn.Conv2d)
        x = depthwise(x, conv.weight, operator.stride) if training and operator.groups > 1 else conv(x)
        if name not in self.norms:
            return tail.apply(x)
        norm = self.norms[name]
        assert isinstance(norm, nn.BatchNorm2d)
        if training:
            return normalise(x, norm.weight, norm.bias, tail.activation, tail.residual, norm.eps)
        return tail.apply(norm(x))

    def linear(self, name: str, operator: Operator, x: Tensor) -> Tensor:
        return self.linears[name](x)  # type: ignore[no-any-return]

    def float16(self, x: Tensor) -> Tensor:
        return fake_float16(x) if self.training else x.half()

    def quantise(self, x: Tensor) -> Tensor:
        if self.training:
            return straight_through_codes(x, self.inverse_scale, self.zero_point)
        return torch.round(x * self.inverse_scale + self.zero_point).clamp(0, LEVELS).to(torch.uint8)

    def dequantise(self, x: Tensor) -> Tensor:
        return (x.float() - self.zero_point) * self.scale

    @property
    def quantised(self) -> bool:
        """Whether this unit holds the link's constants."""
        return hasattr(self, "scale")

    def set_quantisation(self, quantisation: Quantisation) -> None:
        """Take over scale and zero point."""
        self.scale.copy_(quantisation.scale)
        self.zero_point.copy_(quantisation.zero_point)
        self.inverse_scale.copy_(1 / quantisation.scale)

    @torch.no_grad()
    def fold(self) -> None:
        """Fold every batch norm into its convolution, which gets a bias."""
        for name, norm in self.norms.items():
            conv = self.convs[name]
            assert isinstance(conv, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            assert norm.running_mean is not None
            assert norm.running_var is not None
            factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            conv.weight.mul_(factor[:, None, None, None])
            conv.bias = nn.Parameter(norm.bias - norm.running_mean * factor)
        self.norms = nn.ModuleDict()

    def _add_conv(self, op: Operator, folded: bool) -> None:
        name, outputs = layer_name(op), op.output.shape[1]
        normed = name not in UNNORMED and not folded
        self.convs[name] = nn.Conv2d(
            op.inputs[0].shape[1], outputs, op.kernel, op.stride, op.kernel // 2, groups=op.groups, bias=not normed
        )
        if normed:
            self.norms[name] = nn.BatchNorm2d(outputs)


class Side(nn.Sequential):
    """The units of one side in order, children named after their slots (with underscores for dots)."""

    def __init__(self, chain: Sequence[PlacedUnit], folded: bool = False) -> None:
        super().__init__()
        for key, placed in weights_of(chain):
            self.add_module(key, PlainUnit(placed, folded))

    def forward(self, x: Tensor, present: Tensor | None = None) -> Tensor:
        """Run the units in order; one of them takes the mask, if there is one."""
        for unit in self.units():
            x = unit(x, present) if takes_mask(unit.operators) else unit(x)
        return x

    def units(self) -> list[PlainUnit]:
        """The units in order."""
        return [unit for unit in self if isinstance(unit, PlainUnit)]


class SubNetwork(nn.Module):
    """Both sides of one architecture with their own weights.

    Attributes:
        sensor: uint8 image (b, channels, size, size) -> what the link carries, in its own dtype (b, ...). None when
            the sensor sends the image itself.
        aggregator: link tensor (views, ...) of one frame -> float32 (1, classes). Takes the images, uint8 (views,
            channels, size, size), when the sensor computes nothing; None when it has nothing to do (all on one sensor).
            In a masked space it also takes which views are there, float32 (views, 1, 1, 1).
        folded: whether batch norms are folded into the convolutions.
    """

    def __init__(self, space: SearchSpace, architecture: Architecture, folded: bool = False) -> None:
        """Untrained weights; `extract` and `load` give trained ones.

        Raises:
            ConfigError: `architecture` is not a canonical member of `space`.
        """
        super().__init__()
        space.check(architecture)
        network = describe(space, architecture)
        self.space = space
        self.architecture = architecture
        self.folded = folded
        self.sensor = Side(network.sensor, folded) if network.sensor else None
        self.aggregator = Side(network.aggregator, folded) if network.aggregator else None
        # The layout of the supernet: the same sums in the same order, and fast to train on a CPU.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: Tensor, present: Tensor | None = None) -> Tensor:
        """The fake-quantised reference of the deployed system: what both sides compute, link included.

        Args:
            images: uint8 (n, views, channels, size, size).
            present: float32 (n, views), 1 for a view that is there, 0 for one that is not; only in a masked space.
                None: all are there.

        Returns:
            float32 scores (n, classes).
        """
        x = images.flatten(0, 1)
        if self.sensor is not None:
            x = self.sensor(x)
        mask = None if present is None else present.reshape(-1, 1, 1, 1)
        return x if self.aggregator is None else self.aggregator(x, mask)

    @property
    def quantisation(self) -> Quantisation | None:
        """Scale and zero point of a uint8 link, else None."""
        for unit in self.units():
            if unit.quantised:
                return Quantisation(unit.scale, unit.zero_point)
        return None

    def units(self) -> list[PlainUnit]:
        """The units of both sides in order."""
        return [unit for side in (self.sensor, self.aggregator) if side is not None for unit in side.units()]

    def folded_copy(self) -> "SubNetwork":
        """The same network, in evaluation mode, with one convolution per convolution: batch norms folded."""
        copy = deepcopy(self).eval()
        for unit in copy.units():
            unit.fold()
        copy.folded = True
        return copy

    def save(self, path: Path) -> None:
        """Write weights, space and architecture; the file appears whole or not at all."""
        body = {
            "space": self.space.model_dump(mode="json"),
            "architecture": self.architecture.to_json(),
            "folded": self.folded,
            "state": self.state_dict(),
        }
        write_checkpoint(path, FORMAT, body)

    @classmethod
    def load(cls, path: Path) -> "SubNetwork":
        """Inverse of `save`, in evaluation mode.

        Raises:
            CheckpointError: the file is missing, truncated, of another kind, or a field in it does not fit.
        """
        body = read_checkpoint(path, FORMAT)
        header = header_of(path, body, Header, tensors=("state",))
        try:
            with torch.device("meta"):  # shapes alone: what a damaged file asks for may be larger than memory
                outline = cls(header.space, header.architecture, header.folded)
        except ConfigError as error:
            raise CheckpointError(f"{path}: architecture: {error}") from error
        state = tensors_of(path, "state", body.get("state"), outline.state_dict())
        for name, value in state.items():
            _check_range(f"{path}: state: {name}", name.rpartition(".")[2], value)
        subnetwork = cls(header.space, header.architecture, header.folded)
        fill(subnetwork.state_dict(), state)
        return subnetwork.eval()


def _check_range(where: str, buffer: str, value: Tensor) -> None:
    """Statistics and link constants are divided by and rooted: refuse what would make NaN of sound weights."""
    if buffer in ("running_var", "num_batches_tracked") and bool((value < 0).any()):
        raise CheckpointError(f"{where}: negative")
    if buffer in ("scale", "inverse_scale") and float(value) <= 0:
        raise CheckpointError(f"{where}: {float(value):g}, a number above 0 is wanted")
    if buffer == "zero_point" and not (0 <= float(value) <= LEVELS and float(value).is_integer()):
        raise CheckpointError(f"{where}: {float(value):g}, a whole number in 0..{LEVELS} is wanted")
