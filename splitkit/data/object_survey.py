"""What a tree of objects holds, looked at before anything is decided: classes, counts, views."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from splitkit.data.decode import UnreadableError, bombs_are_errors, opened, shown
from splitkit.data.object_tree import Kind, Object, find_objects
from splitkit.data.survey import has_colours
from splitkit.errors import DataError
from splitkit.labels import names_in_short

LOOKED_AT = 300
"""Pictures that are opened, evenly spread."""

USUAL_VIEWS, MOST_VIEWS = 4, 16
"""Views to begin with where objects have as many, and the most that a space takes."""

RENDERED = 64
"""Captured size to begin with for what is rendered."""


@dataclass(frozen=True, slots=True)
class ObjectSurvey:
    """What was seen.

    Attributes:
        kind: what the objects are.
        classes: names by label.
        counts, test_count: objects to train with by label, and all to test with.
        views: how many sensors to begin with.
        fewest_views: pictures of the object that has fewest; 0 for 3D models.
        channels: 1 if every picture looked at is grey, else 3; 1 for 3D models.
        sides: shorter sides in pixels: the smallest, the middle one, the largest.
        left_out: one line for each file that will not be used.
    """

    kind: Kind
    classes: tuple[str, ...]
    counts: tuple[int, ...]
    test_count: int
    views: int
    fewest_views: int
    channels: int
    sides: tuple[int, int, int]
    left_out: tuple[str, ...]

    def lines(self) -> list[str]:
        """What was seen, in words."""
        smallest, middle, largest = self.sides
        if self.kind == "meshes":
            seen = f"3D models: rendered to {self.views} views, cameras in a ring, grey"
        else:
            colour = "grey" if self.channels == 1 else "colour"
            seen = (
                f"pictures, {self.fewest_views} views of an object or more, of which {self.views} are used; {colour}, "
                f"shorter sides {smallest} to {largest} pixels, {middle} in the middle"
            )
        return [
            f"{len(self.classes)} classes: {names_in_short(self.classes)}",
            f"{sum(self.counts)} objects to train with, {min(self.counts)} to {max(self.counts)} a class; "
            f"{self.test_count} to test with",
            seen,
        ]


def survey_objects(root: Path, kind: Kind) -> ObjectSurvey:
    """Look at a tree of objects.

    Raises:
        DataError: it is incomplete (as `find_objects`), or none of its pictures can be read.
    """
    tree = find_objects(root, kind)
    counts = np.bincount([thing.label for thing in tree.train], minlength=len(tree.classes)).tolist()
    sides, channels, fewest = [RENDERED], 1, 0
    if kind == "views":
        sides, channels = _look(tree.train)
        fewest = min(len(thing.files) for thing in tree.train)
        if not sides:
            raise DataError(
                f"{shown(root)}: none of the files looked at is a picture, {tree.train[0].files[0]} for one"
            )
    return ObjectSurvey(
        kind,
        tree.classes,
        tuple(counts),
        len(tree.test),
        min(fewest or MOST_VIEWS, USUAL_VIEWS),
        fewest,
        channels,
        (min(sides), sorted(sides)[len(sides) // 2], max(sides)),
        tree.left_out,
    )


def _look(objects: Sequence[Object]) -> tuple[list[int], int]:
    """Shorter sides of some pictures, and their channels."""
    sides, coloured = [], False
    with bombs_are_errors():
        for i in np.linspace(0, len(objects) - 1, min(LOOKED_AT, len(objects))).round().astype(int).tolist():
            try:
                with opened(objects[i].files[0]) as image:
                    assert isinstance(image, Image.Image)
                    sides.append(min(image.size))
                    coloured = coloured or has_colours(image)
            except UnreadableError:
                continue  # training names it
    return sides, 3 if coloured else 1
