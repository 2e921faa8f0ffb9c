"""C that calls a compiled graph, for the README of whoever has it."""

from splitkit.exporters.baremetal.names import C_TYPES, identifier
from splitkit.space.tensor import TensorSpec

_FIRMWARE = """\
```c
/* {title}: in a firmware for `{device}`. Compile {name}.c and {name}_weights.S of {artifact}/ and link them with
   {name}_kernels.o, or let its CMakeLists.txt do it; memory.json says what it takes of flash and RAM. */
#include "{name}.h"

static {name}_output_t out;

int run_{name}(const {input_type} *in)
{{
    static int ready;
    if (!ready) {{
        const int error = {name}_init();
        if (error != 0) {{
            return error;
        }}
        ready = 1;
    }}
    return {name}_run(in, &out); /* 0; the result is in out.{output} */
}}
```
"""


def c_example(title: str, device: str, directory: str, source: TensorSpec, result: TensorSpec) -> str:
    """A block of Markdown."""
    return _FIRMWARE.format(
        title=title,
        device=device,
        artifact=directory,
        name=identifier(directory),
        input_type=C_TYPES[source.dtype],
        output=identifier(result.name),
    )
