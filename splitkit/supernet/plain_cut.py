"""A trained network cut where it was not made to be cut, and the same with a bottleneck put in."""

import torch
from torch import Tensor, nn

from splitkit.space.architecture import Architecture
from splitkit.space.plain_cut import AS_IT_IS, PlainCut
from splitkit.supernet.interpret import takes_mask
from splitkit.supernet.link import Quantisation, fake_float16, fake_uint8
from splitkit.supernet.subnetwork import PlainUnit, SubNetwork


class CutNetwork(nn.Module):
    """What both halves of a plain cut compute, the link included.

    Args:
        whole: all on the aggregator; it is shared, not copied.
        calibration: uint8 training images (n, views, channels, size, size): they set the range of a uint8 link.
    """

    def __init__(self, whole: SubNetwork, cut: PlainCut, calibration: Tensor) -> None:
        super().__init__()
        self.whole, self.cut = whole, cut
        self._range: Quantisation | None = None
        if cut.dtype == "uint8":
            self._range = Quantisation.covering(*features(whole, cut.boundary, calibration).aminmax())

    def forward(self, images: Tensor, present: Tensor | None = None) -> Tensor:
        """uint8 images (n, views, channels, size, size) -> float32 scores (n, classes); `present` as `SubNetwork`'s."""
        x, mask = images.flatten(0, 1), None if present is None else present.reshape(-1, 1, 1, 1)
        for i, unit in enumerate(self.whole.units(), start=1):
            x = unit(x, mask) if takes_mask(unit.operators) else unit(x)
            if i == self.cut.boundary and self.cut.dtype != AS_IT_IS:
                x = fake_float16(x) if self._range is None else fake_uint8(x, self._range)
        return x


@torch.no_grad()
def features(whole: SubNetwork, boundary: int, images: Tensor) -> Tensor:
    """What stands at a boundary ahead of any splitting module, float32 (n * views, channels, size, size).

    Args:
        whole: all on the aggregator, in evaluation mode.
        images: uint8 (n, views, channels, size, size).
    """
    x = images.flatten(0, 1).to(next(whole.parameters()).device)
    for unit in whole.units()[:boundary]:
        x = unit(x)
    return x


@torch.no_grad()
def with_bottleneck(whole: SubNetwork, architecture: Architecture, calibration: Tensor) -> SubNetwork:
    """A copy of a trained network with a splitting module at the cut that `architecture` says, to be fine-tuned.

    Reduce projects the features on their first principal components, recover goes back: of all linear bottlenecks of
    this width the one with the least mean square error on the calibration images. Both have batch norms, whose
    statistics and gains are set so that they change nothing of that.

    Args:
        whole: of one view, without a splitting module, in evaluation mode.
        architecture: the same network, split.
        calibration: uint8 training images (n, 1, channels, size, size).
    """
    made = SubNetwork(whole.space, architecture)
    weights = whole.state_dict()
    own = {name.split(".", 1)[1]: value for name, value in weights.items()}
    for side in (made.sensor, made.aggregator):
        assert side is not None
        side.load_state_dict({name: own[name] for name in side.state_dict() if name in own}, strict=False)
    made = made.to(next(whole.parameters()).device).eval()
    assert made.sensor is not None
    assert made.aggregator is not None
    reduce, recover = made.sensor.units()[-1], made.aggregator.units()[0]
    _project(reduce, recover, features(whole, architecture.split, calibration))
    if reduce.quantised:
        found = Quantisation.covering(*_reduced(made, reduce, calibration).aminmax())
        reduce.set_quantisation(found)
        recover.set_quantisation(found)
    return made


def _project(reduce: PlainUnit, recover: PlainUnit, seen: Tensor) -> None:
    """Fill both with the principal components of features (n, channels, size, size)."""
    (to_link, normed), (to_back, restored) = _layers(reduce, "reduce"), _layers(recover, "fuse")
    samples = seen.movedim(1, -1).flatten(0, 2).double()
    mean = samples.mean(0)
    variances, vectors = torch.linalg.eigh(torch.cov((samples - mean).T, correction=0).reshape(len(mean), -1))
    kept = min(to_link.out_channels, len(mean))  # a link may have more channels than there are, in words of four
    components, spread = vectors.flip(1)[:, :kept].T, variances.flip(0)[:kept].clamp(min=0)
    for conv in (to_link, to_back):
        conv.weight.zero_()
    to_link.weight[:kept, :, 0, 0] = components.float()
    moments = normed.running_mean, normed.running_var, restored.running_mean, restored.running_var
    mean_on_link, variance_on_link, mean_behind, variance_behind = (m for m in moments if m is not None)
    mean_on_link[:kept] = (components @ mean).float()
    variance_on_link[:kept] = spread.float()
    back = components.T * torch.sqrt(spread + normed.eps)
    to_back.weight[:, :kept, 0, 0] = back.float()
    mean_behind.zero_()
    variance_behind.copy_(back.square().sum(1).float())
    restored.weight.copy_(torch.sqrt(variance_behind + restored.eps))
    restored.bias.copy_(mean.float())


def _layers(unit: PlainUnit, name: str) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """A convolution and the batch norm behind it."""
    conv, norm = unit.convs[name], unit.norms[name]
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    return conv, norm


def _reduced(made: SubNetwork, reduce: PlainUnit, calibration: Tensor) -> Tensor:
    """What stands ahead of the link's quantisation, (n, link channels, size, size)."""
    assert made.sensor is not None
    x = calibration.flatten(0, 1).to(next(made.parameters()).device)
    for unit in made.sensor.units()[:-1]:
        x = unit(x)
    conv, norm = _layers(reduce, "reduce")
    found: Tensor = norm(conv(x))
    return found
