"""A network written by hand in the form that the `baremetal` exporter generates: a few instructions, known exactly."""

import subprocess
from pathlib import Path

from splitkit.compiler.kernel import Kernel
from splitkit.compiler.memory import MemoryPlan
from splitkit.compiler.target import CompileTarget
from splitkit.exporters.baremetal.toolchain import compiler_flags, find_compiler
from splitkit.exporters.protocol import Artifact
from splitkit.profiles import DeviceProfile, load_device
from splitkit.space.tensor import TensorSpec

HEADER = """\
#include <stdint.h>
typedef struct { float y[4]; } net_output_t;
int net_init(void);
int net_run(const float *x, net_output_t *out);
"""

DRIVER = """\
#include "net.h"
#ifndef SPLITKIT_AFTER_KERNEL
#define SPLITKIT_AFTER_KERNEL(index)
#endif
int32_t net_kernel_0(const void *, void *);
int32_t net_kernel_1(const void *, void *);
int net_init(void) { return 0; }
int net_run(const float *x, net_output_t *out)
{
    int32_t status = 0;
    SPLITKIT_AFTER_KERNEL(-1);
    status |= net_kernel_0(x, out->y);
    SPLITKIT_AFTER_KERNEL(0);
    status |= net_kernel_1(x, out->y);
    SPLITKIT_AFTER_KERNEL(1);
    return status;
}
"""

DOUBLE = "for (int i = 0; i < 4; ++i) ((float *)out)[i] = 2 * ((const float *)in)[i]; return 0;"
NOTHING = "return 0;"


def board(**options: object) -> DeviceProfile:
    """The Cortex-M7 board with some options changed."""
    profile = load_device("stm32h743")
    return profile.model_copy(update={"options": {**profile.options, **options}})


def handmade(
    directory: Path, first: str = DOUBLE, second: str = NOTHING, profile: DeviceProfile | None = None
) -> Artifact:
    """An artifact of two kernels with these C bodies, of `in` and `out`; four floats in, four out."""
    target = load_device("stm32h743").target if profile is None else profile.target
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "net.h").write_text(HEADER)
    (directory / "net.c").write_text(DRIVER)
    source = directory / "kernels.txt"
    bodies = "".join(
        f"int net_kernel_{i}(const void *in, void *out) {{ (void)in; (void)out; {body} }}\n"
        for i, body in enumerate((first, second))
    )
    source.write_text(bodies)
    compiler = [find_compiler(target), *compiler_flags(target), "-O1", "-x", "c", "-c", str(source)]
    subprocess.run([*compiler, "-o", str(directory / "net_kernels.o")], check=True)
    kernels = tuple(
        Kernel(f"k{i}", f"kernel {i}", family, 4, 16, 16, 0, "{}") for i, family in enumerate(("pointwise", "linear"))
    )
    tensors = (TensorSpec("x", (1, 4), "float32"),), (TensorSpec("y", (1, 4), "float32"),)
    plan = MemoryPlan(0, 0, 16, 16)
    return Artifact(directory, "baremetal", "0", CompileTarget(dict(target)), *tensors, kernels, plan, {"name": "net"})
