"""Any kernel specification as functions ready for code generation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from splitkit.exporters.tvm.elementwise import emit_elementwise
from splitkit.exporters.tvm.machine import Machine
from splitkit.exporters.tvm.schedules import emit
from splitkit.exporters.tvm.spec import AnySpec, ElementwiseSpec, FallbackSpec


@dataclass(frozen=True)
class KernelFunction:
    """A private function on raw pointers in lowered form: operands in order, then a workspace pointer if it needs one."""

    func: Any
    workspace_bytes: int


def lower_kernels(specs: Sequence[AnySpec], machine: Machine) -> list[KernelFunction]:
    """The function of every specification, in order."""
    found: dict[int, KernelFunction] = {}
    fallbacks = {i: s for i, s in enumerate(specs) if isinstance(s, FallbackSpec)}
    for i, func in _lower_fallbacks(fallbacks, machine).items():
        found[i] = KernelFunction(func, 0)
    for i, spec in enumerate(specs):
        if isinstance(spec, ElementwiseSpec):
            found[i] = KernelFunction(emit_elementwise(spec, machine), 0)
        elif not isinstance(spec, FallbackSpec):
            scheduled = emit(spec, machine)
            found[i] = KernelFunction(scheduled.func, scheduled.workspace_bytes)
    return [found[i] for i in range(len(specs))]


def _lower_fallbacks(specs: dict[int, FallbackSpec], machine: Machine) -> dict[int, Any]:
    """TVM's own functions through TVM's own pipeline, all in one module."""
    if not specs:
        return {}
    import tvm
    from tvm import ir, tirx
    from tvm.ir import GlobalVar

    names = {i: GlobalVar(f"fallback{i}") for i in specs}
    module = tvm.IRModule({names[i]: _on_pointers(ir.load_json(spec.tir)) for i, spec in specs.items()})
    module = tirx.transform.BindTarget(machine.target.with_host(machine.target))(module)
    pipeline, _, _ = tirx.get_tir_pipeline("s_tir")
    module = pipeline(module)
    by_name = {str(g.name_hint): f for g, f in module.functions.items()}
    return {i: by_name[f"fallback{i}"] for i in specs}


def _on_pointers(func: Any) -> Any:
    """The same function of raw pointers instead of tensors."""
    from tvm import tirx
    from tvm.ir import PointerType

    declared, pointers = [], []
    for buffer in func.params:
        pointer = tirx.Var(f"{buffer.name}_ptr", PointerType(buffer.ty.dtype))
        pointers.append(pointer)
        declared.append(tirx.DeclBuffer(buffer, data=pointer))
    return tirx.PrimFunc(pointers, tirx.SeqStmt([*declared, func.body]), ret_type=func.ret_type, attrs=func.attrs)
