"""The public header: two functions, and macros that say what goes in and what comes out."""

from splitkit.exporters.baremetal.names import C_TYPES, distinct_identifiers
from splitkit.exporters.baremetal.network import Network
from splitkit.space.tensor import TensorSpec

_RUN = """\
/* Runs the network once. Returns 0, or something else if a kernel failed. Inputs and results must not overlap.
   The arena is the network's own: a call must have ended before the next begins. */
int {name}_run({parameters});
"""


def header(network: Network) -> str:
    """Text of `NAME.h`."""
    name, macro = network.name, network.macro
    lines = [
        f"/* {name}: a network compiled by splitkit. Tensors are dense, in ONNX order (NCHW), and need no alignment",
        "   beyond that of their C type. */",
        f"#ifndef SPLITKIT_{macro}_H",
        f"#define SPLITKIT_{macro}_H",
        "",
        "#include <stdint.h>",
        "",
        f"#define {macro}_KERNELS {len(network.layers)}",
        f"#define {macro}_ARENA_BYTES {network.arena_bytes}",
        f"#define {macro}_WEIGHT_BYTES {network.weight_bytes}",
        *_edge(network, "INPUT", network.inputs),
        *_edge(network, "OUTPUT", network.outputs),
        "",
        f"#define {macro}_ERROR_WEIGHTS (-1) /* the constants linked in are not those of this network */",
        "",
        "#ifdef __cplusplus",
        'extern "C" {',
        "#endif",
        "",
        *_output_type(network),
        "/* To be called once, before the first run. Returns 0 or an error. */",
        f"int {name}_init(void);",
        "",
        _RUN.format(name=name, parameters=parameters(network)),
        "#ifdef __cplusplus",
        "}",
        "#endif",
        "",
        f"#endif /* SPLITKIT_{macro}_H */",
        "",
    ]
    return "\n".join(lines)


def input_names(network: Network) -> list[str]:
    """Parameters of `NAME_run` that point to the inputs."""
    taken = ["out", "status"]  # its other names
    return distinct_identifiers([*taken, *(t.name for t in network.inputs)])[len(taken) :]


def output_names(network: Network) -> list[str]:
    """Fields of `NAME_output_t`."""
    return distinct_identifiers([t.name for t in network.outputs])


def parameters(network: Network) -> str:
    """Parameter list of `NAME_run`."""
    found = [
        f"const {C_TYPES[tensor.dtype]} *{name}"
        for tensor, name in zip(network.inputs, input_names(network), strict=True)
    ]
    if network.outputs:
        found.append(f"{network.name}_output_t *out")
    return ", ".join(found) or "void"


def _edge(network: Network, role: str, tensors: tuple[TensorSpec, ...]) -> list[str]:
    """Macros of the inputs or the outputs; several are told apart by their names."""
    macro = network.macro
    lines = ["", f"#define {macro}_{role}S {len(tensors)}"]
    names = distinct_identifiers([t.name for t in tensors])
    if len(tensors) != 1:
        lines.append(f"#define {macro}_{role}_BYTES {sum(t.bytes for t in tensors)} /* all together */")
    for tensor, name in zip(tensors, names, strict=True):
        prefix = f"{macro}_{role}" if len(tensors) == 1 else f"{macro}_{role}_{name.upper()}"
        itemsize = tensor.bytes // max(1, _elements(tensor))
        lines += [
            f'#define {prefix}_NAME "{tensor.name}"',
            f'#define {prefix}_DTYPE "{tensor.dtype}"',
            f"#define {prefix}_RANK {len(tensor.shape)}",
            f"#define {prefix}_SHAPE {{{', '.join(map(str, tensor.shape)) or '1'}}}",
            f"#define {prefix}_ELEMENTS {_elements(tensor)}",
            f"#define {prefix}_BYTES {tensor.bytes}",
            f"#define {prefix}_ELEMENT_BYTES {itemsize}",
        ]
        scale, zero_point = network.quantisation.get(tensor.name, (1.0, 0))
        lines += [
            f"#define {prefix}_SCALE {_float(scale)} /* real = (stored - zero point) * scale */",
            f"#define {prefix}_ZERO_POINT {zero_point}",
        ]
    return lines


def _output_type(network: Network) -> list[str]:
    if not network.outputs:
        return []
    fields = [
        f"    {C_TYPES[tensor.dtype]} {name}[{_elements(tensor)}];"
        for tensor, name in zip(network.outputs, output_names(network), strict=True)
    ]
    return ["typedef struct {", *fields, f"}} {network.name}_output_t;", ""]


def _elements(tensor: TensorSpec) -> int:
    elements = 1
    for extent in tensor.shape:
        elements *= extent
    return elements


def _float(value: float) -> str:
    text = f"{value:.9g}"
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"
