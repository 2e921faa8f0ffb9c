"""What generated kernels may ask of the toolchain: memory functions, mathematics, the compiler's own helpers."""

import re

from splitkit.errors import ModelError
from splitkit.exporters.baremetal.network import Network
from splitkit.exporters.baremetal.objects import ObjectFile

_MATHEMATICS = """
acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh erf erfc exp exp2 expm1 fabs floor fma fmax fmin fmod
hypot ldexp log log10 log1p log2 nearbyint pow remainder rint round roundeven sin sincos sinh sqrt tan tanh tgamma trunc
"""
_PROVIDED = re.compile(
    rf"mem(cpy|move|set)|({'|'.join(_MATHEMATICS.split())})f?"
    r"|__(?!tvm|TVM)\w+"  # such as __aeabi_uldivmod, of libgcc or compiler-rt
)


def is_provided(symbol: str) -> bool:
    """Whether every C toolchain has it."""
    return _PROVIDED.fullmatch(symbol) is not None


def check_symbols(network: Network, compiled: ObjectFile) -> None:
    """Whether the kernels need nothing but what a C toolchain has.

    Raises:
        ModelError: a kernel needs TVM's runtime; names the layer.
    """
    for call, layer in zip(network.build.calls, network.layers, strict=True):
        for symbol in sorted(compiled.external_calls(network.symbol(call.kernel))):
            if not is_provided(symbol):
                raise ModelError(
                    f"layer {layer.title!r} calls {symbol}, which a device without an operating system does not have",
                    "this operator has no schedule of splitkit's own, and TVM's default needs TVM's runtime",
                )
