"""What the schedules need to know of a target: a small machine model read from LLVM's view of it.

Everything is derived from the target's features, never from a list of CPU names, so that an unknown CPU gets sensible
kernels too. The cache sizes of this machine come from the operating system; elsewhere they are typical of the class.
"""

from dataclasses import dataclass
from math import ceil
from typing import Any

from splitkit.compiler.host_caches import host_caches
from splitkit.compiler.target import CompileTarget
from splitkit.errors import ModelError

BLOCKS = (16, 8, 4)
"""Channel blocks a tensor may be packed by, besides 1 (plain NCHW)."""


@dataclass(frozen=True)
class Machine:
    """One core of a target, and how many of them may be used.

    Attributes:
        lanes: float32 values in a vector register; 1 without vectors.
        registers: vector (or scalar float) registers.
        fused: multiply-add is one instruction.
        l1_bytes, l2_bytes: data caches of one core; 0 where there is none.
        threads: threads a kernel may use.
        target: the resolved `tvm.target.Target`.
        features: LLVM's names of what the processor has, sorted.
    """

    lanes: int
    registers: int
    fused: bool
    l1_bytes: int
    l2_bytes: int
    threads: int
    target: Any
    features: tuple[str, ...] = ()

    def has(self, feature: str) -> bool:
        """Whether the processor has it, by LLVM's name."""
        return feature in self.features

    @classmethod
    def from_target(cls, target: CompileTarget) -> "Machine":
        """Resolve a target; `{"kind": "host"}` is this CPU.

        Raises:
            ModelError: TVM does not know the target.
        """
        from tvm.target import Target, codegen

        spec = dict(target.untuned().spec)
        host = spec.get("kind") == "host"
        if host:
            spec = {
                "kind": "llvm",
                "mcpu": codegen.llvm_get_system_cpu(),
                "mtriple": codegen.llvm_get_system_triple(),
            }
        # Level 3 doubles compile time for the same inner loops: what they gain from is written out by the schedules.
        spec.setdefault("opt-level", 2)
        if str(spec.get("mtriple", "")).startswith("thumb"):
            spec.setdefault("vector-width", 128)  # what TVM takes anyhow, with a warning for each kernel
        try:
            resolved = Target(spec)
        except Exception as error:
            reason = str(error).strip().splitlines()[-1]
            raise ModelError(f"target {spec}: {reason}", "use a TVM target dict of kind llvm") from error
        features = frozenset(str(name) for name in codegen.llvm_get_cpu_features(resolved))
        lanes, registers, fused = _vectors(str(spec.get("mtriple", codegen.llvm_get_system_triple())), features)
        l1, l2 = host_caches() if host else _typical_caches(features)
        return cls(lanes, registers, fused, l1, l2, target.threads, resolved, tuple(sorted(features)))


def _vectors(triple: str, features: frozenset[str]) -> tuple[int, int, bool]:
    """Lanes, registers, and whether a fused multiply-add exists."""
    arch = triple.split("-")[0]
    if arch in ("x86_64", "i386", "i686"):
        if "avx512f" in features:
            return 16, 32, True
        if "avx" in features:
            return 8, 16, "fma" in features
        return 4, 16, False
    if arch.startswith(("aarch64", "arm64")):
        return 4, 32, True
    if arch.startswith(("arm", "thumb")):
        fused = any(name.startswith("vfp4") for name in features)
        if "mve.fp" in features:
            return 4, 8, True
        if "neon" in features:
            return 4, 16, fused
        return 1, 32 if fused else 16, fused
    return 1, 32, True


def _typical_caches(features: frozenset[str]) -> tuple[int, int]:
    microcontroller = "mclass" in features
    if microcontroller:
        return 16 * 1024, 0
    return 32 * 1024, (1024 if "avx512f" in features else 512) * 1024


def block_for(channels: int, machine: Machine) -> int:
    """Packing block of a tensor with so many channels on this machine: a function of these two only.

    Images of up to three channels stay plain. Otherwise the block whose padded channels cost the fewest vector
    operations; a vector narrower than half a register costs as much as half of one, and every block a little.
    """
    if channels <= 3 or machine.lanes == 1:
        return 1

    def cost(block: int) -> float:
        share = block / machine.lanes
        return ceil(channels / block) * (max(share, 0.5) + 0.05 + 0.02 * share)

    return min((block for block in BLOCKS if block <= max(machine.lanes, BLOCKS[-1])), key=cost)
