"""From shared weights to a network of its own."""

import torch
from torch import Tensor, nn

from splitkit.sides import SIDES
from splitkit.space.architecture import Architecture
from splitkit.space.network import describe
from splitkit.supernet.interpret import layer_name
from splitkit.supernet.sharing import weights_of
from splitkit.supernet.statistics import Calibration
from splitkit.supernet.subnetwork import PlainUnit, SubNetwork
from splitkit.supernet.supernet import ElasticUnit, Supernet, calibrate


def extract(supernet: Supernet, architecture: Architecture, calibration_images: Tensor) -> SubNetwork:
    """A sub-network with copies of its share of the weights, equal to the supernet run with the same calibration.

    Args:
        supernet: left as it is.
        architecture: canonical member of its space.
        calibration_images: uint8 (n, views, channels, size, size), from the training set: they set the batch norms'
            statistics and the link's range.

    Returns:
        In evaluation mode, batch norms not folded, on the supernet's device.

    Raises:
        ConfigError: the architecture does not belong to the supernet's space.
    """
    supernet.space.check(architecture)
    return extract_calibrated(supernet, architecture, calibrate(supernet, architecture, calibration_images))


@torch.no_grad()
def extract_calibrated(supernet: Supernet, architecture: Architecture, calibration: Calibration) -> SubNetwork:
    """`extract` with statistics that are already known."""
    subnetwork = SubNetwork(supernet.space, architecture)
    network = describe(supernet.space, architecture)
    for side in SIDES:
        chain = getattr(network, side)
        plain = getattr(subnetwork, side)
        for unit, (key, _) in zip(plain.units() if chain else [], weights_of(chain), strict=True):
            _fill(unit, supernet.side(side).unit(key), calibration)
    device = next(supernet.parameters()).device
    return subnetwork.to(device).eval()


def _fill(plain: PlainUnit, elastic: ElasticUnit, calibration: Calibration) -> None:
    for op in plain.operators:
        name = layer_name(op)
        if op.kind == "conv":
            layer, outputs, conv = elastic.conv(name), op.output.shape[1], plain.convs[name]
            assert isinstance(conv, nn.Conv2d)
            conv.weight.copy_(layer.sliced_weight(op))
            if layer.normed:
                mean, variance = calibration.moments[layer]
                norm = {"weight": layer.gain[:outputs], "bias": layer.bias[:outputs]}
                norm |= {"running_mean": mean, "running_var": variance}
                plain.norms[name].load_state_dict(norm, strict=False)
            elif conv.bias is not None:
                conv.bias.copy_(layer.bias[:outputs])
        elif op.kind == "linear":
            weight, bias = elastic.linear(name).sliced(op)
            plain.linears[name].load_state_dict({"weight": weight, "bias": bias})
        elif (op.kind == "quantise" or op.kind == "dequantise") and calibration.link is not None:
            plain.set_quantisation(calibration.link)
