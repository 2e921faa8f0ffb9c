"""Several ranks: together they do what one process does, and go on when one is lost."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from splitkit.data import Augmentation, Dataset, load_dataset
from splitkit.data.augment import MirrorAndShift, move_and_turn
from splitkit.errors import ConfigError
from splitkit.supernet import Supernet
from splitkit.training import TrainConfig, load_supernet, train
from splitkit.training.checkpoint import save_supernet
from splitkit.training.joining import WANTED, Place
from splitkit.training.optimise import Batches, make_optimiser
from splitkit.training.ranks import Group
from splitkit.training.sandwich import SandwichSampler
from splitkit.training.step import Steps, pieces_of
from tests.reliability.projects import write_project
from tests.training.rank import CONFIG, SPACE

PLACE = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "here", "MASTER_PORT": "1"}


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_dataset("digits", SPACE)


@pytest.fixture
def two_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


@contextmanager
def torchrun(directory: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Two ranks of `python -m ...`, ended at the end if they have not ended."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    paths = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
    output = subprocess.PIPE
    with subprocess.Popen(
        [*command, *arguments], cwd=directory, text=True, stdout=output, stderr=subprocess.STDOUT,
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            for one in (
                [*psutil.Process(process.pid).children(recursive=True), process] if process.poll() is None else []
            ):
                one.kill()


def ranks_of(directory: Path, *arguments: str) -> list[dict[str, Any]]:
    """What both ranks of `tests.training.rank` left."""
    with torchrun(directory, "--max-restarts", "1", "-m", "tests.training.rank", str(directory), *arguments) as process:
        text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text[-3000:]
    return [torch.load(directory / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize(
    "kill_at", [4, pytest.param(None, marks=pytest.mark.slow)], ids=["one of them killed", "undisturbed"]
)
def test_two_ranks_do_what_one_process_with_two_workers_does(
    kill_at: int | None, data: Dataset, tmp_path: Path, two_threads: None
) -> None:
    losses: list[float] = []
    alone = train(
        SPACE, data, CONFIG, tmp_path / "alone.pt", device="cpu", report=lambda report: losses.append(report.loss)
    )  # fmt: skip
    begun = Supernet(SPACE, CONFIG.seed).state_dict()
    first, second = ranks_of(tmp_path, *([] if kill_at is None else [str(kill_at)]))
    for name, weight in alone.state_dict().items():
        torch.testing.assert_close(first["weights"][name], weight, rtol=1e-5, atol=1e-7, msg=name)
        assert torch.equal(first["weights"][name], second["weights"][name]), name
    assert any(not torch.equal(begun[name], weight) for name, weight in alone.state_dict().items())
    # Restarted, they went on from where they were: rank 0 kept that when it lost the other one.
    assert len(first["losses"]) in ([CONFIG.steps] if kill_at is None else [CONFIG.steps - 4, CONFIG.steps - 3])
    assert first["losses"] == second["losses"] == pytest.approx(losses[-len(first["losses"]) :], rel=1e-5)
    assert first["fitted"] == second["fitted"] >= 1
    assert load_supernet(tmp_path / "supernet.pt").step == CONFIG.steps


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_the_command_goes_on_when_a_rank_is_killed_or_torchrun_is_stopped(
    number: signal.Signals, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    write_project(project)
    command = ("--max-restarts", "3", "-m", "splitkit", "train", "--steps", "300")
    with torchrun(project, *command) as process:
        time.sleep(1)
        while not (ranks := [c for c in psutil.Process(process.pid).children() if c.environ().get("RANK") == "1"]):
            time.sleep(0.1)
        while ranks[0].cpu_times().user < 8:  # imports are behind it
            time.sleep(0.1)
        os.kill(ranks[0].pid if number == signal.SIGKILL else process.pid, number)
        text, _ = process.communicate(timeout=500)
    checkpoint = project / "runs" / "r" / "supernet.pt"
    if number == signal.SIGKILL:
        assert process.returncode == 0, text[-3000:]
        assert "another rank is gone" in text
    else:
        assert process.returncode != 0
        assert text.count("splitkit: stopped by SIGTERM") == 1
        assert 0 < load_supernet(checkpoint).step < 300
        with torchrun(project, *command, "--resume") as process:
            text, _ = process.communicate(timeout=500)
        assert process.returncode == 0, text[-3000:]
    assert text.count("wrote ") == 1
    found = load_supernet(checkpoint)
    assert found.step == 300
    alone = [sys.executable, "-m", "splitkit", "train", "--steps", "300", "--run", "alone"]
    paths = {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "2"}
    subprocess.run(alone, cwd=project, env=os.environ | paths, check=True, capture_output=True, timeout=500)
    expected = load_supernet(project / "runs" / "alone" / "supernet.pt").supernet.state_dict()
    for name, weight in found.supernet.state_dict().items():
        torch.testing.assert_close(weight, expected[name], rtol=1e-4, atol=1e-5, msg=name)


def test_more_ranks_than_there_is_work_for_are_refused(data: Dataset) -> None:
    config = TrainConfig(steps=1, batch=96, learning_rate=1e-3)
    Steps(Supernet(SPACE), data, config, Group(0, 3, "cpu"))
    with pytest.raises(ConfigError, match=r"4 ranks: a step of batch = 96 has work for 3 .*raise batch to 128"):
        Steps(Supernet(SPACE), data, config, Group(0, 4, "cpu"))


def test_every_image_of_a_sandwich_is_in_one_piece() -> None:
    sandwich = SandwichSampler(SPACE, CONFIG).draw(0)
    for images, workers in ((64, 2), (101, 3), (5, 8)):
        pieces = pieces_of(SPACE, sandwich, images, workers)
        assert [image for piece in pieces for image in range(*piece.span)] == list(range(images))
        assert sum(piece.weight for piece in pieces) == pytest.approx(1)


@pytest.mark.parametrize("augmentation", [move_and_turn, MirrorAndShift(mirror=True)])
def test_a_share_of_a_batch_is_what_the_whole_batch_holds_there(data: Dataset, augmentation: Augmentation) -> None:
    batches, wanted = Batches(data.train, augmentation, seed=3, images=40), torch.arange(13, 27)
    images, labels = batches[5]
    some, their_labels = batches.take(5, wanted)
    assert torch.equal(some[wanted], images[wanted])
    assert torch.equal(their_labels[wanted], labels[wanted])


def test_another_number_of_ranks_is_said(data: Dataset, tmp_path: Path) -> None:
    supernet, path, said = Supernet(SPACE), tmp_path / "supernet.pt", list[str]()
    save_supernet(path, supernet, make_optimiser(supernet, CONFIG), CONFIG, data.classes, 6, threads=1, ranks=2)
    train(SPACE, data, CONFIG, path, resume=True, device="cpu", say=said.append)
    assert said == ["trained by 2 ranks so far, by 1 from here on: no longer the same bit for bit"]
    train(SPACE, data, CONFIG, path, resume=True, device="cpu", say=said.append)
    assert len(said) == 1


def test_what_torchrun_says_is_read() -> None:
    assert Place.of_environment({}) == Place(0, 1, 0, 0)
    assert Place.of_environment({"MASTER_ADDR": "here"}) == Place()
    assert Place.of_environment(PLACE | {"TORCHELASTIC_RESTART_COUNT": "3"}) == Place(1, 2, 1, 3)


@pytest.mark.parametrize("missing", [name for name in WANTED if name != "RANK"])
def test_half_an_environment_is_refused(missing: str) -> None:
    with pytest.raises(ConfigError, match=f"environment: RANK is set, {missing} is not"):
        Place.of_environment({name: value for name, value in PLACE.items() if name != missing})


@pytest.mark.parametrize(("name", "value"), [("RANK", "2"), ("WORLD_SIZE", "0"), ("LOCAL_RANK", "-1"), ("RANK", "x")])
def test_a_place_out_of_range_is_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"environment: {name}: '{value}', a whole number in"):
        Place.of_environment(PLACE | {name: value})


def test_each_rank_has_a_gpu_of_its_own() -> None:
    place = Place(rank=5, size=8, local=1)
    assert place.device("auto", gpus=2) == place.device("cuda", gpus=2) == "cuda:1"
    assert place.device("auto", gpus=0) == place.device("cpu", gpus=2) == "cpu"
    assert Place().device("cuda:1", gpus=2) == "cuda:1"
    with pytest.raises(ConfigError, match=r"rank 5 is number 2 on a machine with 1 GPUs .*--nproc-per-node 1"):
        place.device("auto", gpus=1)
    with pytest.raises(ConfigError, match="'cuda:0' for 8 ranks"):
        place.device("cuda:0", gpus=2)
