"""Kernels of the compiler's default lowering, for operators that have no family of their own."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, ClassVar

import numpy as np

from splitkit.compiler.arena import aligned
from splitkit.compiler.kernels.protocol import KernelFunction, KernelSpec, Physical
from splitkit.compiler.machine import Machine
from splitkit.compiler.program import Constant
from splitkit.compiler.quiet import quiet
from splitkit.errors import ModelError
from splitkit.graphs.reading.infer import one_line


@dataclass(frozen=True)
class FallbackSpec(KernelSpec):
    """A kernel of the compiler's default lowering. Operands: those of the function, in its order, output last.

    Attributes:
        name: what the compiler calls it, made of its operators.
        tir: the function as the compiler's JSON.
        shapes, dtypes: of every operand.
    """

    kind: ClassVar[str] = "fallback"
    name: str
    tir: str = field(repr=False)
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]

    @property
    def family(self) -> str:
        return "fallback"

    def label(self) -> str:
        shapes = ["x".join(map(str, s)) or "scalar" for s in self.shapes]
        return f"fallback {self.name} {','.join(shapes[:-1])}->{shapes[-1]} {self.dtypes[-1]}"

    def emit(self, machine: Machine) -> KernelFunction:
        return self.emit_all([self], machine)[0]

    @classmethod
    def emit_all(cls, specs: "Sequence[FallbackSpec]", machine: Machine) -> list[KernelFunction]:
        """All in one module; if that fails, one after the other, to name whose fault it is."""
        with quiet():
            problem = ""
            try:
                return cls._emit_together(specs, machine)
            except Exception as error:  # TVM's passes raise whatever they meet
                problem = one_line(error)
        if len(specs) == 1:
            raise ModelError(f"the compiler cannot lower its own kernel {specs[0].label()}: {problem}")
        for spec in specs:
            cls.emit_all([spec], machine)
        raise ModelError(f"the compiler cannot lower its own kernels together: {problem}")

    @classmethod
    def _emit_together(cls, specs: "Sequence[FallbackSpec]", machine: Machine) -> list[KernelFunction]:
        """TVM's own functions through TVM's own pipeline."""
        import tvm
        from tvm import ir, tirx
        from tvm.ir import GlobalVar

        names = [GlobalVar(f"fallback{i}") for i in range(len(specs))]
        functions = [ir.load_json(spec.tir) for spec in specs]
        if _addresses_are_32_bits(machine):
            functions = [
                func if "int64" in spec.dtypes else _narrowed(func) for spec, func in zip(specs, functions, strict=True)
            ]
        module = tvm.IRModule({name: _on_pointers(func) for name, func in zip(names, functions, strict=True)})
        module = tirx.transform.BindTarget(machine.target.with_host(machine.target))(module)
        pipeline, _, _ = tirx.get_tir_pipeline("s_tir")
        module = pipeline(module)
        by_name = {str(g.name_hint): f for g, f in module.functions.items()}
        lowered = (by_name[str(name.name_hint)].without_attr("tirx.is_entry_func") for name in names)
        return [_with_workspace(func) for func in lowered]

    def sample(self, rng: np.random.Generator) -> "list[Physical | Constant]":
        return list(zip(self.shapes, self.dtypes, strict=True))


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
