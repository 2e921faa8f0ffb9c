"""Bundles whose frames may lack views: the aggregator is told which are there."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from splitkit.bundle import part_of
from splitkit.bundle.export import reference_of
from splitkit.bundle.verify import verify
from splitkit.devices import get_device
from splitkit.exporters import get_exporter
from splitkit.graphs.export import export_half
from splitkit.profiles import load_device
from splitkit.sides import SIDES
from tests.bundle.bundles import exported
from tests.networks import digit_images, space_of, subnetwork, with_link

VIEWS = 4


@pytest.mark.parametrize("exporter", ["onnxruntime", "tvm"])
def test_an_aggregator_is_told_which_views_are_there(exporter: str) -> None:
    bundle = exported(2, "uint8", VIEWS, exporter, masked=True)
    assert bundle.manifest.aggregator is not None
    assert [tensor.name for tensor in bundle.manifest.aggregator.inputs] == ["link", "present"]
    sensor, aggregator = bundle.open("sensor"), bundle.open("aggregator")
    assert sensor is not None
    assert aggregator is not None
    images, scores = bundle.sample()
    sent = np.concatenate([sensor(view[None]) for view in images[0]])
    np.testing.assert_allclose(aggregator(sent), scores[:1], rtol=2e-2, atol=2e-2)
    np.testing.assert_array_equal(aggregator(sent, np.ones(VIEWS)), aggregator(sent))
    present = np.array([True, True, False, True])
    without = aggregator(sent, present)
    assert np.abs(without - scores[:1]).max() > 1e-3
    lost = sent.copy()
    lost[2] = 0
    np.testing.assert_array_equal(aggregator(lost, present), without)


def test_a_half_that_takes_no_mask_says_so() -> None:
    aggregator = exported(2, "uint8").open("aggregator")
    assert aggregator is not None
    with pytest.raises(ValueError, match="takes no mask"):
        aggregator(np.zeros((1, 4, 8, 8), np.uint8), np.ones(1))


def test_bundles_are_proved_with_views_missing() -> None:
    space = space_of("tiny", VIEWS, masked=True)
    network = subnetwork(space, with_link(space, space.smallest(), 2, "float32"))
    reference = reference_of(network, digit_images(VIEWS))
    assert reference.present is not None
    assert reference.present[:32].min() == 1, "a bundle's sample is of whole frames"
    assert reference.present[32:].mean() < 0.8
    assert reference.present.sum(axis=1).min() >= 1


@pytest.mark.toolchain
@pytest.mark.parametrize(
    ("name", "tools"),
    [
        ("alif-e3-hp", ("arm-none-eabi-gcc", "qemu-system-arm")),
        ("rpi4", ("aarch64-linux-gnu-g++", "qemu-aarch64-static")),
    ],
)
def test_halves_equal_the_whole_on_an_emulated_device(
    name: str, tools: tuple[str, ...], needs: Callable[..., None], tmp_path: Path
) -> None:
    """On an M55 without an operating system and on an aarch64 Linux; of 20 frames four may lack views."""
    needs(*tools)
    space = space_of("tiny", VIEWS, masked=True)
    network = subnetwork(space, with_link(space, space.smallest(), 2, "uint8"))
    reference = reference_of(network, digit_images(VIEWS)[:20])
    device = get_device(load_device(name).unscaled())
    exporter, halves = get_exporter(device.profile.exporter), {}
    for side in SIDES:
        model = export_half(network, side)
        assert model is not None
        artifact = exporter.compile(model, device.target(), tmp_path / side)
        halves[side] = part_of(artifact, device.open(artifact))
    assert reference.present is not None
    assert reference.present.min() == 0
    verify(reference, name, halves["sensor"], halves["aggregator"])
