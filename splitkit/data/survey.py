"""What a folder of pictures holds, looked at before anything is decided: classes, counts, colour, sizes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from splitkit.data.decode import UnreadableError, bombs_are_errors, kind_of, opened, shown
from splitkit.data.layout import find_layout
from splitkit.data.table import Files
from splitkit.errors import DataError
from splitkit.labels import names_in_short, shown_name

LOOKED_AT = 300
"""Pictures that are opened, evenly spread over the classes."""

FEW = 20
"""Training pictures below which a class is named as small."""

COLOURLESS = 8
"""Most that a grey picture's channels differ, in a thumbnail: what JPEG does to greys stays below."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What was seen.

    Attributes:
        classes: names by label.
        counts: training pictures by label, as files; some may turn out to be damaged.
        test_pictures, test_set: the same of the test set, and where it is.
        channels: 1 if every picture looked at is grey, else 3.
        sides: shorter sides in pixels: the smallest, the middle one, the largest.
        looked_at: how many pictures were opened.
        left_out: one line for each file or folder that will not be used by its name or place.
    """

    classes: tuple[str, ...]
    counts: tuple[int, ...]
    test_pictures: int
    test_set: str
    channels: int
    sides: tuple[int, int, int]
    looked_at: int
    left_out: tuple[str, ...]

    def lines(self) -> list[str]:
        """What was seen, in words."""
        smallest, middle, largest = self.sides
        found = [
            f"{len(self.classes)} classes: {names_in_short(self.classes)}",
            f"{sum(self.counts)} training pictures, {min(self.counts)} to {max(self.counts)} a class; "
            f"{self.test_pictures} test pictures: {self.test_set}",
            f"{'grey' if self.channels == 1 else 'colour'}, shorter sides {smallest} to {largest} pixels, {middle} in "
            f"the middle ({self.looked_at} pictures looked at)",
        ]
        few = [shown_name(name) for name, count in zip(self.classes, self.counts, strict=True) if count < FEW]
        if few:
            found.append(f"few pictures to learn from (below {FEW}): {', '.join(few[:8])}")
        return found


def survey(root: Path) -> Survey:
    """Look at a folder of pictures.

    Raises:
        DataError: it is laid out in no known way (as `find_layout`), or none of its pictures can be read.
    """
    layout = find_layout(root)
    counts = np.bincount(layout.train.labels, minlength=len(layout.classes)).tolist()
    if 0 in counts:
        raise DataError(f"{shown(root)}: class {layout.classes[counts.index(0)]!a} has no training pictures")
    sides, coloured = _look(layout.train)
    if not sides:
        raise DataError(
            f"{shown(root)}: none of the files looked at is a picture, {shown(layout.train.path(0))} for one"
        )
    return Survey(
        layout.classes,
        tuple(counts),
        len(layout.test),
        layout.test_set,
        3 if coloured else 1,
        (min(sides), sorted(sides)[len(sides) // 2], max(sides)),
        len(sides),
        (*layout.left_out, *layout.test_left_out),
    )


def _look(files: Files) -> tuple[list[int], bool]:
    """Shorter sides of some pictures, and whether one of them has colours."""
    sides: list[int] = []
    coloured = False
    with bombs_are_errors():
        for i in np.linspace(0, len(files) - 1, min(LOOKED_AT, len(files))).round().astype(int).tolist():
            try:
                with opened(files.path(i)) as image:
                    sides.append(min(image.size))
                    coloured = coloured or has_colours(image)
            except UnreadableError:
                continue  # training names it
    return sides, coloured


def has_colours(image: Image.Image) -> bool:
    """Whether a picture is more than grey."""
    if kind_of(image) in ("integers", "reals"):
        return False
    pixels = np.asarray(image.convert("RGB").resize((32, 32), Image.Resampling.BOX)).astype(int)
    return int(np.ptp(pixels, axis=2).max()) > COLOURLESS
