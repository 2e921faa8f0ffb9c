"""What the demo prints at its end, of a search that was made and bundles that were run."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from splitkit.cli.demo import show
from splitkit.cli.main import main
from splitkit.project import Project
from splitkit.project.demo import Demo, Deployed
from splitkit.runtime.measure import measure_bundle
from splitkit.scores import ImageScores
from tests.bundle.bundles import exported
from tests.networks import digit_images
from tests.report.runs import finished


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """A search on a modelled system, and two kinds of halves run here."""
    _, result = finished(tmp_path_factory.mktemp("demo") / "p", feedback_rounds=1)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, len(digit_images()))
    systems = {}
    for placement, split in (("aggregator", 0), ("split", 2)):
        bundle = exported(split, "float32", 1, "tvm")
        manifest = bundle.manifest.model_copy(update={"predicted": {"test_accuracy": 0.9}})
        scores = ImageScores.of(rng.normal(size=(len(labels), 10)), labels)
        systems[placement] = Deployed(
            result.best[placement], replace(bundle, manifest=manifest), measure_bundle(bundle, 10), scores
        )
    return Demo(result, systems, "handwritten digits")


@pytest.mark.parametrize("as_json", [False, True])
def test_the_last_line_says_which_system_wins(demo: Demo, as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    show(demo, "demo", as_json)
    printed = capsys.readouterr()
    *_, before, last = printed.err.splitlines()
    assert last == demo.verdict.text
    assert last.startswith(("A tie between ", "Split wins: ", "Split is ", "All on "))
    assert last.endswith(".")
    assert before.startswith("next: splitkit bench ")
    if as_json:
        assert json.loads(printed.out)["verdict"] == {"winner": demo.verdict.winner, "text": last}


@pytest.mark.parametrize(("arguments", "views", "source"), [((), 1, "digits"), (("--views", "4"), 4, "shapes3d")])
def test_several_views_are_of_solids(
    arguments: tuple[str, ...], views: int, source: str, demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Project] = []

    def run(project: Project, reporters: object) -> Demo:
        given.append(project)
        return demo

    monkeypatch.setattr("splitkit.project.demo.run_demo", run)
    result = CliRunner().invoke(main, ["demo", *arguments])
    assert result.exit_code == 0, result.output
    [project] = given
    assert (project.data.source, project.load_space().views) == (source, views)
    assert project.load_space().head.classes == 10


def test_without_any_system_the_sentence_says_so(demo: Demo, capsys: pytest.CaptureFixture[str]) -> None:
    nothing = replace(demo.result, chosen={}, points=(), finalists=())
    show(Demo(nothing, {}, "handwritten digits"), "demo")
    assert capsys.readouterr().err.splitlines()[-1] == "Nothing was found within the limits."
