"""Extraction, folding and saving, against the supernet itself."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from splitkit.errors import CheckpointError, ConfigError
from splitkit.space import Architecture, Sampler, SearchSpace, describe, load_space
from splitkit.space.search_space import PhaseSpace
from splitkit.supernet import SubNetwork, Supernet, calibrate, extract
from tests.space.strategies import FUSIONS, with_fusions, with_views


def with_squeeze_excite(space: SearchSpace) -> SearchSpace:
    phases = tuple(PhaseSpace(**{**phase.model_dump(), "squeeze_excite": True}) for phase in space.phases)
    head = space.head.model_copy(update={"widths": (0, 32)})
    return space.model_copy(update={"phases": phases, "head": head})


SPACES = {
    "tiny": load_space("tiny"),
    "two views": with_views(load_space("tiny"), 2),
    "three views, any fusion": with_fusions(with_views(load_space("tiny"), 3), *FUSIONS),
    "views that may lack": with_fusions(with_views(load_space("tiny"), 3, masked=True), *FUSIONS),
    "cifar": load_space("cifar"),
    "squeeze-excite": with_squeeze_excite(load_space("tiny")),
}


def images_for(space: SearchSpace, n: int = 16) -> Tensor:
    shape = (n, space.views, space.input.channels, space.input.size, space.input.size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def sample(space: SearchSpace, n: int) -> list[Architecture]:
    sampler = Sampler(space, np.random.default_rng(0))
    ends = [space.largest(0), space.largest(99), space.smallest(3)]
    return ends + [sampler.uniform() for _ in range(n)]


@pytest.mark.parametrize("name", SPACES)
def test_extracted_network_equals_supernet_after_recalibration(name: str) -> None:
    space = SPACES[name]
    supernet, images = Supernet(space), images_for(space)
    for architecture in sample(space, 3 if name == "cifar" else 6):
        with torch.no_grad():
            expected = supernet(images, architecture, calibrate(supernet, architecture, images))
            got = extract(supernet, architecture, images)(images)
        assert expected.std() > 0.02, "vanishing scores prove nothing"
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


def test_calibration_makes_evaluation_equal_training_on_the_same_batch() -> None:
    space = SPACES["tiny"]
    supernet, images = Supernet(space), images_for(space, 64)
    architecture = space.largest(4)
    with torch.no_grad():
        in_training = supernet(images, architecture)
        calibrated = supernet(images, architecture, calibrate(supernet, architecture, images))
    # Running variances are unbiased, batch ones are not: n / (n - 1) at 64 images of at least 4x4 pixels.
    torch.testing.assert_close(calibrated, in_training, rtol=0.02, atol=0.02)


def test_folding_leaves_one_biased_convolution_each_and_the_same_scores() -> None:
    space = SPACES["squeeze-excite"]
    supernet, images = Supernet(space), images_for(space)
    for architecture in [a for a in sample(space, 8) if a.link_dtype == "float32"]:
        subnetwork = extract(supernet, architecture, images)
        folded = subnetwork.folded_copy()
        assert not [m for m in folded.modules() if isinstance(m, nn.BatchNorm2d)]
        assert all(m.bias is not None for m in folded.modules() if isinstance(m, nn.Conv2d))
        with torch.no_grad():
            torch.testing.assert_close(folded(images), subnetwork(images), rtol=1e-4, atol=1e-5)


def test_modules_have_the_shapes_that_the_operators_say() -> None:
    space = SPACES["two views"]
    for architecture in sample(space, 12):
        subnetwork, network = SubNetwork(space, architecture), describe(space, architecture)
        for side in ("sensor", "aggregator"):
            module = getattr(subnetwork, side)
            operators = network.operators(side)
            if module is None:
                assert not operators
                continue
            weights = [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
            wanted = [op for op in operators if op.kind in ("conv", "linear")]
            assert sorted(m.weight.shape[0] for m in weights) == sorted(op.output.shape[1] for op in wanted)


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_link_tensor_has_the_dtype_and_shape_of_the_description(dtype: str) -> None:
    space = SPACES["two views"]
    architecture = space.canonical(replace(space.largest(4), link_dtype=dtype, reduce_ratio=0.25))
    subnetwork = extract(Supernet(space), architecture, images_for(space))
    assert subnetwork.sensor is not None
    assert subnetwork.aggregator is not None
    frame = images_for(space)[3]
    with torch.no_grad():
        link = subnetwork.sensor(frame)
        scores = subnetwork.aggregator(link)
        whole = subnetwork(images_for(space))[3:4]
    expected = describe(space, architecture).link
    assert str(link.dtype) == f"torch.{expected.dtype}"
    assert link.shape[1:] == expected.shape[1:]
    assert link.shape[0] == space.views
    assert scores.shape == (1, space.head.classes)
    torch.testing.assert_close(scores, whole, rtol=1e-4, atol=1e-4)


def test_uint8_link_uses_its_whole_range() -> None:
    space = SPACES["tiny"]
    architecture = space.canonical(replace(space.largest(4), link_dtype="uint8", reduce_ratio=0.25))
    subnetwork = extract(Supernet(space), architecture, images_for(space))
    assert subnetwork.sensor is not None
    with torch.no_grad():
        link = subnetwork.sensor(images_for(space).flatten(0, 1))
    assert link.min() <= 1
    assert link.max() >= 254


def test_saved_subnetwork_loads_with_equal_scores(tmp_path: Path) -> None:
    space = SPACES["tiny"]
    architecture = space.canonical(replace(space.largest(4), link_dtype="uint8"))
    subnetwork = extract(Supernet(space), architecture, images_for(space))
    for network, path in ((subnetwork, tmp_path / "a.pt"), (subnetwork.folded_copy(), tmp_path / "b.pt")):
        network.save(path)
        loaded = SubNetwork.load(path)
        assert loaded.architecture == architecture
        with torch.no_grad():
            assert torch.equal(loaded(images_for(space)), network(images_for(space)))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.pt", "b.pt"]


def test_truncated_or_foreign_file_is_named_in_one_line(tmp_path: Path) -> None:
    space = SPACES["tiny"]
    path = tmp_path / "subnetwork.pt"
    extract(Supernet(space), space.smallest(2), images_for(space)).save(path)
    whole = path.read_bytes()
    foreign = tmp_path / "foreign.pt"
    torch.save({"weights": torch.zeros(3)}, foreign)
    for content in (whole[: len(whole) // 2], b"", b"not a checkpoint", foreign.read_bytes()):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"subnetwork\.pt") as caught:
            SubNetwork.load(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        SubNetwork.load(tmp_path / "absent.pt")


def test_architecture_of_another_space_is_refused() -> None:
    space = SPACES["tiny"]
    with pytest.raises(ConfigError, match="cifar"):
        extract(Supernet(space), SPACES["cifar"].smallest(1), images_for(space))
