"""The constants of a program, packed for its kernels, in one block of bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitkit.compiler.arena import ALIGNMENT, aligned
from splitkit.compiler.kernels import pack_bias, pack_weight
from splitkit.compiler.machine import Machine
from splitkit.compiler.program import Call, Constant
from splitkit.compiler.spec import AnySpec, ConvSpec, LinearSpec


@dataclass(frozen=True)
class Constants:
    """Bytes of all constants, and the offset of each by (call, operand) position."""

    data: NDArray[np.uint8]
    offsets: dict[tuple[int, int], int]


def pack_constants(calls: Sequence[Call], machine: Machine, alignment: int = ALIGNMENT) -> Constants:
    """Pack every constant operand; equal operands of several calls are stored once."""
    parts: list[bytes] = []
    known: dict[tuple[int, str, str], int] = {}
    offsets: dict[tuple[int, int], int] = {}
    size = 0
    for index, call in enumerate(calls):
        for position, operand in enumerate(call.operands):
            if not isinstance(operand, Constant):
                continue
            identity = (id(operand.value), operand.role, _packing(call.spec))
            if identity not in known:
                data = _pack(call.spec, operand, machine).tobytes()
                known[identity] = size
                parts.append(data.ljust(aligned(len(data), alignment), b"\0"))
                size += len(parts[-1])
            offsets[index, position] = known[identity]
    return Constants(np.frombuffer(b"".join(parts) or bytes(alignment), np.uint8), offsets)


def _packing(spec: AnySpec) -> str:
    return repr(spec) if isinstance(spec, ConvSpec | LinearSpec) else ""


def _pack(spec: AnySpec, constant: Constant, machine: Machine) -> NDArray[Any]:
    if isinstance(spec, ConvSpec | LinearSpec) and constant.role == "weight":
        return pack_weight(spec, constant.value, machine)
    if isinstance(spec, ConvSpec | LinearSpec) and constant.role == "bias":
        return pack_bias(spec, constant.value, machine)
    return np.ascontiguousarray(constant.value)
