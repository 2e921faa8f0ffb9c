"""Initial weights. Every convolution but squeeze-excite's is followed by a batch norm."""

from math import sqrt

import torch
from torch import nn

from splitkit.supernet.elastic import ElasticConv, ElasticLinear


def initialise_convolution(layer: ElasticConv) -> None:
    """Normal with variance 2 / fan-out: keeps the gradient's variance through a rectifier (He et al., ICCV 2015)."""
    window = layer.weight.shape[2] * layer.weight.shape[3]
    fan_out = window * (1 if layer.extent.depthwise else layer.weight.shape[0])
    nn.init.normal_(layer.weight, std=sqrt(2 / fan_out))


def initialise_linear(layer: ElasticLinear) -> None:
    """Normal with variance 1 / fan-in."""
    nn.init.normal_(layer.weight, std=1 / sqrt(layer.weight.shape[1]))


def initialise_splitting_pair(reduce: ElasticConv, fuse: ElasticConv) -> None:
    """Keep variance through the bottleneck in both directions (the aim of SplitNets, CVPR 2022, section 3).

    Let c channels be reduced to r on each of V sensors and V r be fused into c, no activation between: y = R x,
    z = F [y_1 .. y_V]. With inputs of unit variance per channel and weights of variance s_R^2, s_F^2:

        forward   Var y = c s_R^2 = 1             ->  s_R^2 = 1 / c
                  Var z = V r s_F^2 Var y = 1     ->  s_F^2 = 1 / (V r)
        backward  Var dy = c s_F^2 Var dz = c / (V r)
                  Var dx = r s_R^2 Var dy = (r / c) c / (V r) = 1 / V

    so taking the fan-in of each layer (gain 1) preserves both, where the usual choice goes wrong: with the
    rectifier's gain 2 the pair quadruples the variance, and with the fan-out of both the link carries c / r times the
    variance of its input. A gradient of 1 / V at each of V sensors is the whole gradient, shared.

    That holds on average over random weights; a product of two Gaussian matrices of rank r has a wide spectrum, and
    few directions get most of the gradient. So both are drawn with orthonormal rows or columns, of the same mean
    square: the pair is then a scaled isometry on its r-dimensional image. Each is followed by a batch norm, which
    divides by the standard deviation that slicing to fewer channels leaves; dividing y by s_R sqrt(c) and z by
    s_F sqrt(V r) makes the same product 1 / V for every ratio and width, so the property survives elasticity.
    """
    with torch.no_grad():
        for layer in (reduce, fuse):
            outputs, inputs = layer.weight.shape[:2]
            # Mean square 1 / inputs: orthonormal columns (outputs > inputs) have mean square 1 / outputs.
            nn.init.orthogonal_(layer.weight, gain=sqrt(max(1.0, outputs / inputs)))
