"""What the page says, whatever the search found."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from splitkit.errors import ConfigError
from splitkit.project import Run
from splitkit.project.reporting import read_run, report_step
from splitkit.report.page import render_page
from splitkit.report.palette import DARK, LIGHT, Palette
from tests.report.conftest import STATES
from tests.report.runs import finished

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Reader(HTMLParser):
    """Checks nesting, gathers ids, links and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        given = dict(attrs)
        self.ids += [v for k, v in attrs if k == "id" and v]
        self.links += [v for name in ("href", "src") if (v := given.get(name))]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.text += data


def read(page: Path | str) -> Reader:
    reader = Reader()
    reader.feed(page if isinstance(page, str) else page.read_text(encoding="utf-8"))
    assert not reader.open
    return reader


@pytest.mark.parametrize("state", STATES)
def test_a_page_is_whole_and_needs_nothing_else(pages: dict[str, Path], state: str) -> None:
    reader = read(pages[state])
    assert len(reader.ids) == len(set(reader.ids))
    assert all(link.startswith(("#", "data:,")) for link in reader.links)
    assert {link[1:] for link in reader.links if link.startswith("#")} <= set(reader.ids)
    assert "Nothing here was measured" in reader.text
    assert pages[state].stat().st_size < 400_000


@pytest.mark.parametrize("state", [state for state in STATES if state != "empty-front"])
def test_every_figure_is_labelled(pages: dict[str, Path], state: str) -> None:
    text = pages[state].read_text(encoding="utf-8")
    for figure in re.findall(r"<figure>.*?</figure>", text, re.DOTALL):
        assert "<b>sensor</b>: analytical" in figure
        assert "<b>aggregator</b>: analytical" in figure


def test_pictures_are_drawn_of_what_there_is(pages: dict[str, Path]) -> None:
    drawn = {state: {file.stem for file in page.parent.glob("*.png")} for state, page in pages.items()}
    everything = {"front", "latency", "architectures", "prediction", "coverage"}
    assert drawn == {
        "three-systems": everything,
        "multi-view": everything,
        "one-system": everything,
        "no-measurements": everything - {"prediction"},
        "empty-front": set(),
    }


def test_an_empty_front_says_which_limits_left_it_empty(pages: dict[str, Path]) -> None:
    text = read(pages["empty-front"]).text
    assert "Nothing was found within the limits" in text
    assert "total us: at most 0.001" in text


def test_one_system_is_not_compared_with_anything(pages: dict[str, Path]) -> None:
    text = read(pages["one-system"]).text
    assert "The only system with a network within the limits is all on aggregator" in text
    assert "Nothing within the limits: all on sensor, split" in text


def test_no_measurements_are_said_to_be_none(pages: dict[str, Path]) -> None:
    assert "No candidate was timed" in read(pages["no-measurements"]).text


def test_several_views_show_in_the_diagram_and_in_the_payload(pages: dict[str, Path]) -> None:
    text = pages["multi-view"].read_text(encoding="utf-8")
    assert "each of 2 sensors" in text
    assert re.search(r"<b>2 x \d+ B</b> over the link", text)


def test_figures_of_the_page_are_those_of_the_search(tmp_path: Path) -> None:
    project, result = finished(tmp_path, feedback_rounds=1)
    content = read_run(project)
    for point, diagram in zip(result.points, content.diagrams, strict=True):
        assert diagram.payload_bytes == point.payload_bytes
        assert diagram.rows == point.architecture.units + 2 * point.architecture.has_splitting_module
    cloud = {(c.placement, round(c.accuracy, 9), round(c.total_us, 6)) for c in content.cloud}
    assert len(content.cloud) == sum(result.evaluated.values())
    assert {(p.placement, round(p.accuracy, 9), round(p.total_us, 6)) for p in result.points} <= cloud
    assert len(content.comparisons) == sum(record.measured for record in result.feedback)
    assert all(row.us == row.known_us for row in content.coverage), "an analytical device models every kernel"


def test_a_report_changes_nothing_of_the_run_and_is_repeatable(tmp_path: Path) -> None:
    project, _ = finished(tmp_path, feedback_rounds=1)
    directory = Run.of(project).directory
    before = {file: file.read_bytes() for file in directory.iterdir()}
    first = report_step(project)[0].read_bytes()
    assert report_step(project)[0].read_bytes() == first
    assert {file: file.read_bytes() for file in directory.iterdir() if file.is_file()} == before


def test_names_are_escaped(tmp_path: Path) -> None:
    project, result = finished(tmp_path, feedback_rounds=0)
    content = read_run(project)
    nasty = '<script>alert("1")</script>'
    hostile = replace(content, name=nasty, result=replace(result, space=nasty, labels={"sensor": nasty}))
    page = render_page(hostile)
    assert nasty not in page
    assert nasty in read(page).text


def test_a_run_without_its_table_is_drawn_without_what_the_table_says(tmp_path: Path) -> None:
    project, _ = finished(tmp_path, feedback_rounds=1)
    Run.of(project).snapshot.unlink()
    text = read(report_step(project)[0]).text
    assert "the latency table this search saw is gone" in text
    assert "What the predictions rest on" not in text


def test_a_search_of_another_space_is_refused(tmp_path: Path) -> None:
    project, _ = finished(tmp_path, feedback_rounds=0)
    with pytest.raises(ConfigError, match=r"pareto\.json: space: the search was of 'small', this project names 'tiny'"):
        report_step(project.model_copy(update={"space": "tiny"}))


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_have_the_contrast_that_reading_needs(palette: Palette) -> None:
    for paper in (palette.paper, palette.panel):
        for colour, least in (
            *((c, 4.5) for c in (palette.ink, palette.soft, palette.sensor, palette.aggregator)),
            *((c, 3.0) for c in (palette.link, palette.split)),
        ):
            assert contrast(colour, paper) >= least, (colour, paper)


def contrast(a: str, b: str) -> float:
    """Contrast ratio of two hexadecimal colours (WCAG 2.2)."""
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
