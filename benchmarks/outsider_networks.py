"""Ten convolutional and attention architectures that are not in splitkit's search spaces, built in torch.

Each is a well-known design reduced to its essentials, in a size of its own (`full`) and in a small one for tests. Batch
normalisation and weights are random but scaled so that outputs neither vanish nor explode: a comparison of zeros
proves nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx
import torch
import torch.nn.functional as F
from random_weights import exported
from torch import Tensor, nn


@dataclass(frozen=True)
class Size:
    """Image side in pixels, width of the first stage in channels, blocks of every stage."""

    pixels: int
    width: int
    depths: tuple[int, ...]


def conv_bn(i: int, o: int, k: int = 1, s: int = 1, groups: int = 1, dilation: int = 1) -> list[nn.Module]:
    padding = dilation * (k // 2)
    return [nn.Conv2d(i, o, k, s, padding, dilation, groups, bias=False), nn.BatchNorm2d(o)]


def conv_relu(i: int, o: int, k: int = 1, s: int = 1, groups: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(*conv_bn(i, o, k, s, groups, dilation), nn.ReLU())


class Residual(nn.Module):
    """relu(branch(x) + shortcut(x)), the shortcut projected where shapes differ (He et al. 2015)."""

    def __init__(self, branch: nn.Module, i: int, o: int, s: int) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = nn.Sequential(*conv_bn(i, o, 1, s)) if s > 1 or i != o else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.branch(x) + self.shortcut(x))


def head(channels: int, classes: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]


def residual(size: Size) -> nn.Module:
    """ResNet-18's layout: pairs of 3x3 convolutions."""
    c = size.width
    layers: list[nn.Module] = [conv_relu(3, c, 7, 2), nn.MaxPool2d(3, 2, 1)]
    for stage, depth in enumerate(size.depths):
        for block in range(depth):
            s, o = (2, 2 * c) if stage and not block else (1, c)
            layers.append(Residual(nn.Sequential(conv_relu(c, o, 3, s), *conv_bn(o, o, 3)), c, o, s))
            c = o
    return nn.Sequential(*layers, *head(c, 100))


def bottleneck(size: Size) -> nn.Module:
    """ResNet-50's layout: 1x1 down, 3x3, 1x1 up."""
    c, inner = size.width, size.width
    layers: list[nn.Module] = [conv_relu(3, c, 7, 2), nn.MaxPool2d(3, 2, 1)]
    for stage, depth in enumerate(size.depths):
        inner *= 2 if stage else 1
        for block in range(depth):
            s, o = 2 if stage and not block else 1, 4 * inner
            branch = nn.Sequential(conv_relu(c, inner), conv_relu(inner, inner, 3, s), *conv_bn(inner, o))
            layers.append(Residual(branch, c, o, s))
            c = o
    return nn.Sequential(*layers, *head(c, 100))


class DenseLayer(nn.Module):
    """Concatenates what it computes to what it reads (Huang et al. 2017)."""

    def __init__(self, i: int, growth: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.BatchNorm2d(i), nn.ReLU(), conv_relu(i, 4 * growth), nn.Conv2d(4 * growth, growth, 3, 1, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.branch(x)], 1)


def dense(size: Size) -> nn.Module:
    """DenseNet: blocks of densely connected layers between transitions that halve channels and image."""
    growth, c = size.width // 2, size.width
    layers: list[nn.Module] = [conv_relu(3, c, 7, 2), nn.MaxPool2d(3, 2, 1)]
    for stage, depth in enumerate(size.depths):
        if stage:
            layers += [nn.BatchNorm2d(c), nn.ReLU(), nn.Conv2d(c, c // 2, 1, bias=False), nn.AvgPool2d(2)]
            c //= 2
        for _ in range(depth):
            layers.append(DenseLayer(c, growth))
            c += growth
    return nn.Sequential(*layers, nn.BatchNorm2d(c), nn.ReLU(), *head(c, 100))


class InceptionBlock(nn.Module):
    """Four parallel branches of awkward widths, concatenated (Szegedy et al. 2015)."""

    def __init__(self, i: int, w: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                conv_relu(i, w),
                nn.Sequential(conv_relu(i, 3 * w // 4), conv_relu(3 * w // 4, 5 * w // 4, 3)),
                nn.Sequential(conv_relu(i, w // 4), conv_relu(w // 4, w // 2, 5)),
                nn.Sequential(nn.MaxPool2d(3, 1, 1), conv_relu(i, w // 2)),
            ]
        )
        self.channels = w + 5 * w // 4 + 2 * (w // 2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


def inception(size: Size) -> nn.Module:
    """GoogLeNet's blocks."""
    w = size.width
    layers: list[nn.Module] = [conv_relu(3, w, 7, 2), nn.MaxPool2d(3, 2, 1), conv_relu(w, w), conv_relu(w, 3 * w, 3)]
    c = 3 * w
    for depth in size.depths:
        layers.append(nn.MaxPool2d(3, 2, 1))
        for _ in range(depth):
            block = InceptionBlock(c, w)
            layers.append(block)
            c, w = block.channels, w + 4
    return nn.Sequential(*layers, *head(c, 100))


class ShuffleUnit(nn.Module):
    """Half of the channels pass, half are convolved, then channels are shuffled (ShuffleNet V2, Ma et al. 2018)."""

    def __init__(self, i: int, o: int, s: int) -> None:
        super().__init__()
        half = o // 2
        source = i if s > 1 else half
        self.passed = nn.Sequential(*conv_bn(i, i, 3, s, i), conv_relu(i, half)) if s > 1 else None
        self.branch = nn.Sequential(conv_relu(source, half), *conv_bn(half, half, 3, s, half), conv_relu(half, half))

    def forward(self, x: Tensor) -> Tensor:
        if self.passed is not None:
            y = torch.cat([self.passed(x), self.branch(x)], 1)
        else:
            left, right = x.chunk(2, 1)
            y = torch.cat([left, self.branch(right)], 1)
        n, c, h, w = y.shape
        return y.reshape(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


def shuffle(size: Size) -> nn.Module:
    """ShuffleNet V2."""
    c = 24
    layers: list[nn.Module] = [conv_relu(3, c, 3, 2), nn.MaxPool2d(3, 2, 1)]
    for stage, depth in enumerate(size.depths):
        o = size.width * 2**stage
        for block in range(depth):
            layers.append(ShuffleUnit(c, o, 1 if block else 2))
            c = o
    return nn.Sequential(*layers, conv_relu(c, 4 * size.width), *head(4 * size.width, 100))


class Attention(nn.Module):
    """Multi-head self-attention over tokens, written out."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, width = x.shape
        q, k, v = self.qkv(x).reshape(n, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ k.transpose(-2, -1) * (width // self.heads) ** -0.5).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).reshape(n, tokens, width))


class TransformerBlock(nn.Module):
    """Pre-norm attention and a two-layer perceptron with GELU."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """Patches of 16 (8 for images under 100 pixels), a class token, learnt positions (Dosovitskiy et al. 2021)."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        patch, width = 16 if size.pixels >= 100 else 8, size.width
        self.embed = nn.Conv2d(3, width, patch, patch)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.position = nn.Parameter(torch.randn(1, (size.pixels // patch) ** 2 + 1, width))
        self.blocks = nn.Sequential(*(TransformerBlock(width, width // 32) for _ in range(size.depths[0])))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 100)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        return self.head(self.norm(self.blocks(x))[:, 0])


class Fire(nn.Module):
    """1x1 squeeze, then 1x1 and 3x3 side by side (SqueezeNet, Iandola et al. 2016)."""

    def __init__(self, i: int, squeeze: int, o: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(i, squeeze, 1)
        self.small, self.large = nn.Conv2d(squeeze, o // 2, 1), nn.Conv2d(squeeze, o // 2, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x))
        return torch.cat([F.relu(self.small(x)), F.relu(self.large(x))], 1)


def fire(size: Size) -> nn.Module:
    """SqueezeNet 1.1: no batch norm, pools that round up, convolutions without padding, a convolutional head."""
    c = size.width
    layers: list[nn.Module] = [nn.Conv2d(3, c, 3, 2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True)]
    for stage, depth in enumerate(size.depths):
        if stage:
            layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
        for _ in range(depth):
            layers.append(Fire(c, size.width // 4 * (stage + 1), 2 * size.width * (stage + 1)))
            c = 2 * size.width * (stage + 1)
    return nn.Sequential(*layers, nn.Conv2d(c, 100, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


class PyramidPooling(nn.Module):
    """Atrous spatial pyramid pooling: rates side by side and the image's mean (DeepLab v3, Chen et al. 2017)."""

    def __init__(self, i: int, o: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList([conv_relu(i, o), *(conv_relu(i, o, 3, dilation=r) for r in rates)])
        self.mean = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(i, o, 1), nn.ReLU())
        self.project = conv_relu((len(rates) + 2) * o, o)

    def forward(self, x: Tensor) -> Tensor:
        mean = F.interpolate(self.mean(x), size=x.shape[2:], mode="bilinear", align_corners=False)
        return self.project(torch.cat([*(branch(x) for branch in self.branches), mean], 1))


class DilatedSegmenter(nn.Module):
    """A backbone of stride 8 with dilated last stage, pyramid pooling, scores upsampled to the image."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        w = size.width
        layers: list[nn.Module] = [conv_relu(3, w, 3, 2)]
        for stage, depth in enumerate(size.depths):
            o, s, dilation = (w, 2, 1) if stage == 0 else (2 * w, 2, 1) if stage == 1 else (4 * w, 1, 2)
            c = w if stage < 2 else 2 * w
            layers.append(conv_relu(c, o, 3, s, dilation=dilation))
            layers += [conv_relu(o, o, 3, dilation=dilation) for _ in range(depth - 1)]
        self.backbone = nn.Sequential(*layers)
        self.pool = PyramidPooling(4 * w, 2 * w, (2, 4, 6))
        self.scores = nn.Conv2d(2 * w, 21, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.scores(self.pool(self.backbone(x)))
        return F.interpolate(y, size=x.shape[2:], mode="bilinear", align_corners=False)


class UNet(nn.Module):
    """Encoder, decoder, concatenated skips; transposed convolution up once, nearest upsampling elsewhere."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        widths = [size.width * 2**i for i in range(size.depths[0] + 1)]
        self.down = nn.ModuleList(
            nn.Sequential(conv_relu(i, o, 3), conv_relu(o, o, 3)) for i, o in zip([3, *widths], widths, strict=False)
        )
        self.first_up = nn.ConvTranspose2d(widths[-1], widths[-2], 2, 2)
        ups = list(zip(widths[::-1], widths[-2::-1], strict=False))
        self.up = nn.ModuleList(
            nn.Sequential(conv_relu((2 * o) if n == 0 else i + o, o, 3), conv_relu(o, o, 3))
            for n, (i, o) in enumerate(ups)
        )
        self.scores = nn.Conv2d(widths[0], 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for i, stage in enumerate(self.down):
            x = stage(F.max_pool2d(x, 2) if i else x)
            skips.append(x)
        for i, stage in enumerate(self.up):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest") if i else self.first_up(x)
            x = stage(torch.cat([skips[-2 - i], x], 1))
        return self.scores(x)


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of an image."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNextBlock(nn.Module):
    """Depthwise 7x7, then a perceptron per pixel in channels-last order, scaled (Liu et al. 2022)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, 1, 3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.scale = nn.Parameter(torch.full((width,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(x).permute(0, 2, 3, 1)
        return x + (self.scale * self.mlp(self.norm(y))).permute(0, 3, 1, 2)


def convnext(size: Size) -> nn.Module:
    """ConvNeXt."""
    c = size.width
    layers: list[nn.Module] = [nn.Conv2d(3, c, 4, 4), ChannelNorm(c)]
    for stage, depth in enumerate(size.depths):
        if stage:
            layers += [ChannelNorm(c), nn.Conv2d(c, 2 * c, 2, 2)]
            c *= 2
        layers += [ConvNextBlock(c) for _ in range(depth)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(c), nn.Linear(c, 100))


@dataclass(frozen=True)
class Outsider:
    """One architecture in two sizes."""

    build: Callable[[Size], nn.Module]
    full: Size
    small: Size


OUTSIDERS: dict[str, Outsider] = {
    "residual": Outsider(residual, Size(128, 64, (2, 2, 2, 2)), Size(32, 12, (1, 1))),
    "bottleneck": Outsider(bottleneck, Size(128, 64, (3, 4, 6, 3)), Size(32, 8, (1, 1))),
    "dense": Outsider(dense, Size(128, 64, (4, 6, 8)), Size(32, 12, (2, 2))),
    "inception": Outsider(inception, Size(128, 64, (2, 5, 2)), Size(32, 12, (1, 1))),
    "shuffle": Outsider(shuffle, Size(224, 116, (4, 8, 4)), Size(32, 16, (2, 2))),
    "vision-transformer": Outsider(VisionTransformer, Size(224, 192, (6,)), Size(32, 64, (1,))),
    "fire": Outsider(fire, Size(224, 64, (2, 2, 4)), Size(41, 16, (1, 1))),
    "dilated": Outsider(DilatedSegmenter, Size(128, 32, (2, 2, 2)), Size(32, 12, (1, 1, 1))),
    "u-net": Outsider(UNet, Size(96, 16, (3,)), Size(24, 6, (2,))),
    "convnext": Outsider(convnext, Size(128, 48, (2, 2, 4, 2)), Size(32, 16, (1, 1))),
}


def outsider(name: str, *, small: bool = False, seed: int = 0) -> onnx.ModelProto:
    """One of `OUTSIDERS` as ONNX through torch's exporter; batch 1, input `image` (1, 3, pixels, pixels) float32."""
    torch.manual_seed(seed)
    chosen = OUTSIDERS[name]
    size = chosen.small if small else chosen.full
    return exported(chosen.build(size), size.pixels)
