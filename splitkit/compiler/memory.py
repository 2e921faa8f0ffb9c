"""What a compiled graph takes of memory."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MemoryPlan:
    """Static memory of a compiled graph, in bytes. `arena_bytes` includes kernels' workspace."""

    arena_bytes: int
    weight_bytes: int
    input_bytes: int
    output_bytes: int
