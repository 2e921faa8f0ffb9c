"""From what a configuration says to a data set that fits a search space."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from splitkit.data import digits, folder, objects, shapes3d
from splitkit.data.dataset import Dataset
from splitkit.data.layout import EXPECTED
from splitkit.data.object_tree import kind_of_tree
from splitkit.embedded import EMBEDDED
from splitkit.errors import DataError
from splitkit.labels import class_difference, listed
from splitkit.space.search_space import InputSpace, SearchSpace


def load_dataset(
    source: str | Path,
    space: SearchSpace,
    seed: int = 0,
    *,
    search_images: int | None = None,
    trained_on: Sequence[str] | None = None,
    **reading: Any,
) -> Dataset:
    """`digits`, `shapes3d`, a picture folder, or a tree of objects that several cameras see.

    Args:
        source: one of the words, or a directory: pictures as `layout` says, or 3D models or pictures of several views
            as `object_tree` does.
        space: what is captured (channels, size, views) and how many classes there are.
        seed: draws the search slice of the training set.
        search_images: at most so many images are held back from training for the search to score with; a fifth of
            an embedded set, or a tenth of a folder's training images up to 5,000, by default.
        trained_on: classes that the data set must have, in this order.
        reading: how a folder is read and its images are varied, as `folder.load` and `objects.load` take it; None is
            as good as left out.

    Raises:
        DataError: no such data set, a malformed one, or other classes than `trained_on` or the space has.
    """
    if str(source) in EMBEDDED:
        load = digits.load if str(source) == "digits" else shapes3d.load
        dataset = load(space.input, seed, search_images=search_images)
    elif not Path(source).is_dir():
        words = " or ".join(f"'{name}'" for name in EMBEDDED)
        raise DataError(f"{source}: no such folder", f"give {words}, or a folder; {EXPECTED}")
    else:
        dataset = _folder(Path(source), space.input, seed, {"search_images": search_images, **reading})
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


FOR_PICTURES, FOR_OBJECTS = ("full_scale", "index", "memory_bytes"), ("cameras", "up", "renders")
"""Ways of reading that only the one or the other kind of folder has."""

GIVEN_ALWAYS = ("index", "renders")
"""Where things are kept, if there are any to keep."""


def _folder(root: Path, space: InputSpace, seed: int, reading: dict[str, Any]) -> Dataset:
    """Raises DataError: something is stated that the folder's kind does not have."""
    kind = kind_of_tree(root)
    others = FOR_PICTURES if kind else FOR_OBJECTS
    for name in others:
        if reading.pop(name, None) is not None and name not in GIVEN_ALWAYS:
            holds = "objects that several cameras see" if kind else "pictures"
            raise DataError(f"{root}: holds {holds}: {name} means nothing there", f"leave {name} out of [data]")
    reading = {name: value for name, value in reading.items() if value is not None}
    return objects.load(root, kind, space, seed, **reading) if kind else folder.load(root, space, seed, **reading)
