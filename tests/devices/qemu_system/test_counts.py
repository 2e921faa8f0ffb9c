"""Counter readings become instructions, exactly, however often the counter goes round."""

from typing import Any

import numpy as np
import pytest

from splitkit.devices.options import read_options
from splitkit.devices.qemu_system.board import COUNTER_BITS, Board
from splitkit.devices.qemu_system.counts import Counts
from splitkit.errors import ConfigError, DeviceError
from splitkit.profiles import load_device

from .handmade import board

BOARDS = ("stm32f446", "stm32h743", "stm32u585", "alif-e3-hp", "esp32p4")


def options(name: str) -> Board:
    return read_options(load_device(name), Board)


def report(which: Board, kernels: list[int], run: int, per_stamp: int = 12, nothing: int = 9, status: int = 0) -> bytes:
    """What the firmware would say, a reading being the counter's value at that time, cut off and gone round."""

    def ticks(instructions: int) -> int:
        return int(instructions * which.ticks_per_instruction) % (1 << COUNTER_BITS)

    stamps = np.cumsum([7, *(kernel + per_stamp for kernel in kernels)])
    header = [len(kernels), ticks(per_stamp), ticks(nothing), ticks(run + nothing), 200, status]
    return np.array([*header, *(ticks(int(at)) for at in stamps)], "<u4").tobytes()


@pytest.mark.parametrize("name", BOARDS)
def test_instructions_are_told_one_by_one(name: str) -> None:
    which = options(name)
    for start in range(40):
        for count in (0, 1, 2, 3, 1000, 1001, 123_456_789):
            first, last = (int(at * which.ticks_per_instruction) for at in (start, start + count))
            assert which.instructions(last - first) == count


@pytest.mark.parametrize("name", BOARDS)
def test_a_report_is_read_exactly_when_the_counter_goes_round(name: str) -> None:
    which = options(name)
    kernels = [5, 1_000_000_000, 17, 1_045_000_001, 1_040_000_000]
    found = Counts.read(report(which, kernels, sum(kernels) + 40), which, name)
    assert found.kernels.tolist() == kernels
    assert found.graph == sum(kernels) + 40
    assert found.stack_bytes == 200


def test_a_failed_kernel_is_an_error() -> None:
    with pytest.raises(DeviceError, match="device m7: a kernel failed"):
        Counts.read(report(options("stm32h743"), [1], 1, status=1), options("stm32h743"), "m7")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"machine": 3}, r"options\.machine: Input should be a valid string"),
        ({"flash": 3}, r"options\.flash: unknown key"),
        ({"counter": {"kind": "cmsdk-timer", "hz": 25e6}}, r"options\.counter: .*address: every counter but mcycle"),
        ({"counter": {"kind": "mcycle", "hz": 32768}}, r"options: .*counter\.hz: too slow"),
        ({"data": {"origin": 1 << 32, "bytes": 4096}}, r"options\.data\.origin: Input should be less than"),
    ],
)
def test_a_mistake_in_a_board_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"device stm32h743: {message}"):
        read_options(board(**change), Board)
