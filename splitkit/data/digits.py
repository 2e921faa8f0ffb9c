"""Handwritten digits that come with scikit-learn: no download, small enough to train on anywhere."""

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor

from splitkit.data.augment import move_and_turn
from splitkit.data.dataset import Dataset, Samples, carve_search_slice
from splitkit.data.views import crop_views, resize
from splitkit.errors import DataError
from splitkit.space.search_space import InputSpace

TEST_FRACTION = 0.2
_TEST_SEED = 20_240_601
"""The test set is the same for everyone, whatever seed the rest of a run uses."""


def load(space: InputSpace, seed: int = 0, search_fraction: float = 0.2, search_images: int | None = None) -> Dataset:
    """1,797 digits of 8x8 pixels and 17 grey levels, rendered to the captured size.

    A fixed, stratified fifth is the test set; of the rest `search_fraction`, at most `search_images`, is the search
    slice.

    Raises:
        DataError: the space wants colour.
    """
    if space.channels != 1:
        raise DataError(f"digits: images are grey, the space's input.channels is {space.channels}", "use space 'tiny'")
    pixels, labels = load_digits(return_X_y=True)
    grey = (pixels.reshape(-1, 8, 8) * (255 / 16)).round().astype(np.uint8)
    train_indices, test_indices = train_test_split(
        np.arange(len(labels)), test_size=TEST_FRACTION, stratify=labels, random_state=_TEST_SEED
    )
    render = partial(_render, torch.from_numpy(grey)[:, None], torch.from_numpy(labels.astype(np.int64)), space)
    whole = render(train_indices)
    train, search = carve_search_slice(whole.labels, search_fraction, seed, search_images)
    return Dataset(
        name="digits",
        description=(
            f"scikit-learn's handwritten digits (UCI), captured at {space.size}x{space.size}: a bilinear rendering of "
            "the 8x8 originals"
        ),
        classes=tuple("0123456789"),
        train=whole.take(train),
        search=whole.take(search),
        augmentation=move_and_turn,
        open_test=lambda: (render(test_indices), ()),
    )


def _render(grey: Tensor, labels: Tensor, space: InputSpace, indices: NDArray[np.int64]) -> Samples:
    chosen = torch.from_numpy(indices)
    return Samples(crop_views(resize(grey[chosen], space.size), space.views), labels[chosen])
