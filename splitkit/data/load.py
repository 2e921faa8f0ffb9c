"""From what a configuration says to a data set that fits a search space."""

from pathlib import Path
from typing import Any

from splitkit.data import digits, folder
from splitkit.data.dataset import Dataset
from splitkit.data.layout import EXPECTED
from splitkit.errors import DataError
from splitkit.space.search_space import SearchSpace


def load_dataset(
    source: str | Path, space: SearchSpace, seed: int = 0, *, search_images: int | None = None, **reading: Any
) -> Dataset:
    """`digits`, or a picture folder.

    Args:
        source: the word `digits`, or a directory.
        space: what is captured (channels, size, views) and how many classes there are.
        seed: draws the search slice of the training set.
        search_images: at most so many images are held back from training for the search to score with; a fifth of
            digits, or a tenth of a folder's training images up to 5,000, by default.
        reading: how a folder is read and its images are varied, as `folder.load` takes it.

    Raises:
        DataError: no such data set, a malformed one, or another number of classes than the space's.
    """
    if str(source) == "digits":
        dataset = digits.load(space.input, seed, search_images=search_images)
    elif not Path(source).is_dir():
        raise DataError(f"{source}: no such folder", f"'digits', or a folder: {EXPECTED}")
    else:
        dataset = folder.load(Path(source), space.input, seed, search_images=search_images, **reading)
    if len(dataset.classes) != space.head.classes:
        raise DataError(
            f"{source}: {len(dataset.classes)} classes, space {space.name!r} has head.classes = {space.head.classes}"
        )
    return dataset
