"""A search space for a data set of one's own: the choices of a preset, for other pictures and classes."""

import re
from importlib import resources

from splitkit.space.search_space import SearchSpace, load_space, parse_space

SIZES = (32, 48, 64, 96, 128)
"""Captured sizes to choose from. Larger pictures are scaled down to the last."""

STEP = 4
"""Sides of images are multiples of it."""


def nearest_preset(channels: int, side: int) -> tuple[str, int]:
    """The preset to begin with and the captured size, for pictures of so many channels and pixels (shorter side)."""
    size = max((size for size in SIZES if size <= side), default=SIZES[0])
    return ("tiny" if channels == 1 and size <= 64 else "cifar"), size


def fitted_space(preset: str, *, name: str, about: str, classes: int, channels: int, size: int) -> str:
    """A preset as TOML, changed to other classes, channels and a captured size.

    The first convolution's stride grows with the size, so that the network behind it, and with it the time to train, is
    the preset's.

    Args:
        preset: whose choices are taken.
        name: of the new space; letters that a name cannot have are replaced.
        about: one line for the head of the file.
    """
    base = load_space(preset)
    stride = max(1, min(4, round(base.stem.stride * size / base.input.size)))
    resolutions = sorted({round(side * size / base.input.size / STEP) * STEP for side in base.input.resolutions})
    text = (resources.files("splitkit.space") / "presets" / f"{preset}.toml").read_text(encoding="utf-8")
    text = re.sub(r"\A(#.*\n)+", "", text)
    for field, value in {
        "name": f'"{_plain(name)}"',
        "channels": channels,
        "size": size,
        "resolutions": resolutions,
        "classes": classes,
    }.items():
        text = _set(text, field, str(value))
    head, stem, rest = _around(text, "[stem]")
    if stride != base.stem.stride:
        stem = _set(stem, "stride", str(stride))
        stem = _set(stem, "kernel", "5" if stride > 2 else "3")
    choices = (
        f"# The choices are those of the preset `{preset}`; `splitkit init --space-template FILE` explains them.\n"
    )
    return f"# {about}\n{choices}{head}{stem}{rest}"


def fits(space: SearchSpace, fitted: str) -> bool:
    """Whether a space is the fitted one but for its name."""
    return parse_space(fitted, "the fitted space").model_copy(update={"name": space.name}) == space


def _set(text: str, field: str, value: str) -> str:
    changed, count = re.subn(rf"(?m)^{field} = .*$", f"{field} = {value}", text, count=1)
    assert count == 1, field
    return changed


def _around(text: str, section: str) -> tuple[str, str, str]:
    start = text.index(section)
    end = text.index("\n[", start)
    return text[:start], text[start:end], text[end:]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9_.-]+", "-", name.lower()).strip("-._") or "own"
