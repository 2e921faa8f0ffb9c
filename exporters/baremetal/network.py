"""What the generated files are written from."""

from collections.abc import Mapping
from dataclasses import dataclass

from splitkit.compiler.build import Build
from splitkit.compiler.kernel import Kernel
from splitkit.compiler.machine import Machine
from splitkit.compiler.module import WEIGHTS
from splitkit.space.tensor import TensorSpec


@dataclass(frozen=True)
class Layer:
    """One kernel call: where in the model it comes from, and the kernel."""

    origin: str
    kernel: Kernel

    @property
    def title(self) -> str:
        """A line for people: `p0.stride.expand: conv k=1 ...`."""
        return f"{self.origin}: {self.kernel.label}" if self.origin else self.kernel.label


@dataclass(frozen=True)
class Network:
    """A planned graph (or unconnected kernels, which have neither inputs nor outputs) under its C name.

    Attributes:
        quantisation: scale and zero point of the tensors that have them; real = (stored - zero point) * scale.
        alignment: bytes; where every buffer of the arena and every constant begins.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    layers: tuple[Layer, ...]
    build: Build
    quantisation: Mapping[str, tuple[float, int]]
    alignment: int

    @property
    def macro(self) -> str:
        """What its macros begin with."""
        return self.name.upper()

    def symbol(self, kernel: int) -> str:
        """The C function of a distinct kernel."""
        return f"{self.name}_kernel_{kernel}"

    @property
    def weight_bytes(self) -> int:
        """Size of the constants; 0 if no kernel reads any."""
        used = any(address.region == WEIGHTS for call in self.build.calls for address in call.addresses)
        return int(self.build.weights.nbytes) if used else 0

    @property
    def arena_bytes(self) -> int:
        """Size of the arena, a multiple of the alignment; 0 if there is none."""
        return self.build.arena_bytes


def arena_alignment(machine: Machine) -> int:
    """Kernels take data at any address its type may have; a vector's own alignment is faster, 8 is the stack's."""
    return max(8, 4 * machine.lanes)
