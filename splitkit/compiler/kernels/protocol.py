"""What a family of kernels is: a specification that knows how to become code, and which operators it stands for.

A specification is plain data, everything code generation needs to know of one kernel and nothing of where it stands.
Its JSON is the kernel's payload, the hash of that JSON its key, so that equal kernels of different networks share one
row of the latency table.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from splitkit.compiler.codegen.tiling import Tile
from splitkit.compiler.machine import Machine

if TYPE_CHECKING:
    from splitkit.compiler.grouping import Group
    from splitkit.compiler.program import Constant
    from splitkit.compiler.selection import Selector
    from splitkit.graphs.reading.graph import Graph, Node

UNSAID = {"unsaid": True}
"""Metadata of a field that is left out of the payload where it has its default: it came after tables were filled."""

SHORT = {"float32": "f32", "float16": "f16", "uint8": "u8", "int8": "s8", "int32": "s32"}
"""Dtypes as labels say them."""

Physical = tuple[tuple[int, ...], str]
"""Physical shape and dtype of an operand in memory."""


@dataclass(frozen=True)
class KernelFunction:
    """A private `tirx.PrimFunc` on raw pointers, in lowered form.

    Its parameters are the specification's operands in order, then a workspace pointer if `workspace_bytes` > 0. All are
    aligned to 64 bytes and do not overlap. The function needs no lowering but `LowerIntrin`, and no pass that moves
    allocations (`StorageRewrite`) may touch it.
    """

    func: Any
    workspace_bytes: int = 0


@dataclass(frozen=True)
class KernelSpec(ABC):
    """One kernel. A family is a subclass in a module of this package; nothing else has to know of it.

    Operands are in the order that the subclass states, constants included, the output last.
    """

    kind: ClassVar[str]
    """What payloads call the family, and groups of operators that become it."""

    @property
    @abstractmethod
    def family(self) -> str:
        """What tables, regressions and reports group kernels by."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one call."""
        return 0

    @abstractmethod
    def label(self) -> str:
        """The kernel in words, such as `linear 1x64->10 +bias f32`."""

    @abstractmethod
    def emit(self, machine: Machine) -> KernelFunction:
        """Its code."""

    @classmethod
    def emit_all(cls, specs: Sequence[Self], machine: Machine) -> list[KernelFunction]:
        """Code of several, in order; for families that are cheaper to lower together."""
        return [_emitted(spec, machine) for spec in specs]

    @abstractmethod
    def sample(self, rng: np.random.Generator) -> "list[Physical | Constant]":
        """Operands it can be timed on: shapes and dtypes of activations, random constants."""

    def pack(self, role: str, value: NDArray[Any], machine: Machine) -> NDArray[Any]:
        """A constant in the layout the kernel reads. `role` is `weight`, `bias` or `raw`."""
        return np.ascontiguousarray(value)

    def packs_alike(self) -> str:
        """Text that is equal for kernels that pack equal constants equally."""
        return ""

    def constant_bytes(self, role: str, value: NDArray[Any]) -> int:
        """Bytes of a constant before padding to blocks: what the model says, whatever the packing."""
        return int(value.nbytes)

    def tiles(self, machine: Machine) -> tuple[Tile, ...]:
        """Register tiles worth a try when it is tuned, the most promising first; none where nothing can be chosen."""
        return ()

    def tiled_as(self, machine: Machine) -> Any:
        """What two specifications that differ in their tile share if they become the same code."""
        return None

    @classmethod
    def takes(cls, node: "Node", graph: "Graph") -> bool:
        """Whether it computes this single operator; families of several operators are found by `grouping`."""
        return False

    @classmethod
    def select(cls, group: "Group", to: "Selector") -> None:
        """Call the kernels of a group of operators of this kind."""
        raise NotImplementedError(f"{cls.__name__} has no rule")


@lru_cache(maxsize=1024)
def _emitted(spec: KernelSpec, machine: Machine) -> KernelFunction:
    """Candidates of a search and cuts of a model share most of their kernels."""
    return spec.emit(machine)
