"""Register tiles cover the output once and fit the registers."""

import pytest

from splitkit.compiler.codegen.tiling import Tiling, balanced, tiling
from splitkit.compiler.machine import Machine, block_for
from splitkit.compiler.target import CompileTarget
from tests.compiler.test_machine import TARGETS


def covered(tiles: Tiling) -> tuple[list[int], list[int]]:
    """Channels and pixels in the order in which tiles cover them."""
    channels = [
        group.channel + g * group.width + c
        for group in tiles.groups
        for g in range(group.count)
        for c in range(group.width)
    ]
    pixels = [run.start + t * run.size + p for run in tiles.pixels for t in range(run.count) for p in range(run.size)]
    return channels, pixels


def test_balanced_pieces_differ_by_one_at_most() -> None:
    runs = balanced(49, 14)
    assert [(run.size, run.count) for run in runs] == [(13, 1), (12, 3)]


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("channels", [3, 16, 24, 40, 100, 960])
@pytest.mark.parametrize("row", [1, 7, 49, 100, 3136])
def test_tiles_cover_the_output_once_and_fit_the_registers(name: str, channels: int, row: int) -> None:
    machine = Machine.from_target(CompileTarget({"kind": "llvm"} | TARGETS[name][0]))
    tiles = tiling(channels, block_for(channels, machine), row, 1, 64, machine)
    covered_channels, covered_pixels = covered(tiles)
    assert covered_channels == list(range(len(covered_channels)))
    assert len(covered_channels) == tiles.padded_channels >= channels
    assert covered_pixels == list(range(row))
    for group in tiles.groups:
        for run in tiles.pixels:
            held = len(group.widths) if run.size > 1 else 1
            assert run.size * len(group.widths) + held + 1 <= machine.registers


def test_wide_machine_fills_its_registers() -> None:
    machine = Machine.from_target(CompileTarget({"kind": "llvm"} | TARGETS["avx512 intel"][0]))
    tiles = tiling(96, 16, 3136, 1, 64, machine)
    assert max(run.size for run in tiles.pixels) * len(tiles.groups[0].widths) >= 24
