"""Training: it learns, stops and goes on exactly, and refuses what does not fit."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from splitkit.data import Dataset, Samples, load_dataset
from splitkit.errors import CheckpointError, TrainingError
from splitkit.space import SearchSpace, load_space
from splitkit.space.search_space import PhaseSpace
from splitkit.supernet import Supernet, extract
from splitkit.training import (
    FineTuneConfig,
    FineTuning,
    StepReport,
    SupernetEvaluator,
    TrainConfig,
    calibration_images,
    fine_tune,
    finetune_checkpoint,
    load_supernet,
    score,
    score_subnetwork,
    train,
)
from splitkit.training.finetune_checkpoint import fine_tune_resumably, resumed
from splitkit.training.trial import FineTuner

CONFIG = TrainConfig(steps=6, batch=16, learning_rate=5e-3, warmup_steps=2, random_subnetworks=1, sandwich_every=2)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Bit-exactness is promised at a fixed number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    """`tiny` made smaller still."""
    tiny = load_space("tiny")
    phases = tuple(PhaseSpace(**{**p.model_dump(), "before": (0,), "widths": (8, 16)}) for p in tiny.phases[:2])
    narrow = tiny.input.model_copy(update={"resolutions": (16, 24)})
    return tiny.model_copy(update={"name": "wee", "phases": phases, "input": narrow})


@pytest.fixture(scope="module")
def data(space: SearchSpace) -> Dataset:
    return load_dataset("digits", space)


def weights(supernet: Supernet) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in supernet.parameters()])


class StopAfter:
    """Presses Ctrl-C during a step, as a user would."""

    def __init__(self, step: int) -> None:
        self.step = step

    def __call__(self, report: StepReport) -> None:
        if report.step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("optimiser", ["adamw", "sgd", "muon"])
def test_interrupted_and_resumed_run_gives_the_same_weights(
    optimiser: str, space: SearchSpace, data: Dataset, tmp_path: Path
) -> None:
    config = CONFIG.model_copy(update={"optimiser": optimiser})
    whole = train(space, data, config, tmp_path / "whole.pt", device="cpu")
    path = tmp_path / "parts.pt"
    for stop in (2, 5):
        with pytest.raises(KeyboardInterrupt):
            train(space, data, config, path, resume=True, device="cpu", report=StopAfter(stop))
        assert load_supernet(path).step == stop
    resumed = train(space, data, config, path, resume=True, device="cpu")
    assert torch.equal(weights(resumed), weights(whole))
    assert torch.equal(weights(load_supernet(path, space).supernet), weights(whole))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["parts.pt", "whole.pt"]


def test_without_resume_training_starts_afresh(space: SearchSpace, data: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    first = train(space, data, CONFIG, path, device="cpu")
    reports: list[StepReport] = []
    again = train(space, data, CONFIG, path, device="cpu", report=reports.append)
    assert [r.step for r in reports] == [1, 2, 3, 4, 5, 6]
    assert torch.equal(weights(first), weights(again))


@pytest.fixture(scope="module")
def checkpoint(space: SearchSpace, data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trained") / "supernet.pt"
    train(space, data, CONFIG.model_copy(update={"steps": 1}), path, device="cpu")
    return path


def test_checkpoint_of_another_space_is_refused(checkpoint: Path, data: Dataset) -> None:
    with pytest.raises(CheckpointError, match=r"supernet\.pt: holds the supernet of another space") as caught:
        load_supernet(checkpoint, load_space("tiny"))
    assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match="another space"):
        train(load_space("tiny"), data, CONFIG, checkpoint, resume=True, device="cpu")


def test_checkpoint_serves_a_space_confined_to_fewer_placements(checkpoint: Path, space: SearchSpace) -> None:
    assert load_supernet(checkpoint, space.restricted("split")).step == 1


def test_resuming_with_other_settings_is_refused_by_name(checkpoint: Path, space: SearchSpace, data: Dataset) -> None:
    with pytest.raises(CheckpointError, match=r"steps = 1, now 6"):
        train(space, data, CONFIG, checkpoint, resume=True, device="cpu")


def test_checkpoint_carries_the_names_of_its_classes(checkpoint: Path, data: Dataset) -> None:
    assert load_supernet(checkpoint).classes == data.classes == tuple("0123456789")


def test_resuming_on_other_classes_is_refused_by_name(checkpoint: Path, space: SearchSpace, data: Dataset) -> None:
    config = CONFIG.model_copy(update={"steps": 1})
    for classes, named in (
        (("zero", *data.classes[1:]), "'0' only then; 'zero' only now"),
        (data.classes[::-1], "order: '0'"),
    ):
        with pytest.raises(CheckpointError, match=rf"supernet\.pt: trained on other classes: {named}"):
            train(space, replace(data, classes=classes), config, checkpoint, resume=True, device="cpu")


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.99])
def test_truncated_checkpoint_is_named_in_one_line(checkpoint: Path, tmp_path: Path, keep: float) -> None:
    content = checkpoint.read_bytes()
    path = tmp_path / "cut.pt"
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(CheckpointError, match=r"cut\.pt: truncated") as caught:
        load_supernet(path)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def trained(
    space: SearchSpace, data: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Supernet, list[float]]:
    """A supernet in which only the link and its place are chosen, trained for a few seconds, and its losses."""
    phases = tuple(PhaseSpace(widths=(16,), kernels=(3,), expands=(2,)) for _ in range(2))
    update = {"phases": phases, "input": space.input.model_copy(update={"resolutions": (16,)})}
    config = TrainConfig(steps=160, batch=32, learning_rate=1e-2, warmup_steps=5, random_subnetworks=2)
    path = tmp_path_factory.mktemp("trained") / "supernet.pt"
    losses: list[float] = []
    supernet = train(
        space.model_copy(update=update), data, config, path, device="cpu", report=lambda r: losses.append(r.loss)
    )
    return supernet, losses


def test_training_lowers_the_loss(trained: tuple[Supernet, list[float]]) -> None:
    _, losses = trained
    assert sum(losses[-20:]) < 0.5 * sum(losses[:20])


def test_every_placement_scores_far_above_chance(trained: tuple[Supernet, list[float]], data: Dataset) -> None:
    supernet, _ = trained
    space, calibration = supernet.space, calibration_images(data.train)
    ends = [space.largest(0), space.largest(99)]
    cuts = [replace(space.largest(at), link_dtype="uint8", reduce_ratio=0.25) for at in (1, 2, 3)]
    architectures = [space.canonical(a) for a in ends + cuts]
    evaluator = SupernetEvaluator(supernet, data.search, calibration)
    scores = evaluator.score([*architectures, architectures[0]])
    assert len(scores) == 6
    assert min(found.accuracy for found in scores) > 0.6
    assert scores[0] == scores[5] == score(supernet, architectures[0], data.search, calibration).score
    assert set(evaluator.cache) == set(architectures)
    for architecture, expected in zip(architectures, scores, strict=False):
        subnetwork = extract(supernet, architecture, calibration)
        found = score_subnetwork(subnetwork, data.search)
        assert found.correct.shape == found.log_likelihood.shape == (len(data.search),)
        assert found.score.accuracy == pytest.approx(expected.accuracy, abs=2 / len(data.search))
        assert found.score.log_likelihood == pytest.approx(expected.log_likelihood, abs=0.02)


def test_fine_tuning_helps_and_leaves_the_link_alone(trained: tuple[Supernet, list[float]], data: Dataset) -> None:
    supernet, _ = trained
    architecture = supernet.space.canonical(replace(supernet.space.largest(2), link_dtype="uint8", reduce_ratio=0.25))
    subnetwork = extract(supernet, architecture, calibration_images(data.train))
    before, link = score_subnetwork(subnetwork, data.search).score, subnetwork.quantisation
    assert link is not None
    scale = link.scale.clone()
    schedule = FineTuneConfig(steps=150, batch=32, learning_rate=5e-3)
    teacher = supernet.space.largest(0)
    tuned = fine_tune(
        subnetwork, data.train, data.augmentation, schedule, teacher=lambda images: supernet(images, teacher)
    )
    assert tuned is subnetwork
    assert not subnetwork.training
    after = score_subnetwork(subnetwork, data.search).score
    assert after.accuracy > before.accuracy + 0.02
    assert after.log_likelihood > before.log_likelihood
    assert subnetwork.quantisation is not None
    assert torch.equal(subnetwork.quantisation.scale, scale)


def test_fine_tuning_in_parts_equals_fine_tuning_in_one_go(space: SearchSpace, data: Dataset) -> None:
    schedule = FineTuneConfig(steps=9, batch=16, learning_rate=5e-3)
    calibration = calibration_images(data.train)
    whole, parts = (extract(Supernet(space), space.largest(2), calibration) for _ in range(2))
    fine_tune(whole, data.train, data.augmentation, schedule)
    tuning = FineTuning(parts, data.train, data.augmentation, schedule)
    for steps, behind in ((2, 2), (0, 2), (4, 6), (99, 9), (1, 9)):
        tuning.advance(steps)
        assert tuning.step == behind
        assert not parts.training
    for name, value in whole.state_dict().items():
        assert torch.equal(value, parts.state_dict()[name]), name


def test_fine_tuning_goes_on_where_it_was_stopped(
    space: SearchSpace, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = FineTuneConfig(steps=9, batch=16, learning_rate=5e-3)
    calibration = calibration_images(data.train)
    whole, stopped, other = (extract(Supernet(space), space.largest(2), calibration) for _ in range(3))
    fine_tune(whole, data.train, data.augmentation, schedule)
    monkeypatch.setattr(finetune_checkpoint, "SAVE_EVERY_S", 0)
    path = tmp_path / "fine-tuning.pt"
    with pytest.raises(KeyboardInterrupt):
        fine_tune_resumably(path, FineTuning(stopped, data.train, data.augmentation, schedule), StopAfter(5))
    tuning = resumed(path, other, data.train, data.augmentation)
    assert tuning.step == 4  # the step that was reported when it was stopped had not been saved
    fine_tune_resumably(path, tuning, lambda _: None)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
    again = resumed(path, extract(Supernet(space), space.largest(2), calibration), data.train, data.augmentation)
    fine_tune_resumably(path, again, StopAfter(0))
    assert again.step == 9
    assert not again.subnetwork.training
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.subnetwork.state_dict()[name]), name


DIVERGES = CONFIG.model_copy(update={"learning_rate": 1e30, "warmup_steps": 0, "optimiser": "sgd"})


def test_training_that_diverges_says_where_and_keeps_the_last_good_checkpoint(
    checkpoint: Path, space: SearchSpace, data: Dataset, tmp_path: Path
) -> None:
    path = tmp_path / "kept.pt"
    content = checkpoint.read_bytes()
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=r"diverged at step \d of 6: .* not finite \(lower learning_rate") as caught:
        train(space, data, DIVERGES, path, device="cpu")
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content
    assert [file.name for file in tmp_path.iterdir()] == ["kept.pt"]


def test_diverged_weights_are_not_saved_on_an_interrupt(space: SearchSpace, data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="diverged at step 1 of 6"):
        train(
            space, data, DIVERGES.model_copy(update={"learning_rate": 3e38, "weight_decay": 100.0, "clip_norm": 1e30}),
            tmp_path / "a.pt", device="cpu", report=StopAfter(1),
        )  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_fine_tuning_that_diverges_says_where(space: SearchSpace, data: Dataset) -> None:
    network = extract(Supernet(space), space.largest(2), calibration_images(data.train))
    config = FineTuneConfig(steps=6, batch=16, learning_rate=1, optimiser="sgd")
    config = config.model_copy(update={"learning_rate": DIVERGES.learning_rate})
    with pytest.raises(TrainingError, match=r"diverged at step \d of 6"):
        fine_tune(network, data.train, data.augmentation, config)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_search_with_weights_that_are_not_finite_is_refused(space: SearchSpace, data: Dataset, value: float) -> None:
    supernet = Supernet(space)
    name, weight = list(supernet.named_parameters())[7]
    with torch.no_grad():
        weight.view(-1)[0] = value
    with pytest.raises(TrainingError, match=rf"cannot be searched: {name} holds values that are not finite"):
        SupernetEvaluator(supernet, data.search, calibration_images(data.train))


class Counting:
    """An augmentation that notes how many images it is given."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        self.seen.append(len(images))
        return images


@pytest.mark.parametrize(("every", "samples", "seen"), [(2, 99, 24), (1, 99, 8), (2, 5, 5), (2, 2, 2)])
def test_between_sandwiches_every_network_has_images_of_its_own(
    space: SearchSpace, data: Dataset, tmp_path: Path, every: int, samples: int, seen: int
) -> None:
    counting = Counting()
    few = replace(data, train=data.train.part(torch.arange(samples)), augmentation=counting)
    config = TrainConfig(steps=2, batch=8, learning_rate=1e-3, random_subnetworks=3, sandwich_every=every)
    train(space, few, config, tmp_path / "a.pt", device="cpu")
    assert counting.seen == [seen, seen]


def test_training_fits_the_training_samples_only(space: SearchSpace, data: Dataset, tmp_path: Path) -> None:
    def refuse() -> Samples:
        raise AssertionError("the test set was opened")

    blank = Samples(torch.zeros_like(data.search.images), data.search.labels.flip(0))
    sealed = Dataset(data.name, data.description, data.classes, data.train, blank, data.augmentation, refuse)
    config = CONFIG.model_copy(update={"steps": 2})
    with_search = train(space, data, config, tmp_path / "a.pt", device="cpu")
    without = train(space, sealed, config, tmp_path / "b.pt", device="cpu")
    assert torch.equal(weights(with_search), weights(without))


def test_finalists_fine_tuned_step_by_step_or_at_once_are_the_same(
    trained: tuple[Supernet, list[float]], data: Dataset
) -> None:
    supernet, _ = trained
    architecture = supernet.space.canonical(replace(supernet.space.smallest(2), link_dtype="uint8"))
    config = FineTuneConfig(steps=9, batch=16, learning_rate=5e-3)
    stepwise, at_once = (FineTuner(supernet, data, calibration_images(data.train), config) for _ in range(2))
    [first] = stepwise.tune([architecture], (5,))
    [second] = stepwise.tune([architecture], (5, 10))
    other = supernet.space.largest(2)
    again = next(scores for scores in zip(*[at_once.tune([architecture, other], (5, 10))], strict=True))[0]
    assert not np.array_equal(first.log_likelihood, second.log_likelihood)
    np.testing.assert_array_equal(second.log_likelihood, again.log_likelihood)
    assert len(second.correct) == len(data.search)
