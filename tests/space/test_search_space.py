from pathlib import Path

import pytest

from splitkit.errors import ConfigError
from splitkit.space import load_space, preset_names, space_size
from splitkit.space.search_space import parse_space, round_channels

from .test_sampling import SMALL


def test_presets_load_and_are_as_large_as_they_look() -> None:
    assert preset_names() == ["cifar", "mobile", "tiny"]
    for name, limit in [("tiny", 1e6), ("cifar", 5e5), ("mobile", 1e14)]:
        assert space_size(load_space(name)) > limit


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("widths = [8, 24]", "widths = [24, 8]", "stem.widths: choices must be strictly increasing"),
        ("kernels = [3]", "kernels = [3, 4]", "phases[0].kernels[1]: 4: odd sizes only"),
        ("widths = [8, 24]", "widths = [8, 24]\nkernel = 4", "stem.kernel: 4: odd sizes only"),
        ("kernels = [3]", "kernels = 3", "phases[0].kernels: 3: choices are a list, even a single one: [3]"),
        ("after = [0, 2]", "after = []", "phases[0].after: []: at least one choice is needed"),
        ("expands = [2]", "expands = [2.5]", "phases[0].expands[0]: 2.5: a whole number is wanted"),
        ("expands = [2]", "expand = [2]", "phases[0].expand: unknown key (did you mean expands?)"),
        ("classes = 3", "classes = 3\ncolour = 1", "head.colour: unknown key (known: classes, expand"),
        ("expands = [2]", "expands = [2]\nstride = 1", "phases[0].before: with stride 1"),
        ("expands = [2]", "expands = [2]\nstride = 4", "phases[0].stride: 4: input should be less than or equal to 3"),
        ('dtypes = ["float32", "uint8"]', 'dtypes = ["int4"]', "link.dtypes[0]: 'int4': input should be 'float32', "),
        ("size = 16", "size = 'big'", "input.size: 'big': a whole number is wanted"),
        ("size = 16", "size = true", "input.size: True: "),
        ("[head]\nclasses = 3", "", "head: is missing"),
        ("classes = 3", "", "head.classes: is missing"),
        ("[link]", "[link", "not TOML"),
    ],
)
def test_bad_space_is_one_line_naming_file_and_field(tmp_path: Path, old: str, new: str, named: str) -> None:
    file = tmp_path / "space.toml"
    file.write_text(SMALL.replace(old, new))
    with pytest.raises(ConfigError) as error:
        load_space(file)
    assert str(file) in str(error.value)
    assert named in str(error.value)
    assert "\n" not in str(error.value)


def test_unknown_name_lists_the_presets() -> None:
    with pytest.raises(ConfigError, match="tiny"):
        load_space("nosuch")
    with pytest.raises(ConfigError, match=r"nosuch\.toml: cannot be read"):
        load_space("nosuch.toml")


def test_ratios_that_give_the_same_channels_are_one_choice() -> None:
    space = parse_space(SMALL, "small")
    assert space.distinct_ratios(8) == (0.125, 1.0), "8 channels reduce to 4 at an eighth and at a quarter"
    assert space.distinct_ratios(40) == (0.125, 0.25, 1.0)


def test_round_channels_never_loses_a_tenth() -> None:
    for value in range(1, 2000):
        rounded = round_channels(value)
        assert rounded % 8 == 0
        assert rounded >= 0.9 * value
