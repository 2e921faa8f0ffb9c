"""Mistakes a user makes: one line that names the file and the field, the right exit code, nothing half-written."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from splitkit.cli.main import main


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def one_line(result: Result, exit_code: int, *named: str) -> None:
    assert result.exit_code == exit_code, result.output
    assert "Traceback" not in result.output
    line = result.stderr.strip().splitlines()[-1]
    for text in named:
        assert text in line


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    assert run("init").exit_code == 0
    return tmp_path


def rewrite(project: Path, old: str, new: str) -> None:
    file = project / "splitkit.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("seed = 0", "seed = 0\nsede = 1", ["splitkit.toml", "sede", "unknown key"]),
        ("[search]", "[search]\npopulace = 3", ["splitkit.toml", "search.populace", "population"]),
        ("population = 48", "population = 1", ["splitkit.toml", "search.population"]),
        ('space = "tiny"', 'space = "tinny"', ["tinny", "tiny"]),
        ('system = "demo"', 'system = "dmeo"', ["dmeo", "demo"]),
        ('space = "tiny"', "", ["splitkit.toml", "space is missing"]),
        ("[data]", "[data", ["splitkit.toml", "not TOML"]),
        ('run = "first"', 'run = "../up"', ["splitkit.toml", "run"]),
    ],
)
def test_bad_configuration(project: Path, old: str, new: str, named: list[str]) -> None:
    rewrite(project, old, new)
    one_line(run("train"), 2, *named)
    assert not (project / "runs").exists()


def test_missing_configuration_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one_line(run("train"), 2, "space is missing", "splitkit init")
    one_line(run("train", "--config", "nowhere.toml"), 2, "nowhere.toml", "splitkit init")


def test_init_does_not_overwrite(project: Path) -> None:
    before = (project / "splitkit.toml").read_text()
    one_line(run("init", "--space", "cifar"), 2, "splitkit.toml exists", "--force")
    assert (project / "splitkit.toml").read_text() == before
    assert run("init", "--space", "cifar", "--force").exit_code == 0
    assert sorted(p.name for p in project.iterdir()) == ["splitkit.toml"]


def test_missing_data_directory(project: Path) -> None:
    one_line(run("train", "--data", "nowhere"), 1, "nowhere", "train/<class>")


def test_search_before_training_names_the_checkpoint(project: Path) -> None:
    one_line(run("search"), 1, "supernet.pt")


def test_truncated_checkpoint(project: Path) -> None:
    trained = run("train", "--steps", "1")
    assert trained.exit_code == 0, trained.output
    checkpoint = project / "runs" / "first" / "supernet.pt"
    one_line(run("train", "--steps", "1"), 2, "supernet.pt exists", "--resume")
    one_line(run("search", "--space", "cifar", "--data", "digits"), 1, "supernet.pt", "another space")
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[: len(content) // 2])
    one_line(run("search"), 1, "supernet.pt")
    one_line(run("train", "--resume"), 1, "supernet.pt")
    assert checkpoint.read_bytes() == content[: len(content) // 2], "a file that cannot be read is left as it is"


def test_bench_needs_exactly_one_thing_to_measure(project: Path) -> None:
    assert run("bench").exit_code == 2
    assert run("bench", "bundle", "--target", "sensor").exit_code == 2
    assert run("bench", "--target", "sensor", "--budget", "20 minutes").exit_code == 2


def test_bench_of_what_is_no_bundle(project: Path) -> None:
    one_line(run("bench", "nowhere"), 1, "nowhere")
    (project / "empty").mkdir()
    one_line(run("bench", "empty"), 1, "empty", "manifest.json")


@pytest.mark.parametrize("selector", ["first:best", "first:\u00b2", "first:\u0663", "first:-1", "first:"])
def test_export_selector(project: Path, selector: str) -> None:
    one_line(run("export", "--split", selector, "-o", "out"), 2, f"{selector!r}: RUN or RUN:INDEX is expected")


def test_export_before_a_search_names_it(project: Path) -> None:
    one_line(run("export", "--split", "first:0", "-o", "out"), 2, "pareto.json", "splitkit search")


def test_unknown_profile(project: Path) -> None:
    one_line(run("profiles", "show", "nothing"), 2, "nothing")


@pytest.mark.parametrize(
    "arguments",
    [
        ("init", "--space-template", "file/x.toml"),
        ("keys", "file/x"),
        ("train", "--space", "file/x.toml"),
        ("bench", "--target", "sensor", "--budget", "1s"),
    ],
)
def test_why_a_file_cannot_be_used_is_said_once_and_without_its_number(
    project: Path, arguments: tuple[str, ...]
) -> None:
    (project / "file").touch()
    (project / "runs").touch()
    result = run(*arguments)
    assert result.exit_code in (1, 2), result.output
    *_, line = result.stderr.strip().splitlines()
    assert "Errno" not in line
    assert sum(line.lower().count(why) for why in ("not a directory", "file exists")) == 1, line


def test_verbose_shows_the_traceback(project: Path) -> None:
    result = run("-v", "bench", "nowhere")
    assert result.exception is not None
    assert not isinstance(result.exception, SystemExit)
