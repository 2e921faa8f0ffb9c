"""Sub-networks side by side: the same gradients, whoever is done first."""

import time
from functools import partial
from pathlib import Path

import pytest
import torch

from splitkit.data import Dataset, load_dataset
from splitkit.space import Architecture
from splitkit.supernet import Supernet
from splitkit.training import TrainConfig, load_supernet, train
from splitkit.training.workers import side_by_side
from tests.reliability.checkpoints import small_space

SPACE = small_space()
CONFIG = TrainConfig(steps=6, batch=8, learning_rate=5e-3, warmup_steps=2, random_subnetworks=3, sandwich_every=3)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_dataset("digits", SPACE)


def gradients(threads: int, slow: int | None = None) -> dict[str, torch.Tensor]:
    """Of four sub-networks, the task `slow` being late."""
    supernet = Supernet(SPACE, seed=1)
    shape = (8, 1, SPACE.input.channels, SPACE.input.size, SPACE.input.size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

    def learn(number: int, architecture: Architecture, net: Supernet) -> int:
        time.sleep(0.1 if number == slow else 0)
        net(images, architecture).square().sum().backward()  # type: ignore[no-untyped-call]
        return number

    tasks = [partial(learn, at, SPACE.canonical(SPACE.largest(at))) for at in range(4)]
    with side_by_side(supernet, threads, most=4) as workers:
        assert workers.run(tasks, [1.0, 5.0, 2.0, 2.0]) == [0, 1, 2, 3]
    return {name: p.grad for name, p in supernet.named_parameters() if p.grad is not None}


def test_gradients_are_those_of_one_after_the_other() -> None:
    expected, found = gradients(1), gradients(3)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-4, msg=name)


def test_gradients_do_not_depend_on_who_is_done_first() -> None:
    runs = [gradients(2, slow) for slow in (None, 0, 1, 2, 3)]
    for other in runs[1:]:
        assert all(torch.equal(other[name], gradient) for name, gradient in runs[0].items())


def test_torchs_threads_are_shared_among_workers_and_put_back() -> None:
    before = torch.get_num_threads()
    for threads, most, each in ((1, 4, 1), (2, 4, 1), (5, 2, 2), (4, 1, 4)):
        with side_by_side(Supernet(SPACE), threads, most):
            assert torch.get_num_threads() == each
        assert torch.get_num_threads() == before


def test_a_workers_failure_is_not_lost() -> None:
    def fail(net: Supernet) -> None:
        raise ValueError("this one")

    with side_by_side(Supernet(SPACE), 2, most=2) as workers, pytest.raises(ValueError, match="this one"):
        workers.run([lambda net: None, fail], [2.0, 1.0])


def test_training_with_two_threads_is_repeatable_and_resumes_with_as_many(data: Dataset, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        whole = train(SPACE, data, CONFIG, tmp_path / "whole.pt", device="cpu")
        path = tmp_path / "parts.pt"

        class StopError(Exception):
            pass

        def stop(state: object) -> None:
            if path.exists():
                raise StopError

        with pytest.raises(StopError):
            train(
                SPACE, data, CONFIG.model_copy(update={"checkpoint_every_s": 1e-9}), path, device="cpu", report=stop
            )  # fmt: skip
        assert 0 < load_supernet(path).step < CONFIG.steps
        torch.set_num_threads(1)
        resumed = train(SPACE, data, CONFIG, path, resume=True, device="cpu")
    finally:
        torch.set_num_threads(threads)
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name
