"""`splitkit cut`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from splitkit.cli.console import print_json, stderr
from splitkit.cli.options import INPUT_SHAPE, JSON

if TYPE_CHECKING:
    import onnx

    from splitkit.space.tensor import TensorSpec


@click.command("cut")
@click.argument("model", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--at", required=True, metavar="TENSOR[,TENSOR]", help="Where to cut; an operator's name works too.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), required=True,
    help="Directory for head.onnx and tail.onnx.",
)  # fmt: skip
@INPUT_SHAPE
@JSON
def command(model: Path, at: str, output: Path, shapes: "dict[str, tuple[int, ...]]", as_json: bool) -> None:
    """Cut an ONNX model exactly there, into two models, and prove them against it in ONNX Runtime.

    What else crosses the cut, such as a skip connection around it, is sent as well and named.

    \b
    Example:  splitkit cut model.onnx --at feature -o halves
              splitkit cut model.onnx --at /layer2/layer2.0/relu/Relu -o halves --input-shape image:1,3,224,224
    """
    from splitkit.graphs.cut import cut
    from splitkit.graphs.input_shapes import with_input_shapes
    from splitkit.graphs.model import load_model
    from splitkit.partition.inputs import noise
    from splitkit.partition.names import tensors_named
    from splitkit.partition.proof import prove
    from splitkit.partition.save import save_halves

    loaded = load_model(model)
    if shapes:
        loaded = with_input_shapes(loaded, shapes)
    names = tuple(name.strip() for name in at.split(",") if name.strip())
    tensors = tensors_named(loaded, names)
    halves = cut(loaded, tensors)
    inputs = _inputs(loaded)
    first, second = ({t.name: noise(t, 1, seed)[0] for t in inputs} for seed in (0, 1))
    proof = prove(loaded, halves, first, second)
    save_halves(halves, output)
    crossing = (*halves.tensors, *halves.passthrough)
    if tensors != names:
        stderr.print(f"at {', '.join(tensors)}", markup=False)
    for name in crossing:
        extra = "" if name in tensors else " (crosses as well)"
        stderr.print(f"sent: {name}{extra}", markup=False)
    agreement = "bit for bit" if proof.identical else f"within {proof.worst:.1e}"
    stderr.print(f"halves equal the model {agreement}, in ONNX Runtime with its optimisations off, on noise")
    for name in proof.silent:
        stderr.print(f"output {name} does not depend on this input: of it that proves nothing", markup=False)
    stderr.print(f"wrote {output / 'head.onnx'} and {output / 'tail.onnx'}", markup=False)
    if as_json:
        print_json(
            {
                "schema_version": 1, "tensors": list(halves.tensors), "passthrough": list(halves.passthrough),
                "identical": proof.identical, "worst": proof.worst, "silent": list(proof.silent),
            }
        )  # fmt: skip


def _inputs(model: "onnx.ModelProto") -> "list[TensorSpec]":
    """Inputs, with static shapes."""
    from splitkit.graphs.cut import tensor_dtype, tensor_shape
    from splitkit.space.tensor import TensorSpec

    constants = {tensor.name for tensor in model.graph.initializer}
    return [
        TensorSpec(value.name, tensor_shape(value), tensor_dtype(value))
        for value in model.graph.input
        if value.name not in constants
    ]
