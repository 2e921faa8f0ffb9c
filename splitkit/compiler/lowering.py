"""Any kernel specification as functions ready for code generation."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from splitkit.compiler.arena import aligned
from splitkit.compiler.kernels import emit
from splitkit.compiler.kernels.elementwise import emit_elementwise
from splitkit.compiler.kernels.matmul import emit_matmul
from splitkit.compiler.kernels.resize import emit_resize
from splitkit.compiler.kernels.rows import emit_rows
from splitkit.compiler.machine import Machine
from splitkit.compiler.quiet import quiet
from splitkit.compiler.reading.infer import one_line
from splitkit.compiler.spec import AnySpec, ElementwiseSpec, FallbackSpec, MatmulSpec, ResizeSpec, RowSpec
from splitkit.errors import ModelError


@dataclass(frozen=True)
class KernelFunction:
    """A private function on raw pointers in lowered form: operands in order, then a workspace if it needs one."""

    func: Any
    workspace_bytes: int


def lower_kernels(specs: Sequence[AnySpec], machine: Machine) -> list[KernelFunction]:
    """The function of every specification, in order."""
    found: dict[int, KernelFunction] = {}
    fallbacks = {i: s for i, s in enumerate(specs) if isinstance(s, FallbackSpec)}
    found |= _lower_together(fallbacks, machine)
    for i, spec in enumerate(specs):
        if isinstance(spec, ElementwiseSpec):
            found[i] = KernelFunction(emit_elementwise(spec, machine), 0)
        elif isinstance(spec, MatmulSpec):
            found[i] = KernelFunction(emit_matmul(spec, machine), 0)
        elif isinstance(spec, RowSpec):
            found[i] = KernelFunction(emit_rows(spec, machine), 0)
        elif isinstance(spec, ResizeSpec):
            found[i] = KernelFunction(*emit_resize(spec, machine))
        elif not isinstance(spec, FallbackSpec):
            scheduled = emit(spec, machine)
            found[i] = KernelFunction(scheduled.func, scheduled.workspace_bytes)
    return [found[i] for i in range(len(specs))]


def _lower_together(specs: dict[int, FallbackSpec], machine: Machine) -> dict[int, KernelFunction]:
    """All in one module; if that fails, one after the other, to name whose fault it is."""
    with quiet():
        problem = ""
        try:
            return _lower_fallbacks(specs, machine)
        except Exception as error:  # TVM's passes raise whatever they meet
            problem = one_line(error)
    if len(specs) == 1:
        (spec,) = specs.values()
        raise ModelError(f"the compiler cannot lower its own kernel {spec.label()}: {problem}")
    for i, spec in specs.items():
        _lower_together({i: spec}, machine)
    raise ModelError(f"the compiler cannot lower its own kernels together: {problem}")


def _lower_fallbacks(specs: dict[int, FallbackSpec], machine: Machine) -> dict[int, KernelFunction]:
    """TVM's own functions through TVM's own pipeline, all in one module."""
    if not specs:
        return {}
    import tvm
    from tvm import ir, tirx
    from tvm.ir import GlobalVar

    names = {i: GlobalVar(f"fallback{i}") for i in specs}
    functions = {i: ir.load_json(spec.tir) for i, spec in specs.items()}
    if _addresses_are_32_bits(machine):
        functions |= {i: _narrowed(functions[i]) for i, spec in specs.items() if "int64" not in spec.dtypes}
    module = tvm.IRModule({names[i]: _on_pointers(func) for i, func in functions.items()})
    module = tirx.transform.BindTarget(machine.target.with_host(machine.target))(module)
    pipeline, _, _ = tirx.get_tir_pipeline("s_tir")
    module = pipeline(module)
    by_name = {str(g.name_hint): f for g, f in module.functions.items()}
    return {i: _with_workspace(by_name[f"fallback{i}"].without_attr("tirx.is_entry_func")) for i in specs}


def _addresses_are_32_bits(machine: Machine) -> bool:
    arch = str(machine.target.attrs.get("mtriple", "")).split("-")[0]
    return arch.startswith(("arm", "thumb", "riscv32")) and not arch.startswith("arm64")


def _narrowed(func: Any) -> Any:
    """The same function with 32-bit indices.

    TVM's are 64 bits wide. Where registers are not, converting them from and to floats is a call of the compiler's
    library, slow, and on Cortex-M wrong: LLVM passes the float in a floating-point register there, where libgcc (by
    the Arm ABI, for these functions) looks for it in an integer one.
    """
    import tvm
    from tvm import tirx

    return tirx.transform.ForceNarrowIndexToInt32()(tvm.IRModule({"main": func}))["main"]


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


def _with_workspace(func: Any) -> KernelFunction:
    """The same function with its temporaries in a workspace it is given, so that the memory plan sees them."""
    from tvm import tirx
    from tvm.ir import PointerType, PrimType

    workspace = tirx.Var("workspace", PointerType(PrimType("float32")))
    size = 0

    def rewrite(stmt: Any) -> Any:
        nonlocal size
        match stmt:
            case tirx.SeqStmt():
                return tirx.SeqStmt([rewrite(s) for s in stmt.seq])
            case tirx.For():
                return tirx.For(
                    stmt.loop_var,
                    stmt.min,
                    stmt.extent,
                    stmt.kind,
                    rewrite(stmt.body),
                    stmt.thread_binding,
                    stmt.annotations,
                )
            case tirx.IfThenElse():
                other = rewrite(stmt.else_case) if stmt.else_case is not None else None
                return tirx.IfThenElse(stmt.condition, rewrite(stmt.then_case), other)
            case tirx.AttrStmt():
                return tirx.AttrStmt(stmt.node, stmt.attr_key, stmt.value, rewrite(stmt.body))
            case tirx.AllocBuffer():
                at, shape = size, [int(d) for d in stmt.buffer.ty.shape]
                size += aligned(prod(shape) * np.dtype(str(stmt.buffer.ty.dtype)).itemsize)
                return tirx.DeclBuffer(stmt.buffer, data=tirx.handle_add_byte_offset(workspace, at))
        return stmt

    # The lowering lets temporaries share memory under several names, which must then not count as distinct.
    func = func.without_attr("tirx.noalias")
    body = rewrite(func.body)
    if not size:
        return KernelFunction(func, 0)
    rewritten = tirx.PrimFunc([*func.params, workspace], body, ret_type=func.ret_type, attrs=func.attrs)
    return KernelFunction(rewritten, size)
