"""bfloat16 kept in memory, float32 computed with, as TensorIR expressions on its bits.

A bfloat16 is the upper half of a float32. TVM has a type of that name, but what its code generator makes of it depends
on the processor; of integers it does not.
"""

from typing import Any

from tvm.script import tirx as T

from splitkit.autograd.native import LANES


def widened(x: Any, storage: str) -> Any:
    """`LANES` float32 of what a buffer of dtype `storage` holds."""
    if storage == "float32":
        return x
    return T.reinterpret(f"float32x{LANES}", T.shift_left(T.Cast(f"uint32x{LANES}", x), _all(16)))


def stored(x: Any, storage: str) -> Any:
    """What a buffer of dtype `storage` is to hold of `LANES` float32: the nearest, a tie to the even one."""
    if storage == "float32":
        return x
    bits = T.reinterpret(f"uint32x{LANES}", x)
    odd = T.bitwise_and(T.shift_right(bits, _all(16)), _all(1))
    return T.Cast(f"uint16x{LANES}", T.shift_right(bits + odd + _all(0x7FFF), _all(16)))


def _all(value: int) -> Any:
    return T.Broadcast(T.uint32(value), LANES)
