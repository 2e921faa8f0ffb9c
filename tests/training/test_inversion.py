"""Drawing images from link tensors, and saying how alike they are."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from splitkit.training.inversion import Decoder, likeness, train_decoder


@pytest.mark.parametrize(("link", "image"), [((4, 8, 8), (1, 32, 32)), ((10,), (3, 24, 24)), ((8, 5, 5), (1, 20, 20))])
def test_a_decoder_draws_images_of_the_captured_size(link: tuple[int, ...], image: tuple[int, ...]) -> None:
    drawn = Decoder(link, image)(torch.randn(2, *link)).detach()
    assert drawn.shape == (2, *image)
    assert 0 <= float(drawn.min()) <= float(drawn.max()) <= 1


def test_equal_images_are_as_alike_as_can_be() -> None:
    images = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    found = likeness(images, images)
    assert found.ssim == pytest.approx(1)
    assert found.psnr_db == float("inf")


def test_the_ratio_is_that_of_the_squared_error() -> None:
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert likeness(images + 0.1, images).psnr_db == pytest.approx(20, abs=1e-4)


def test_similarity_is_what_its_authors_wrote_down() -> None:
    """By scipy's Gaussian of the same window, away from the borders."""
    rng = np.random.default_rng(0)
    x = gaussian_filter(rng.random((40, 40)), 1.0)
    y = np.clip(0.7 * x + 0.1 * rng.random((40, 40)), 0, 1)

    def mean(values: np.ndarray) -> np.ndarray:
        return gaussian_filter(values, 1.5, radius=5)[5:-5, 5:-5]  # type: ignore[no-any-return]

    mx, my = mean(x), mean(y)
    vx, vy, c = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    expected = ((2 * mx * my + 1e-4) * (2 * c + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))).mean()
    given = [torch.from_numpy(values).float()[None, None] for values in (x, y)]
    assert 0.1 < expected < 0.99
    assert likeness(*given).ssim == pytest.approx(expected, abs=1e-4)


def test_what_holds_more_of_an_image_is_drawn_better() -> None:
    generator = torch.Generator().manual_seed(3)
    small = torch.rand(400, 1, 8, 8, generator=generator)
    images = (torch.nn.functional.interpolate(small, size=16, mode="bilinear") * 255).round().to(torch.uint8)
    held = images[300:].float() / 255
    found = {}
    for name, links in {"half": small, "average": small.mean((2, 3), keepdim=True).expand_as(small)}.items():
        decoder = train_decoder(links[:300], images[:300], steps=150)
        with torch.no_grad():
            found[name] = likeness(decoder(links[300:]), held)
    assert found["half"].psnr_db > found["average"].psnr_db + 3
    assert found["half"].ssim > found["average"].ssim + 0.2


def test_a_decoder_is_the_same_for_the_same_seed() -> None:
    links = torch.rand(64, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    images = torch.randint(0, 256, (64, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    one, again, other = (train_decoder(links, images, 3, seed)(links) for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
