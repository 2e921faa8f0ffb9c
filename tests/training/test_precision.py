"""Training in bfloat16: what it changes, and what stays float32."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from splitkit.data import load_dataset
from splitkit.project.config import TrainSection
from splitkit.space import Architecture, load_space
from splitkit.supernet import Supernet, extract
from splitkit.training import FineTuneConfig, TrainConfig, fine_tune, train
from splitkit.training.evaluation import calibration_images, score
from splitkit.training.precision import computing_in, has_bfloat16, pick_precision

CPU = torch.device("cpu")
SPACE = load_space("tiny")
CUT = SPACE.max_units // 2


def cuts() -> list[Architecture]:
    """The largest network whole and cut, over every kind of link."""
    return [SPACE.largest(0), *(replace(SPACE.largest(CUT), link_dtype=dtype) for dtype in SPACE.link.dtypes)]


@pytest.mark.parametrize("architecture", cuts(), ids=str)
def test_scores_and_gradients_are_those_of_float32_to_three_digits(architecture: Architecture) -> None:
    supernet, noise = Supernet(SPACE), torch.Generator().manual_seed(0)
    size = SPACE.input.size
    images = torch.randint(0, 256, (32, 1, SPACE.input.channels, size, size), dtype=torch.uint8, generator=noise)
    labels = torch.randint(0, 10, (32,), generator=noise)
    scores, gradients = [], []
    for precision in ("float32", "bfloat16"):
        with computing_in(precision, CPU):
            found = supernet(images, architecture).float()
        F.cross_entropy(found, labels).backward()
        parameters = [p for p in supernet.parameters() if p.grad is not None]
        assert all(p.grad.dtype == torch.float32 for p in parameters if p.grad is not None)
        gradients.append(torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]))
        scores.append(found.detach())
        supernet.zero_grad()
    assert not torch.equal(*scores)
    assert float(scores[0].std()) > 0.1
    # Eight bits an operator, some twenty operators one after the other; a uint8 link takes its own steps.
    assert float((scores[1] - scores[0]).norm() / scores[0].norm()) < 0.05
    assert float(F.cosine_similarity(*gradients, dim=0)) > 0.97


def test_it_learns_and_goes_on_bit_for_bit_and_leaves_float32(tmp_path: Path) -> None:
    data = load_dataset("digits", SPACE)
    config = TrainConfig(
        steps=12, batch=32, optimiser="muon", learning_rate=0.07, random_subnetworks=1, precision="bfloat16"
    )

    class StopError(Exception):
        pass

    def stop(report: object) -> None:
        if getattr(report, "step", 0) == 7:
            raise StopError

    whole = train(SPACE, data, config, tmp_path / "whole.pt", device="cpu")
    often = config.model_copy(update={"checkpoint_every_s": 1e-9})
    with pytest.raises(StopError):
        train(SPACE, data, often, tmp_path / "parts.pt", device="cpu", report=stop)
    resumed = train(SPACE, data, often, tmp_path / "parts.pt", device="cpu", resume=True)
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert one.dtype == torch.float32
        assert torch.equal(one, other)
    calibration = calibration_images(data.train)
    start = score(Supernet(SPACE), SPACE.largest(0), data.search, calibration).score.log_likelihood
    assert score(whole, SPACE.largest(0), data.search, calibration).score.log_likelihood > start + 0.3


def test_fine_tuning_leaves_float32() -> None:
    data, architecture = load_dataset("digits", SPACE), SPACE.smallest(CUT)
    network = extract(Supernet(SPACE), architecture, calibration_images(data.train))
    before = [p.detach().clone() for p in network.parameters()]
    config = FineTuneConfig(steps=2, batch=32, learning_rate=1e-3, precision="bfloat16")
    fine_tune(network, data.train, data.augmentation, config)
    assert all(p.dtype == torch.float32 for p in network.parameters())
    assert not all(torch.equal(p, old) for p, old in zip(network.parameters(), before, strict=True))


def test_auto_takes_it_where_it_is_fast_and_the_space_not_small(monkeypatch: pytest.MonkeyPatch) -> None:
    assert TrainSection().precision == "auto"
    for names, wanted in (({}, False), ({"avx512_f": True}, False), ({"avx512_bf16": True}, True)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda names=names: names)
        assert has_bfloat16(CPU) == wanted
        assert pick_precision("auto", load_space("cifar"), CPU) == ("bfloat16" if wanted else "float32")
        assert pick_precision("auto", SPACE, CPU) == "float32"
        assert pick_precision("bfloat16", SPACE, CPU) == "bfloat16"
        assert pick_precision("float32", load_space("cifar"), CPU) == "float32"
