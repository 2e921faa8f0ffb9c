"""TensorIR compiled for the processor at hand, and the views of torch tensors that such kernels take."""

from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import Any

import torch
from torch import Tensor

LANES = 8
"""Channels of a block: one vector of AVX2. Widths of a space are multiples of it."""

STORAGE = {torch.float32: "float32", torch.bfloat16: "uint16"}
"""What kernels see of tensors of a dtype: numbers, or their bits (see `rounding`)."""

_compiling = Lock()


def usable(*tensors: Tensor) -> bool:
    """Whether kernels can run on these (n, c, h, w): all float32 or all bfloat16, on the processor, channels last, in
    whole blocks.

    Not for counting on: what is not usable is left to torch.
    """
    return all(
        x.device.type == "cpu"
        and x.dtype in STORAGE
        and x.dtype == tensors[0].dtype
        and x.shape[1] % LANES == 0
        and x.is_contiguous(memory_format=torch.channels_last)
        and x.numel() > 0
        for x in tensors
    )


def pixels(x: Tensor) -> Tensor:
    """(n, c, h, w) in memory order, (n, h, w, c / LANES, LANES), without gradient; of bfloat16 the bits."""
    n, c, h, w = x.shape
    return _bits(x.detach().permute(0, 2, 3, 1).view(n, h, w, c // LANES, LANES))


def rows(x: Tensor) -> Tensor:
    """(n, c, h, w) in memory order, (n h w, c / LANES, LANES), without gradient; of bfloat16 the bits."""
    return _bits(x.detach().permute(0, 2, 3, 1).reshape(-1, x.shape[1] // LANES, LANES))


def _bits(x: Tensor) -> Tensor:
    return x.view(torch.uint16) if x.dtype == torch.bfloat16 else x


def storage_of(x: Tensor) -> str:
    """The dtype that kernels know `x` by."""
    return STORAGE[x.dtype]


def compiled(make: Callable[..., Any], *arguments: Any) -> Callable[..., None]:
    """The kernel that `make(*arguments)` describes, compiled once a process; takes some tenths of a second.

    A call runs on the calling thread alone, without the interpreter's lock.
    """
    with _compiling:
        return _compiled(make, arguments)


@cache
def _compiled(make: Callable[..., Any], arguments: tuple[Any, ...]) -> Callable[..., None]:
    import tvm

    function = make(*arguments)
    name = str(function.attrs["global_symbol"])
    target = tvm.target.Target({"kind": "llvm", "mcpu": tvm.target.codegen.llvm_get_system_cpu()})
    module = tvm.compile(tvm.IRModule({name: function}), target=target)
    return module[name]  # type: ignore[no-any-return]
