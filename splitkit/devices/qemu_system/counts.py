"""What a profiled firmware says: instructions of a run and of each kernel, and the stack it took."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splitkit.devices.qemu_system.board import COUNTER_BITS, Board
from splitkit.errors import DeviceError

HEADER = 6
"""Words before the time stamps; `firmware/main.c` says which."""


@dataclass(frozen=True)
class Counts:
    """Instructions, exact and the same in every run.

    Attributes:
        graph: one run of the network as a product runs it, called and returned from.
        kernels: each kernel with the code that calls it, in call order, shape (kernels,); from a run with time stamps,
            what a stamp costs taken off.
        stack_bytes: stack below the caller of `NAME_run`, painted before and looked at after the run.
    """

    graph: int
    kernels: NDArray[np.int64]
    stack_bytes: int

    @staticmethod
    def report_bytes(kernels: int) -> int:
        """Size of the firmware's report."""
        return 4 * (HEADER + kernels + 1)

    @classmethod
    def read(cls, report: bytes, board: Board, device: str) -> "Counts":
        """From the firmware's report.

        Raises:
            DeviceError: a kernel failed.
        """
        words = np.frombuffer(report, "<u4").astype(np.int64)
        _, stamp, nothing, run, stack_bytes, status = words[:HEADER].tolist()
        if status != 0:
            raise DeviceError(f"device {device}: a kernel failed")
        ticks = np.diff(words[HEADER:]) % (1 << COUNTER_BITS)
        per_stamp = board.instructions(stamp)
        kernels = np.array([board.instructions(t) - per_stamp for t in ticks.tolist()], dtype=np.int64)
        # A whole run may go round the counter several times; the sum of the kernels says how often.
        whole = 1 << COUNTER_BITS
        seen = float(kernels.sum()) * board.ticks_per_instruction
        run += max(0, round((seen - run) / whole)) * whole
        return cls(board.instructions(run) - board.instructions(nothing), kernels, int(stack_bytes))
