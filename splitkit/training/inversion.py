"""How much of the image a link tensor gives away: a decoder that is trained to draw the image from it.

A decoder found by a few hundred steps is a lower bound on what somebody with more time would see. Peak signal-to-noise
ratio and structural similarity (Wang et al., IEEE TIP 2004) are of images in [0, 1], those of pictures that the
decoder was not trained on.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from splitkit.training.chance import INVERSION, generator_for
from splitkit.training.threads import torch_threads

WIDTH = 32
"""Channels of the decoder."""

FEWEST_PIXELS = 4
"""Side at which a decoder of class scores begins."""

WINDOW, SIGMA = 11, 1.5
"""Of the Gaussian in which images are compared, as its authors chose them; smaller images have a smaller window."""


class Decoder(nn.Module):
    """Link tensors, float32 (n, channels, h, w) or (n, classes), to images, float32 (n, channels, size, size)."""

    def __init__(self, link: tuple[int, ...], image: tuple[int, ...]) -> None:
        """`link` and `image`: shapes of one of each."""
        super().__init__()
        channels, size = image[0], image[-1]
        self.size = size
        if len(link) == 1:
            first = FEWEST_PIXELS
            self.enter: nn.Module = nn.Sequential(
                nn.Linear(link[0], WIDTH * first * first), nn.Unflatten(1, (WIDTH, first, first))
            )
        else:
            first = link[-1]
            self.enter = nn.Conv2d(link[0], WIDTH, 3, padding=1)
        layers: list[nn.Module] = [nn.ReLU(), nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU()]
        while first < size:
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU()]
            first *= 2
        self.body = nn.Sequential(*layers)
        self.leave = nn.Conv2d(WIDTH, channels, 3, padding=1)

    def forward(self, link: Tensor) -> Tensor:
        """Draw the images."""
        drawn: Tensor = self.leave(self.body(self.enter(link)))
        if drawn.shape[-1] != self.size:
            drawn = F.interpolate(drawn, size=(self.size, self.size), mode="bilinear", align_corners=False)
        return drawn.sigmoid()


def train_decoder(links: Tensor, images: Tensor, steps: int, seed: int = 0, batch: int = 64) -> Decoder:
    """A decoder that has seen these pairs.

    Args:
        links: float32 (n, ...), scaled to about one.
        images: uint8 (n, channels, size, size) that they were made of.
    """
    chance = generator_for(seed, INVERSION, 0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        decoder = Decoder(tuple(links.shape[1:]), tuple(images.shape[1:]))
    optimiser = torch.optim.AdamW(decoder.parameters(), lr=2e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    with torch_threads(1 if images[0].numel() * batch < 1 << 18 else torch.get_num_threads()):
        for _ in range(steps):
            chosen = torch.randint(len(images), (batch,), generator=chance)
            loss = F.mse_loss(decoder(links[chosen]), images[chosen].float() / 255)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    return decoder.eval()


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike images are to those they were made of: means over images.

    Attributes:
        psnr_db: peak signal-to-noise ratio; infinite where they are equal.
        ssim: structural similarity, 1 where they are equal.
    """

    psnr_db: float
    ssim: float


@torch.no_grad()
def likeness(found: Tensor, images: Tensor) -> Likeness:
    """Of images, float32 (n, channels, size, size) in [0, 1]."""
    errors = (found - images).square().flatten(1).mean(1)
    psnr = -10 * torch.log10(errors)
    return Likeness(float(psnr.mean()), float(_similarity(found, images).mean()))


def _similarity(x: Tensor, y: Tensor) -> Tensor:
    """Structural similarity of every window that lies within the images."""
    window = min(WINDOW, x.shape[-1])
    at = torch.arange(window, dtype=x.dtype) - (window - 1) / 2
    line = torch.exp(-at.square() / (2 * SIGMA**2))
    line = line / line.sum()
    kernel = torch.outer(line, line)[None, None]

    def mean(values: Tensor) -> Tensor:
        return F.conv2d(values.flatten(0, 1)[:, None], kernel)

    mean_x, mean_y = mean(x), mean(y)
    variance_x, variance_y = mean(x * x) - mean_x.square(), mean(y * y) - mean_y.square()
    covariance = mean(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    return (
        (2 * mean_x * mean_y + c1)
        * (2 * covariance + c2)
        / ((mean_x.square() + mean_y.square() + c1) * (variance_x + variance_y + c2))
    )
