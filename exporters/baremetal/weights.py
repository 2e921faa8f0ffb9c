"""The constants: a file of bytes, and three lines of assembly that put it into flash under a C name."""

import numpy as np
from numpy.typing import NDArray

from splitkit.exporters.baremetal.driver import CHECK_FACTOR
from splitkit.exporters.baremetal.network import Network

_ASSEMBLY = """\
/* {name}: its constants, in flash. Every assembler with GNU's directives takes this (gcc, clang, armclang, zig cc). */
    .section .rodata.{name}_weights, "a", %progbits
    .balign {alignment}
    .global {name}_weights
    .type {name}_weights, %object
    .size {name}_weights, {size}
{name}_weights:
    .incbin "{name}_weights.bin"

    .section .note.GNU-stack, "", %progbits
"""


def assembly(network: Network) -> str:
    """Text of `NAME_weights.S`. The directory it lies in must be an include directory."""
    return _ASSEMBLY.format(name=network.name, alignment=network.alignment, size=network.build.weights.nbytes)


def checksum(weights: NDArray[np.uint8]) -> int:
    """The polynomial in 31, modulo 2^32, whose coefficients are the constants' little-endian words."""
    words = weights.view("<u4").astype(np.uint32)
    powers = np.full(len(words), CHECK_FACTOR, np.uint32)
    powers[:1] = 1
    with np.errstate(over="ignore"):
        return int((words * np.multiply.accumulate(powers, dtype=np.uint32)[::-1]).sum(dtype=np.uint32))
