"""A generated network in a firmware: counts reproduce exactly, add up, and the stack is what the report says."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from splitkit.bench import build_from_space
from splitkit.bench.measure import compile_for
from splitkit.devices import get_device
from splitkit.devices.qemu_system import QemuSystemDevice
from splitkit.graphs.graph import RenderedGraph
from splitkit.latency import LutStore
from splitkit.latency.kernel_times import conditions_of
from splitkit.profiles import load_device, load_system
from splitkit.space import describe
from tests.networks import random_architectures, space_of, with_link

pytestmark = pytest.mark.toolchain

RUNS = 10


@pytest.mark.parametrize("name", ["stm32h743", "alif-e3-hp"])
def test_counts_reproduce_and_add_up(
    name: str, needs: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("arm-none-eabi-gcc", "qemu-system-arm")
    monkeypatch.chdir(tmp_path)  # artifacts may lie at relative paths
    profile = load_device(name).unscaled()
    device = QemuSystemDevice(profile)
    space = space_of("tiny")
    architecture = with_link(space, random_architectures(space, 1, seed=3)[0], 2, "uint8")
    artifact = compile_for(
        device, profile.exporter, RenderedGraph(tuple(describe(space, architecture).operators("sensor"))), Path("net")
    )
    counts = [device.count(replace(artifact, path=_copied(artifact.path, Path(str(i))))) for i in range(RUNS)]
    assert len({c.graph for c in counts}) == 1
    for c in counts[1:]:
        np.testing.assert_array_equal(c.kernels, counts[0].kernels)
    assert counts[0].kernels.min() > 0
    assert counts[0].kernels.sum() == pytest.approx(counts[0].graph, rel=1e-3)
    bound = artifact.report["stack_bytes"]
    assert 0.9 * bound <= counts[0].stack_bytes <= bound


def _copied(source: Path, target: Path) -> Path:
    """The same sources with a comment more, so that the firmware is built and run anew."""
    target.mkdir()
    for file in source.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    (target / "net.h").write_text((target / "net.h").read_text() + f"/* {target.name} */\n")
    return target


@pytest.mark.slow
def test_two_tables_of_one_board_hold_the_same_rows(needs: Callable[..., None], tmp_path: Path) -> None:
    needs("arm-none-eabi-gcc", "qemu-system-arm")
    system = load_system("m7-host")
    rows = []
    for name in ("first.db", "second.db"):
        with LutStore(tmp_path / name) as store:
            build_from_space(store, space_of("tiny"), system, "sensor", networks=2)
            device = get_device(system.sensor.unscaled())
            rows.append(store.values(store.condition(conditions_of(device, system.sensor.exporter))))
    assert rows[0] == rows[1]
    assert len(rows[0]) > 10
