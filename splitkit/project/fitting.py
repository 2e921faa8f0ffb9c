"""The space to begin with for a folder of pictures: a preset, the user's own, or a preset changed until it fits."""

from dataclasses import dataclass
from pathlib import Path

from splitkit.data.decode import shown
from splitkit.data.object_survey import ObjectSurvey, survey_objects
from splitkit.data.object_tree import kind_of_tree
from splitkit.data.survey import Survey, survey
from splitkit.embedded import EMBEDDED
from splitkit.errors import ConfigError, DataError
from splitkit.space import SearchSpace, load_space
from splitkit.space.fitting import fits, fitted_space, nearest_preset
from splitkit.space.search_space import parse_space, preset_names

FILE = "space.toml"


@dataclass(frozen=True)
class FittedSpace:
    """A space for pictures that were looked at.

    Attributes:
        seen: what was found in the folder.
        name: a preset or a file, as splitkit.toml has it.
        text: what to write into that file; None for a preset and for a file that is there.
    """

    seen: Survey | ObjectSurvey
    name: str
    text: str | None = None

    @property
    def views(self) -> int:
        """How many sensors to begin with."""
        return self.seen.views if isinstance(self.seen, ObjectSurvey) else 1

    def space(self) -> SearchSpace:
        """The space itself."""
        return load_space(self.name) if self.text is None else parse_space(self.text, self.name)


def fit_space(root: Path, wanted: str | None = None) -> FittedSpace:
    """Look at the pictures or objects in `root` and find a space with as many classes: `wanted` as it is, or changed
    if a preset.

    Raises:
        DataError: the folder is missing, or holds no classes of pictures.
        ConfigError: there is no space `wanted`, or it is the user's own and has another number of classes.
    """
    named = None if wanted is None else load_space(wanted)
    if not root.is_dir():
        words = ", ".join(f"'{name}'" for name in EMBEDDED)
        raise DataError(f"{shown(root)}: no such folder", f"{words}, or a folder of pictures or 3D models")
    kind = kind_of_tree(root)
    seen = survey_objects(root, kind) if kind else survey(root)
    classes, channels = len(seen.classes), seen.channels
    if wanted is None or named is None:
        preset, size = nearest_preset(channels, seen.sides[1])
    elif named.head.classes == classes:
        return FittedSpace(seen, wanted)
    elif wanted in preset_names():
        preset, size = wanted, named.input.size
    else:
        raise ConfigError(
            f"{wanted}: head.classes: {named.head.classes}, but {shown(root)} has {classes} classes",
            f"set it to {classes}, or leave --space out",
        )
    about = f"For {shown(root)}: {classes} classes, {'grey' if channels == 1 else 'colour'}, captured at {size}x{size}."
    name = root.resolve().name
    text = fitted_space(preset, name=name, about=about, classes=classes, channels=channels, size=size)
    return FittedSpace(seen, preset) if fits(load_space(preset), text) else FittedSpace(seen, FILE, text)
