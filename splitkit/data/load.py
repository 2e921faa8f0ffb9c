"""From what a configuration says to a data set that fits a search space."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from splitkit.data import digits, folder
from splitkit.data.dataset import Dataset
from splitkit.data.layout import EXPECTED
from splitkit.errors import DataError
from splitkit.labels import class_difference, listed
from splitkit.space.search_space import SearchSpace


def load_dataset(
    source: str | Path,
    space: SearchSpace,
    seed: int = 0,
    *,
    search_images: int | None = None,
    trained_on: Sequence[str] | None = None,
    **reading: Any,
) -> Dataset:
    """`digits`, or a picture folder.

    Args:
        source: the word `digits`, or a directory.
        space: what is captured (channels, size, views) and how many classes there are.
        seed: draws the search slice of the training set.
        search_images: at most so many images are held back from training for the search to score with; a fifth of
            digits, or a tenth of a folder's training images up to 5,000, by default.
        trained_on: classes that the data set must have, in this order.
        reading: how a folder is read and its images are varied, as `folder.load` takes it.

    Raises:
        DataError: no such data set, a malformed one, or other classes than `trained_on` or the space has.
    """
    if str(source) == "digits":
        dataset = digits.load(space.input, seed, search_images=search_images)
    elif not Path(source).is_dir():
        raise DataError(f"{source}: no such folder", f"give 'digits', or a folder; {EXPECTED}")
    else:
        dataset = folder.load(Path(source), space.input, seed, search_images=search_images, **reading)
    if trained_on is not None and (difference := class_difference(trained_on, dataset.classes)):
        raise DataError(
            f"{source}: not the classes that were trained on: {difference}", "name them as before, or train another run"
        )
    if len(dataset.classes) != space.head.classes:
        raise DataError(
            f"{source}: {len(dataset.classes)} classes ({listed(dataset.classes)}), space {space.name!r} has "
            f"head.classes = {space.head.classes}",
            "`splitkit init --data` writes a space that fits",
        )
    return dataset
