"""More kinds of networks that people bring, in torch: mobile ones, detectors, segmenters, sequences.

Each is a well-known design reduced to its essentials, with random weights (`random_weights`). MobileNetV2
has its own size; the others are small, for tests that cut them everywhere.
"""

from collections.abc import Callable
from itertools import pairwise

import onnx
import torch
import torch.nn.functional as F
from random_weights import exported, exported_for
from torch import Tensor, nn

from outsider_networks import TransformerBlock, conv_bn, conv_relu, head

PIXELS = 32


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise, 1x1 projection; a skip where shapes agree (Sandler et al. 2018).

    With `squeeze` also a gate of channels between the last two (Howard et al. 2019).
    """

    def __init__(
        self, i: int, o: int, s: int, expand: int, k: int = 3, activation: nn.Module | None = None,
        squeeze: nn.Module | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        wide, act = i * expand, activation or nn.ReLU6()
        first = [*conv_bn(i, wide), act] if expand > 1 else []
        gate = [Gate(wide, squeeze)] if squeeze is not None else []
        self.branch = nn.Sequential(*first, *conv_bn(wide, wide, k, s, wide), act, *gate, *conv_bn(wide, o))
        self.skip = s == 1 and i == o

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.branch(x)
        return x + y if self.skip else y


class Gate(nn.Module):
    """Squeeze and excitation (Hu et al. 2018)."""

    def __init__(self, channels: int, last: nn.Module) -> None:
        super().__init__()
        inner = max(4, channels // 4)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, inner, 1), nn.ReLU(), nn.Conv2d(inner, channels, 1), last
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)


def mobilenet_v2(pixels: int = 224) -> onnx.ModelProto:
    """MobileNetV2 at width 1, 1,000 classes, random weights."""
    torch.manual_seed(0)
    layers, c = [*conv_bn(3, 32, 3, 2), nn.ReLU6()], 32
    for expand, width, depth, stride in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    ):  # fmt: skip
        for i in range(depth):
            layers.append(InvertedResidual(c, width, stride if i == 0 else 1, expand))
            c = width
    last = [*conv_bn(c, 1280), nn.ReLU6(), *head(1280, 1000)]
    return exported(nn.Sequential(*layers, *last), pixels)


def vgg() -> nn.Module:
    """Plain 3x3 convolutions with biases, and two wide linear layers (Simonyan & Zisserman 2015)."""
    c = [3, 8, 16, 24]
    stages = [
        nn.Sequential(
            nn.Conv2d(i, o, 3, padding=1), nn.ReLU(), nn.Conv2d(o, o, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)
        )
        for i, o in pairwise(c)
    ]
    return nn.Sequential(*stages, nn.Flatten(), nn.Linear(24 * 16, 48), nn.ReLU(), nn.Linear(48, 10))


def mobilenet_v3() -> nn.Module:
    """Hard swish, and gates by hard sigmoid (Howard et al. 2019)."""
    act = nn.Hardswish()
    return nn.Sequential(
        *conv_bn(3, 8, 3, 2), act,
        InvertedResidual(8, 8, 1, 1, 3, nn.ReLU(), nn.Hardsigmoid()), InvertedResidual(8, 16, 2, 4, 5, act),
        InvertedResidual(16, 16, 1, 4, 5, act, nn.Hardsigmoid()), *conv_bn(16, 48), act, *head(48, 10),
    )  # fmt: skip


def efficientnet() -> nn.Module:
    """Swish, and gates by sigmoid (Tan & Le 2019)."""
    act = nn.SiLU()
    blocks = [InvertedResidual(8, 8, 1, 4, 3, act, nn.Sigmoid()), InvertedResidual(8, 16, 2, 6, 5, act, nn.Sigmoid())]
    return nn.Sequential(*conv_bn(3, 8, 3, 2), act, *blocks, *conv_bn(16, 32), act, *head(32, 10))


class Grouped(nn.Module):
    """relu(x + grouped bottleneck) (ResNeXt, Xie et al. 2017)."""

    def __init__(self, c: int, groups: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(conv_relu(c, c), conv_relu(c, c, 3, groups=groups), *conv_bn(c, c))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.branch(x))


def resnext() -> nn.Module:
    return nn.Sequential(conv_relu(3, 16, 3, 2), Grouped(16, 4), Grouped(16, 8), *head(16, 10))


class Ghost(nn.Module):
    """Half of the channels by a convolution, the other half by a cheap one from those (Han et al. 2020)."""

    def __init__(self, i: int, o: int, s: int = 1) -> None:
        super().__init__()
        self.first, self.cheap = conv_relu(i, o // 2, 1, s), conv_relu(o // 2, o // 2, 3, groups=o // 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        return torch.cat([y, self.cheap(y)], 1)


def ghost() -> nn.Module:
    return nn.Sequential(conv_relu(3, 8, 3, 2), Ghost(8, 16), Ghost(16, 24, 2), Ghost(24, 24), *head(24, 10))


class WindowBlock(nn.Module):
    """Attention within windows that are shifted by half of one (Swin, Liu et al. 2021)."""

    def __init__(self, width: int, window: int, shift: int) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.block = TransformerBlock(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        n, h, w, c = x.shape
        k = self.window
        y = torch.roll(x, (-self.shift, -self.shift), (1, 2))
        y = y.reshape(n, h // k, k, w // k, k, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, k * k, c)
        y = self.block(y).reshape(n, h // k, w // k, k, k, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, c)
        return torch.roll(y, (self.shift, self.shift), (1, 2))


class Windows(nn.Module):
    """Patches of 4, two blocks, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 4, 4)
        self.blocks = nn.Sequential(WindowBlock(16, 4, 0), WindowBlock(16, 4, 2))
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.embed(x).permute(0, 2, 3, 1))
        return self.head(self.norm(x).mean((1, 2)))


class MixerBlock(nn.Module):
    """Perceptrons over tokens, then over channels (Tolstikhin et al. 2021)."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.tokens = nn.Sequential(nn.Linear(tokens, 2 * tokens), nn.GELU(), nn.Linear(2 * tokens, tokens))
        self.channels = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norm2(x))


class Mixer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 8, 8)
        self.blocks = nn.Sequential(MixerBlock(16, 16), MixerBlock(16, 16))
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.embed(x).flatten(2).transpose(1, 2)).mean(1))


class Detector(nn.Module):
    """Boxes and classes at two scales, joined along the anchors (SSD, Liu et al. 2016)."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            [nn.Sequential(conv_relu(3, 12, 3, 2), conv_relu(12, 16, 3, 2)), conv_relu(16, 24, 3, 2)]
        )
        self.boxes = nn.ModuleList([nn.Conv2d(c, 3 * 4, 3, padding=1) for c in (16, 24)])
        self.classes = nn.ModuleList([nn.Conv2d(c, 3 * 5, 3, padding=1) for c in (16, 24)])

    def forward(self, x: Tensor) -> Tensor:
        found = []
        for stage, boxes, classes in zip(self.stages, self.boxes, self.classes, strict=True):
            x = stage(x)
            box = boxes(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, 4)
            found.append(torch.cat([box, classes(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, 5).sigmoid()], 2))
        return torch.cat(found, 1)


class Pyramid(nn.Module):
    """Features of two scales added from the coarse one up (FPN, Lin et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = conv_relu(3, 12, 3, 2), conv_relu(12, 24, 3, 2)
        self.across = nn.ModuleList([nn.Conv2d(c, 16, 1) for c in (12, 24)])
        self.smooth = nn.Conv2d(16, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.first(x)
        coarse = self.across[1](self.second(fine))
        return self.smooth(self.across[0](fine) + F.interpolate(coarse, scale_factor=2.0, mode="nearest"))


def autoencoder() -> nn.Module:
    """Down by strided convolutions, up by overlapping transposed ones."""
    return nn.Sequential(
        conv_relu(3, 8, 3, 2), conv_relu(8, 16, 3, 2),
        nn.ConvTranspose2d(16, 8, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(8, 3, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip


def faces() -> nn.Module:
    """Depthwise blocks with learnt slopes (MobileFaceNet, Chen et al. 2018)."""
    return nn.Sequential(
        *conv_bn(3, 12, 3, 2), nn.PReLU(12), *conv_bn(12, 12, 3, 2, 12), nn.PReLU(12), *conv_bn(12, 24), nn.PReLU(24),
        nn.Conv2d(24, 24, 8, groups=24), nn.Flatten(), nn.Linear(24, 16),
    )  # fmt: skip


def keywords() -> nn.Module:
    """Convolutions over time (1, features, frames)."""
    return nn.Sequential(
        nn.Conv1d(10, 16, 5, padding=2), nn.BatchNorm1d(16), nn.ReLU(), nn.Conv1d(16, 16, 3, dilation=2, padding=2),
        nn.ReLU(), nn.MaxPool1d(2), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(16, 12),
    )  # fmt: skip


class Recurrent(nn.Module):
    """A recurrent layer over (1, frames, features), and a linear one on its last step."""

    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU]) -> None:
        super().__init__()
        self.before = nn.Linear(6, 8)
        self.layer, self.head = kind(8, 12, batch_first=True), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.layer(F.relu(self.before(x)))
        return self.head(y[:, -1])


class Encoder(nn.Module):
    """Two layers of a transformer over (1, tokens, features), as torch has them."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.layers, self.head = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x).mean(1))


IMAGE, SOUND, SEQUENCE, TOKENS = (1, 3, PIXELS, PIXELS), (1, 10, 40), (1, 9, 6), (1, 9, 16)

STRANGERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "vgg": (vgg, IMAGE),
    "mobilenet-v3": (mobilenet_v3, IMAGE),
    "efficientnet": (efficientnet, IMAGE),
    "resnext": (resnext, IMAGE),
    "ghost": (ghost, IMAGE),
    "swin": (Windows, IMAGE),
    "mixer": (Mixer, IMAGE),
    "ssd": (Detector, IMAGE),
    "pyramid": (Pyramid, IMAGE),
    "autoencoder": (autoencoder, IMAGE),
    "faces": (faces, IMAGE),
    "keywords": (keywords, SOUND),
    "lstm": (lambda: Recurrent(nn.LSTM), SEQUENCE),
    "gru": (lambda: Recurrent(nn.GRU), SEQUENCE),
    "transformer": (Encoder, TOKENS),
}
"""What makes each, and the shape of its input."""


def stranger(name: str, seed: int = 0) -> onnx.ModelProto:
    """One of `STRANGERS` as ONNX through torch's exporter."""
    torch.manual_seed(seed)
    make, shape = STRANGERS[name]
    return exported_for(make(), torch.randn(shape))
