"""Whether the network of a project can do without some of its views."""

from pathlib import Path

import pytest

from splitkit.project import load_project


@pytest.mark.parametrize(
    ("lines", "views", "masked"),
    [
        ("", 1, False),
        ("views = 4", 4, True),
        ("views = 4\nmissing_views = false", 4, False),
        ("missing_views = true", 1, False),
    ],
)
def test_several_views_may_lack_unless_it_is_said_otherwise(
    lines: str, views: int, masked: bool, tmp_path: Path
) -> None:
    (tmp_path / "splitkit.toml").write_text(f'space = "tiny"\nsystem = "demo"\n{lines}\n')
    seen = load_project(tmp_path / "splitkit.toml").load_space().input
    assert (seen.views, seen.masked) == (views, masked)


@pytest.mark.parametrize(
    ("space_says", "project_says", "masked"),
    [("true", "", True), ("false", "", False), ("true", "missing_views = false", False)],
)
def test_a_space_of_several_views_says_it_itself(
    space_says: str, project_says: str, masked: bool, tmp_path: Path
) -> None:
    own = """
name = "own"
input = {{ channels = 1, size = 16, resolutions = [16], views = 2, masked = {} }}
stem = {{ widths = [8] }}
phases = [{{ widths = [16] }}]
head = {{ classes = 10 }}
link = {{ reduce_ratios = [0.5] }}
"""
    (tmp_path / "own.toml").write_text(own.format(space_says))
    (tmp_path / "splitkit.toml").write_text(f'space = "own.toml"\nsystem = "demo"\n{project_says}\n')
    assert load_project(tmp_path / "splitkit.toml").load_space().input.masked is masked
