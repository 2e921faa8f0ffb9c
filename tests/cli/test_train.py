"""`splitkit train`: how long, from where, and one network by itself."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from splitkit.cli.main import main
from splitkit.training import load_supernet
from tests.reliability.projects import write_project


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project on an analytical system with a trained supernet and a search behind it."""
    directory = write_project(tmp_path_factory.mktemp("train") / "project")
    for command in ("train", "search"):
        result = CliRunner().invoke(main, [command, "--config", str(directory / "splitkit.toml")])
        assert result.exit_code == 0, result.stderr
    return directory


def train(directory: Path, *arguments: str) -> "tuple[int, str, str]":
    result = CliRunner().invoke(main, ["train", "--config", str(directory / "splitkit.toml"), *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_a_budget_chooses_the_steps_and_a_resumed_run_keeps_them(searched: Path) -> None:
    code, _, text = train(searched, "--run", "timed", "--budget", "2s")
    assert code == 0, text
    config = load_supernet(searched / "runs" / "timed" / "supernet.pt").config
    assert f"{config.steps} steps in 0.0333 min" in text
    code, _, text = train(searched, "--run", "timed", "--budget", "10s", "--resume")
    assert code == 0, text
    assert load_supernet(searched / "runs" / "timed" / "supernet.pt").config.steps == config.steps


def test_a_run_begins_with_the_weights_of_another(searched: Path) -> None:
    code, _, text = train(searched, "--run", "second", "--init", "r", "--steps", "1")
    assert code == 0, text
    assert "begins with the weights of" in text
    first, second = (load_supernet(searched / "runs" / run / "supernet.pt").supernet for run in ("r", "second"))
    far, near = 0.0, 0.0
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        far = max(far, float(a.detach().abs().max()))
        near = max(near, float((a - b).detach().abs().max()))
    assert near < 0.02 < far  # one step of AdamW away


def test_one_network_is_trained_by_itself(searched: Path) -> None:
    code, out, text = train(searched, "--architecture", "r:0", "--steps", "5", "--json")
    assert code == 0, text
    body = json.loads(out)
    assert body["point"] == 0
    assert f"{body['test_accuracy']:.2%} of the test set are right" in text
    assert Path(body["checkpoint"]).is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--steps", "3", "--budget", "1m"), "--steps and --budget both say how long"),
        (("--init-table", "t.toml"), "--init-table needs --init"),
        (("--architecture", "r:0", "--resume"), "--architecture begins with random weights"),
        (("--architecture", "r:x"), "'r:x': RUN or RUN:INDEX is expected"),
        (("--budget", "2 hours"), "'2 hours': a number with s, m or h is expected"),
    ],
)
def test_what_makes_no_sense_is_refused(searched: Path, arguments: tuple[str, ...], message: str) -> None:
    code, _, text = train(searched, *arguments)
    assert code == 2
    assert message in text


def test_ranks_do_not_train_one_network(searched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    code, _, text = train(searched, "--architecture", "r:0")
    assert code == 2
    assert "start it without torchrun" in text


def test_a_supernet_that_does_not_fit_is_named_and_nothing_is_left(searched: Path) -> None:
    code, _, text = train(searched, "--run", "other", "--space", "tiny", "--init", "r")
    assert code == 1
    line = text.strip().splitlines()[-1]
    assert "runs/r/supernet.pt: sensor." in line
    assert "same space or a larger one" in line
    assert not (searched / "runs" / "other" / "supernet.pt").exists()
