"""Halves equal the whole, for random architectures cut at every position, in ONNX Runtime and compiled by TVM."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from splitkit.bundle import part_of
from splitkit.bundle.export import reference_of
from splitkit.bundle.verify import verify
from splitkit.exporters import CompileTarget, get_exporter
from splitkit.graphs.export import export_half
from splitkit.sides import SIDES
from splitkit.space import Architecture, SearchSpace
from tests.networks import digit_images, random_architectures, space_of, subnetwork, with_link

DTYPES = ("float32", "float16", "uint8")
FRAMES = 64


def assert_halves_equal_whole(space: SearchSpace, architecture: Architecture, scratch: Path) -> None:
    network = subnetwork(space, architecture)
    reference = reference_of(network, digit_images(space.views, space.input.channels, FRAMES))
    models = {side: model for side in SIDES if (model := export_half(network, side)) is not None}
    assert models
    for runtime in ("onnxruntime", "tvm"):
        exporter = get_exporter(runtime)
        artifacts = {
            side: exporter.compile(model, CompileTarget(), scratch / f"{runtime}-{side}")
            for side, model in models.items()
        }
        halves = {side: part_of(artifact, exporter.load(artifact)) for side, artifact in artifacts.items()}
        verify(reference, runtime, halves.get("sensor"), halves.get("aggregator"))


def every_position(space: SearchSpace, n: int, seed: int) -> Iterator[Architecture]:
    """Random architectures, each at every split position, link dtypes in turn."""
    for i, architecture in enumerate(random_architectures(space, n, seed)):
        for split in range(architecture.units + 1):
            yield with_link(space, architecture, split, DTYPES[(i + split) % len(DTYPES)])


@pytest.mark.parametrize(
    ("views", "split", "dtype", "masked"),
    [
        (1, 4, "uint8", False),
        (2, 1, "uint8", False),
        (2, 5, "float32", False),
        (2, 0, "", False),
        (4, 3, "uint8", True),
        (3, 0, "", True),
        (3, 99, "", True),
    ],
)
def test_halves_equal_the_whole(views: int, split: int, dtype: str, masked: bool, tmp_path: Path) -> None:
    space = space_of("tiny", views, masked=masked)
    (architecture,) = random_architectures(space, 1, seed=views + split)
    assert_halves_equal_whole(
        space, with_link(space, architecture, min(split, architecture.units), dtype or "float32"), tmp_path
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("name", "views", "n"), [("tiny", 1, 12), ("tiny", 2, 4), ("cifar", 1, 4)])
def test_halves_equal_the_whole_at_every_position(name: str, views: int, n: int, tmp_path: Path) -> None:
    space = space_of(name, views)
    for i, architecture in enumerate(every_position(space, n, seed=0)):
        assert_halves_equal_whole(space, architecture, tmp_path / str(i))
