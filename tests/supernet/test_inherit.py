"""Weights taken over from another supernet, and from a torch checkpoint of a single network."""

from pathlib import Path

import pytest
import torch
from torch import nn

from splitkit.errors import CheckpointError, ConfigError
from splitkit.space import SearchSpace, load_space
from splitkit.supernet import Supernet
from splitkit.supernet.foreign import adopt, load_table, load_tensors
from splitkit.supernet.inherit import inherit

TINY = load_space("tiny")


def changed(space: SearchSpace, **changes: object) -> SearchSpace:
    return SearchSpace.model_validate(space.model_dump() | changes)


def narrower(space: SearchSpace) -> SearchSpace:
    """Smaller in widths, windows, expansions and depth."""
    phases = [phase.model_dump() for phase in space.phases]
    phases[0] |= {"widths": [16], "kernels": [3], "expands": [2], "after": [0]}
    return changed(space, phases=phases)


def scattered(supernet: Supernet) -> Supernet:
    """No weight is what it was made with."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return supernet


def images(space: SearchSpace) -> torch.Tensor:
    size = space.input.size
    return torch.randint(0, 256, (8, 1, 1, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("space", [TINY, narrower(TINY)], ids=["same", "smaller"])
def test_a_network_of_both_spaces_computes_the_same(space: SearchSpace) -> None:
    source, supernet = scattered(Supernet(TINY)), Supernet(space, seed=5)
    assert inherit(supernet, source) == []
    for split in (0, 3, 99):
        architecture = space.largest(split)
        with torch.no_grad():
            expected, found = source(images(TINY), architecture), supernet(images(TINY), architecture)
        assert expected.std() > 0.02
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_other_classes_leave_the_classifier_as_it_was() -> None:
    space = changed(TINY, head=TINY.head.model_dump() | {"classes": 7})
    supernet = Supernet(space, seed=5)
    before = supernet.sensor.unit("head").linear("scores").weight.detach().clone()
    assert inherit(supernet, scattered(Supernet(TINY))) == ["sensor.head.scores", "aggregator.head.scores"]
    assert torch.equal(supernet.sensor.unit("head").linear("scores").weight, before)


def test_a_smaller_source_is_refused_and_nothing_is_changed() -> None:
    supernet = Supernet(TINY, seed=5)
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"sensor\.p0_.*: the other supernet has no such unit|windows of \[5\]"):
        inherit(supernet, Supernet(narrower(TINY)))
    assert all(torch.equal(value, before[name]) for name, value in supernet.state_dict().items())


class Plain(nn.Module):
    """What somebody may have trained: the stem and the classifier of `tiny`, under other names."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8))
        self.classifier = nn.Linear(64, 10)


TABLE = """
[layers]
"stem.conv" = { conv = "features.0", norm = "features.1" }
"head.scores" = { linear = "classifier" }
"""


@pytest.fixture
def plain(tmp_path: Path) -> tuple[Path, Path]:
    """A torch checkpoint and its table."""
    torch.manual_seed(0)
    model = Plain()
    nn.init.normal_(model.features[1].weight)  # type: ignore[arg-type]
    torch.save({"state_dict": model.state_dict()}, tmp_path / "plain.pt")
    (tmp_path / "table.toml").write_text(TABLE)
    return tmp_path / "plain.pt", tmp_path / "table.toml"


def test_a_table_says_which_tensors_become_which_layers(plain: tuple[Path, Path]) -> None:
    supernet = Supernet(TINY, sides="separate")
    tensors = load_tensors(plain[0])
    assert adopt(supernet, tensors, load_table(plain[1]), "plain.pt") == 2
    for side in (supernet.sensor, supernet.aggregator):
        stem = side.unit("stem").conv("conv")
        assert torch.equal(stem.weight[:8], tensors["features.0.weight"])
        assert torch.equal(stem.gain[:8], tensors["features.1.weight"])
        scores = side.unit("head").linear("scores")
        assert torch.equal(scores.weight[:10, :64], tensors["classifier.weight"])
        assert torch.equal(scores.bias, tensors["classifier.bias"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('"stem.gone" = { conv = "features.0" }', r"layers\.stem\.gone: no layer of the space tiny"),
        ('"stem.conv" = { linear = "classifier" }', r"layers\.stem\.conv: a conv layer; give it conv = PREFIX"),
        ('"stem.conv" = { conv = "features.9" }', r"plain\.pt: features\.9\.weight is missing"),
        ('"p0.stride.depthwise" = { conv = "features.0" }', r"plain\.pt: features\.0\.weight: a window"),
        ('"stem.conv" = { conv = "features.0", bias = "x" }', r"layers\.stem\.conv\.bias: unknown key"),
    ],
)
def test_what_does_not_fit_is_named(plain: tuple[Path, Path], line: str, message: str) -> None:
    plain[1].write_text(f"[layers]\n{line}\n")
    if "window" in message:  # fits but for its window
        torch.save({"features.0.weight": torch.zeros(8, 1, 1, 1)}, plain[0])
    with pytest.raises((CheckpointError, ConfigError), match=message):
        adopt(Supernet(TINY), load_tensors(plain[0]), load_table(plain[1]), "plain.pt")


def test_a_file_that_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.pt"
    path.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(CheckpointError, match=r"odd\.pt: truncated, or not a state dict"):
        load_tensors(path)
    torch.save({"epoch": 3}, path)
    with pytest.raises(CheckpointError, match=r"odd\.pt: no state dict"):
        load_tensors(path)
