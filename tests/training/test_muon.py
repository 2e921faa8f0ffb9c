"""Muon: what its steps look like, and what they leave alone."""

import pytest
import torch
from torch import nn

from splitkit.space import load_space
from splitkit.supernet import Supernet
from splitkit.training import TrainConfig, muon
from splitkit.training.muon import Muon, orthogonal
from splitkit.training.optimise import apply_gradients, make_optimiser


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(24, 27), (96, 432), (96, 16), (5, 1), (1, 9)])
def test_all_directions_of_an_update_are_about_alike(shape: tuple[int, int], dtype: torch.dtype) -> None:
    noise = torch.Generator().manual_seed(1)
    wide, narrow = (torch.randn(n, min(shape), generator=noise) for n in shape)
    matrix = wide @ torch.diag(torch.logspace(0, -2, min(shape))) @ narrow.T
    (update,) = orthogonal(matrix[None].to(dtype)).float()
    found = torch.linalg.svdvals(update)
    assert float(found.max()) < 1.3  # five iterations bring what is not tiny to between 0.7 and 1.2
    assert float(found.median()) > 0.6
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    exact = left @ right
    alike = float((update * exact).sum() / (update.norm() * exact.norm()))
    assert alike > 0.9


def test_a_step_moves_the_weight_by_the_learning_rate_and_keeps_its_norm() -> None:
    weight = nn.Parameter(torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(0)))
    before = weight.detach().clone()
    optimiser = Muon([weight], [], lr=0.1)
    weight.grad = torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(1)) * 1e-6  # its size is no matter
    optimiser.step()
    assert float(weight.detach().norm() / before.norm()) == pytest.approx(1)
    assert float((weight.detach() - before).norm() / before.norm()) == pytest.approx(0.1, rel=0.1)


def test_large_products_are_of_bfloat16_where_a_step_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what comes out is the same direction, to bfloat16's rounding."""
    moved = []
    for precision, macs in (("float32", 0.0), ("bfloat16", 0.0), ("bfloat16", 1e12)):
        monkeypatch.setattr(muon, "ROUNDED_MACS", macs)
        weight = nn.Parameter(torch.randn(32, 16, 3, 3, generator=torch.Generator().manual_seed(0)))
        before = weight.detach().clone()
        optimiser = Muon([weight], [], lr=0.1, precision=precision)
        weight.grad = torch.randn(32, 16, 3, 3, generator=torch.Generator().manual_seed(1))
        optimiser.step()
        moved.append((weight.detach() - before).flatten())
    exact, rounded, small = moved
    assert torch.equal(exact, small), "small products stay float32"
    assert not torch.equal(exact, rounded)
    assert float(torch.cosine_similarity(exact, rounded, 0)) > 0.999


def test_a_weight_of_zeros_has_no_norm_to_keep_and_does_no_harm() -> None:
    weight = nn.Parameter(torch.zeros(4, 4, 1, 1))
    optimiser = Muon([weight], [], lr=0.1)
    weight.grad = torch.ones_like(weight)
    optimiser.step()
    assert not weight.detach().any()


def test_attention_over_views_takes_plain_steps() -> None:
    tiny = load_space("tiny")
    space = tiny.model_copy(update={"input": tiny.input.model_copy(update={"views": 2})})
    supernet = Supernet(space)
    matrices, others = make_optimiser(
        supernet, TrainConfig(steps=4, batch=8, optimiser="muon", learning_rate=0.01)
    ).param_groups
    attend = [p for name, p in supernet.named_parameters() if "attend.weight" in name]
    assert attend
    assert {id(p) for p in attend} <= {id(p) for p in others["params"]}
    assert {id(p) for p in attend}.isdisjoint(id(p) for p in matrices["params"])


def test_what_no_batch_norm_follows_takes_plain_steps() -> None:
    supernet = Supernet(load_space("mobile"))
    config = TrainConfig(steps=4, batch=8, optimiser="muon", learning_rate=0.01)
    optimiser = make_optimiser(supernet, config)
    matrices, others = (set(map(id, group["params"])) for group in optimiser.param_groups)
    names = dict(supernet.named_parameters())
    assert {name for name, p in names.items() if id(p) in matrices} == {
        name for name, p in names.items() if p.ndim == 4 and "squeeze" not in name
    }
    assert len(matrices | others) == len(names)
    weights = {name: p.detach().clone() for name, p in names.items()}
    for p in names.values():
        p.grad = torch.full_like(p, 1e-3)
    norm = sum(float(p.grad.square().sum()) for p in names.values() if p.grad is not None) ** 0.5
    apply_gradients(supernet, optimiser, 0, config)
    step = 0.01 * 1e-3 * min(1, config.clip_norm / norm) * 1.9  # Nesterov's first step
    for name, p in names.items():
        if id(p) in others:
            torch.testing.assert_close(p.detach(), weights[name] - step, rtol=1e-4, atol=1e-8, msg=name)
