"""Several kernels compiled into one module and called one by one: what the tests and the roofline benchmark use."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod
from time import perf_counter_ns
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import IRModule, get_global_func, tirx, transform
from tvm.ir import Call, GlobalVar, PointerType, PrimType

from splitkit.compiler.codegen.threads import is_shared
from splitkit.compiler.kernels import emit, pack_bias, pack_weight
from splitkit.compiler.machine import Machine
from splitkit.compiler.spec import ConvSpec, LayoutSpec, LinearSpec, PoolSpec, Spec, packed_shape

Array = NDArray[np.float32]
ALIGNMENT = 64


def kernel_passes(machine: Machine) -> Any:
    """The lowering that kernels and a flat entry need. Others (StorageRewrite) would undo the register tiles."""
    x = tirx.transform
    bind = x.BindTarget(machine.target.with_host(machine.target))
    return transform.Sequential([bind, x.SplitHostDevice(), x.MakePackedAPI(), x.LowerTVMBuiltin(), x.LowerIntrin()])


def aligned(elements: int) -> Array:
    """Zeros at a cache-line boundary."""
    raw = np.zeros(elements * 4 + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + elements * 4].view(np.float32)


def pack(tensor: NDArray[Any], block: int) -> Array:
    """NCHW to (N, ceil(C/v), H, W, v), padded with zeros."""
    n, c, h, w = tensor.shape
    padded = np.zeros((n, ceil(c / block) * block, h, w), np.float32)
    padded[:, :c] = tensor
    return np.ascontiguousarray(padded.reshape(n, -1, block, h, w).transpose(0, 1, 3, 4, 2))


def unpack(packed: Array, channels: int) -> Array:
    """The reverse of `pack`."""
    n, blocks, h, w, v = packed.shape
    return np.ascontiguousarray(packed.transpose(0, 1, 4, 2, 3).reshape(n, blocks * v, h, w)[:, :channels])


def output_shape(spec: Spec) -> tuple[int, ...]:
    """Shape of the kernel's output as it lies in memory."""
    match spec:
        case ConvSpec():
            return packed_shape(spec.batch, spec.out_channels, spec.out_size, spec.out_block)
        case LinearSpec():
            return spec.batch, spec.out_features
        case PoolSpec():
            return packed_shape(spec.batch, spec.channels, spec.out_size, spec.block)
        case LayoutSpec():
            return packed_shape(spec.batch, spec.channels, spec.size, spec.out_block)


@dataclass(frozen=True)
class Library:
    """Compiled kernels. `run(i, operands)` calls kernel i on operands as its specification orders them."""

    specs: tuple[Spec, ...]
    machine: Machine
    module: Any
    workspace_bytes: tuple[int, ...]

    @classmethod
    def build(cls, specs: Sequence[Spec], machine: Machine) -> "Library":
        scheduled = [emit(spec, machine) for spec in specs]
        module = compiled([kernel.func for kernel in scheduled], machine)
        return cls(tuple(specs), machine, module, tuple(kernel.workspace_bytes for kernel in scheduled))

    def asm(self) -> str:
        """Assembly text of the whole module."""
        return str(self.module.inspect_source("asm"))

    def arguments(self, index: int, operands: Sequence[Array]) -> list[Array]:
        """Aligned copies of the inputs, then the output and the workspace if there is one, full of NaN."""
        arrays = []
        for operand in operands:
            copy = aligned(operand.size)
            copy[:] = operand.reshape(-1)
            arrays.append(copy)
        sizes = [prod(output_shape(self.specs[index])), self.workspace_bytes[index] // 4]
        for size in sizes:
            if size:
                arrays.append(aligned(size))
                arrays[-1][:] = np.nan
        return arrays

    def run(self, index: int, operands: Sequence[Array]) -> Array:
        """The output, shaped as `output_shape` says."""
        arrays = self.arguments(index, operands)
        self.module["once"](index, 1, *_pointers(arrays))
        shape = output_shape(self.specs[index])
        return arrays[len(operands)].reshape(shape)

    def call(self, index: int, arrays: Sequence[Array], repeats: int) -> float:
        """Call kernel `index` `repeats` times; microseconds per call."""
        return timed(self.module, index, arrays, repeats)


MOST_OPERANDS = 7


def operands(spec: Spec, machine: Machine, tensors: dict[str, NDArray[Any]]) -> list[Array]:
    """Inputs of a kernel in order from NCHW tensors x, scale (N, C), weight, bias, residual."""
    match spec:
        case ConvSpec():
            arrays = [pack(tensors["x"], spec.in_block)]
            if spec.input_scale:
                arrays.append(pack(tensors["scale"][:, :, None, None], spec.in_block))
            arrays.append(pack_weight(spec, tensors["weight"], machine))
            if spec.epilogue.bias:
                arrays.append(pack_bias(spec, tensors["bias"], machine))
            if spec.epilogue.residual:
                arrays.append(pack(tensors["residual"], spec.out_block))
            return arrays
        case LinearSpec():
            arrays = [np.ascontiguousarray(tensors["x"], np.float32), pack_weight(spec, tensors["weight"], machine)]
            if spec.epilogue.bias:
                arrays.append(pack_bias(spec, tensors["bias"], machine))
            return arrays
        case PoolSpec():
            return [pack(tensors["x"], spec.block)]
        case LayoutSpec():
            return [pack(tensors["x"], spec.in_block)]


def compiled(functions: Sequence[Any], machine: Machine) -> Any:
    """Machine code of private functions on raw pointers, with the entries that `timed` calls."""
    module = kernel_passes(machine)(_module(functions, machine.threads))
    return get_global_func("target.build.llvm")(module, machine.target)


def timed(module: Any, index: int, arrays: Sequence[Array], repeats: int) -> float:
    """Call function `index` of a compiled module `repeats` times on `arrays`; microseconds per call."""
    entry, pointers = module["repeat"], _pointers(arrays)
    start = perf_counter_ns()
    entry(index, repeats, *pointers)
    return (perf_counter_ns() - start) / repeats / 1e3


def _pointers(arrays: Sequence[Array]) -> list[ctypes.c_void_p]:
    addresses = [array.ctypes.data for array in arrays] + [0] * (MOST_OPERANDS - len(arrays))
    return [ctypes.c_void_p(address) for address in addresses]


def _module(functions: Sequence[Any], threads: int) -> IRModule:
    """Kernels and two entries (which, repeats, pointers...): `once` calls one of them, `repeat` calls it in a loop.

    Two callers of every kernel also keep LLVM from inlining them all into one function, which compiles twice as long.
    """
    kernels = {GlobalVar(f"kernel{i}"): function for i, function in enumerate(functions)}
    entries = {GlobalVar(name): _entry(name, kernels, threads) for name in ("once", "repeat")}
    return IRModule(kernels | entries)


def _entry(name: str, kernels: dict[GlobalVar, Any], threads: int) -> Any:
    which, repeats = tirx.Var("which", "int32"), tirx.Var("repeats", "int32")
    pointers = [tirx.Var(f"p{i}", PointerType(PrimType("float32"))) for i in range(MOST_OPERANDS)]
    branches = []
    for i, (kernel, function) in enumerate(kernels.items()):
        shared, thread = is_shared(function), tirx.Var("thread", "int32")
        arguments = [*pointers[: len(function.params) - 1], thread] if shared else pointers[: len(function.params)]
        call = tirx.Evaluate(Call(kernel, arguments, ret_ty="int32"))
        if shared:  # one share after the other
            call = tirx.For(thread, 0, threads, tirx.ForKind.SERIAL, call)
        if name == "repeat":
            call = tirx.For(tirx.Var("i", "int32"), 0, repeats, tirx.ForKind.SERIAL, call)
        branches.append(tirx.IfThenElse(which == i, call, None))
    body = tirx.SeqStmt(branches) if len(branches) > 1 else branches[0]
    return tirx.PrimFunc([which, repeats, *pointers], body).with_attr("global_symbol", name)
