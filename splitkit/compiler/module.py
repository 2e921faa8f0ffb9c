"""One module out of kernels and a call list: every kernel an internal function, called by generated entries.

The entries call kernels directly at fixed offsets of the arena and the constants: no virtual machine, no packed calls.
`run` is what a user calls. `run_profiled` does the same and also writes the cycle counter before the first kernel and
after every one; where a program may not read that counter (it traps on 32-bit Arm) there is `run_one` instead, which
runs one kernel.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from splitkit.compiler.codegen.threads import Step, in_order, is_shared
from splitkit.compiler.kernels.protocol import KernelFunction
from splitkit.compiler.machine import Machine
from splitkit.errors import ModelError
from splitkit.space.tensor import TensorSpec

ENTRY = "run"
PROFILED_ENTRY = "run_profiled"
SINGLE_ENTRY = "run_one"


@dataclass(frozen=True)
class Address:
    """A place in memory: `region` is an argument of the entry (a tensor's name, `WEIGHTS` or `ARENA`)."""

    region: str
    offset: int


@dataclass(frozen=True)
class PlacedCall:
    """A kernel, by index, and where its operands (and its workspace) are."""

    kernel: int
    addresses: tuple[Address, ...]


WEIGHTS, ARENA = "%weights", "%arena"
"""Regions beside the tensors; a tensor cannot be called so."""


def build_module(
    kernels: Sequence[KernelFunction],
    labels: Sequence[str],
    calls: Sequence[PlacedCall],
    tensors: Sequence[TensorSpec],
    sizes: Mapping[str, int],
    machine: Machine,
) -> Any:
    """The lowered `tvm.IRModule`.

    `tensors` are the caller's buffers in the order in which the entries take them; after them come the weights and
    the arena as uint8 tensors of `sizes` bytes, for `run_profiled` also an int64 tensor of len(calls) + 1, for
    `run_one` the call's number, an int32.
    """
    import tvm
    from tvm import tirx
    from tvm.ir import GlobalVar

    names = [GlobalVar(label) for label in labels]
    functions: dict[Any, Any] = {
        n: _kept_whole(k.func, label) for n, k, label in zip(names, kernels, labels, strict=True)
    }
    for entry in entries(machine):
        shared = [is_shared(kernel.func) for kernel in kernels]
        func = _entry(entry, names, shared, calls, tensors, sizes, machine)
        functions[GlobalVar(entry)] = func.with_attr("global_symbol", entry)
    x = tirx.transform
    bind = x.BindTarget(machine.target.with_host(machine.target))
    passes = [bind, x.SplitHostDevice(), x.MakePackedAPI(), x.LowerTVMBuiltin(), x.LowerIntrin()]
    return tvm.ir.transform.Sequential(passes)(tvm.IRModule(functions))


def build_plain_module(kernels: Sequence[KernelFunction], symbols: Sequence[str], machine: Machine) -> Any:
    """The lowered `tvm.IRModule` of kernels that C code calls: `int32_t SYMBOL(void *, ...)`, no entry, no runtime."""
    import tvm
    from tvm import tirx
    from tvm.ir import GlobalVar, PrimType

    functions = {}
    for kernel, symbol in zip(kernels, symbols, strict=True):
        func = tirx.PrimFunc(kernel.func.params, kernel.func.body, ret_type=PrimType("int32"), attrs=kernel.func.attrs)
        functions[GlobalVar(symbol)] = func.with_attr("global_symbol", symbol)
    x = tirx.transform
    bind = x.BindTarget(machine.target.with_host(machine.target))
    # Without MakePackedAPI a function with a symbol is an ordinary C function of pointers.
    passes = [bind, x.SplitHostDevice(), x.LowerTVMBuiltin(), x.LowerIntrin()]
    return tvm.ir.transform.Sequential(passes)(tvm.IRModule(functions))


def _kept_whole(func: Any, label: str) -> Any:
    """The same kernel, its body a function that LLVM never inlines.

    TVM tells LLVM that different buffers of a kernel never alias. True inside the kernel; but two kernels that are
    inlined side by side use the same memory under different names, and LLVM would then move loads over stores.
    """
    from tvm import tirx
    from tvm.ir import PrimType, StringImm

    body = tirx.AttrStmt(tirx.IntImm("int32", 0), "compute_scope", StringImm(f"{label}_body"), func.body)
    return tirx.PrimFunc(func.params, body, ret_type=PrimType("int32"), attrs=func.attrs)


def entries(machine: Machine) -> list[str]:
    """Names of the entries a library for this target has."""
    return [ENTRY, PROFILED_ENTRY if has_cycle_counter(machine) else SINGLE_ENTRY]


def has_cycle_counter(machine: Machine) -> bool:
    """Whether a program may read a counter of constant rate: on x86, and under Linux on 64-bit Arm and RISC-V."""
    return _counter(machine) is not None


def _counter(machine: Machine) -> str | None:
    """LLVM's name of that counter: the time stamp, `CNTVCT_EL0`, `time`. 32-bit Arm has none that does not trap."""
    parts = str(machine.target.attrs.get("mtriple", "")).split("-")
    if parts[0] in ("x86_64", "i386", "i686"):
        return "llvm.readcyclecounter"
    if "none" in parts:
        return None
    return {"aarch64": "llvm.readcyclecounter", "riscv64": "llvm.readsteadycounter"}.get(parts[0])


def generate(module: Any, machine: Machine) -> Any:
    """Machine code of a lowered module, as a `tvm.runtime.Module`.

    Raises:
        ModelError: the code generator does not take what was lowered.
    """
    import tvm

    try:
        return tvm.get_global_func("target.build.llvm")(module, machine.target)
    except Exception as error:  # TVM raises what LLVM says of its code
        raise ModelError(f"the code generator failed: {' '.join(str(error).split())}") from error


def _entry(
    entry: str,
    names: Sequence[Any],
    shared: Sequence[bool],
    calls: Sequence[PlacedCall],
    tensors: Sequence[TensorSpec],
    sizes: Mapping[str, int],
    machine: Machine,
) -> Any:
    from tvm import tirx
    from tvm.ir import Call

    regions = {t.name: tirx.decl_buffer(t.shape, t.dtype, _identifier(t.name)) for t in tensors}
    for region in (WEIGHTS, ARENA):
        regions[region] = tirx.decl_buffer((sizes[region],), "uint8", region.strip("%"))
    parameters = list(regions.values())

    def make(call: PlacedCall, thread: Any) -> Any:
        arguments = [_pointer(regions[a.region], a.offset) for a in call.addresses]
        arguments += [] if thread is None else [thread]
        return tirx.Evaluate(Call(names[call.kernel], arguments, ret_ty="int32"))

    def alone(statement: Any) -> Step:
        return Step(lambda _: statement, shared=False)

    steps = [Step(partial(make, call), shared[call.kernel]) for call in calls]
    if entry == PROFILED_ENTRY:
        clock = tirx.decl_buffer((len(calls) + 1,), "int64", "cycles")
        parameters.append(clock)
        now = tirx.call_llvm_intrin("int64", _counter(machine))
        stamps = [tirx.BufferStore(clock, now, [i]) for i in range(len(calls) + 1)]
        steps = [replace(step, before=stamp) for step, stamp in zip(steps, stamps, strict=False)]
        steps.append(alone(stamps[-1]))
    if entry == SINGLE_ENTRY:
        which = tirx.Var("which", "int32")
        parameters.append(which)
        each = [tirx.IfThenElse(which == i, in_order([step], machine.threads), None) for i, step in enumerate(steps)]
        steps = [alone(one) for one in each]
    if not steps:
        steps.append(alone(tirx.Evaluate(tirx.IntImm("int32", 0))))
    return tirx.PrimFunc(parameters, in_order(steps, machine.threads))


def _pointer(buffer: Any, offset: int) -> Any:
    from tvm import tirx

    data = tirx.buffer_data(buffer)
    return tirx.handle_add_byte_offset(data, offset) if offset else data


def _identifier(name: str) -> str:
    return "t_" + "".join(c if c.isalnum() else "_" for c in name)
