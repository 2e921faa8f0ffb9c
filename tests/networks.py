"""Sub-networks with telling outputs and images to feed them, for tests of export and runtime."""

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from splitkit.space import Architecture, Sampler, SearchSpace, load_space
from splitkit.supernet import SubNetwork, Supernet, extract
from tests.space.strategies import with_views


def space_of(name: str = "tiny", views: int = 1, *, masked: bool = False) -> SearchSpace:
    """A preset for another number of sensors, whose views may lack or not."""
    return with_views(load_space(name), views, masked=masked)


@cache
def digit_images(views: int = 1, channels: int = 1, frames: int = 64) -> NDArray[np.uint8]:
    """Real handwritten digits, uint8 (frames, views, channels, 32, 32); each view and channel is shifted a little."""
    small = torch.tensor(load_digits().images[:frames], dtype=torch.float32)[:, None] * 15.9
    image = torch.nn.functional.interpolate(small, size=(32, 32), mode="bilinear").round().to(torch.uint8)
    shifted = [image.roll((view, channel), (2, 3)) for view in range(views) for channel in range(channels)]
    return torch.cat(shifted, dim=1).reshape(frames, views, channels, 32, 32).numpy()


def with_link(space: SearchSpace, architecture: Architecture, split: int, dtype: str) -> Architecture:
    """The same network cut after `split` units, with another link dtype."""
    fields = {name: getattr(architecture, name) for name in Architecture.__dataclass_fields__}
    fuse = split or architecture.units // 2
    return space.canonical(Architecture(**fields | {"split": split, "fuse": fuse, "link_dtype": dtype}))


def random_architectures(space: SearchSpace, n: int, seed: int) -> list[Architecture]:
    """Uniformly sampled architectures."""
    sampler = Sampler(space, np.random.default_rng(seed))
    return [sampler.uniform() for _ in range(n)]


def subnetwork(space: SearchSpace, architecture: Architecture, seed: int = 0) -> SubNetwork:
    """Untrained but calibrated: batch norms see the images, and biases and gains are random."""
    supernet = Supernet(space, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in supernet.parameters():
            if parameter.ndim == 1 or not parameter.any():  # those too that begin at zero
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    images = digit_images(space.views, space.input.channels)
    return extract(supernet, architecture, torch.from_numpy(images))
