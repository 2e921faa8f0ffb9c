"""`splitkit cut`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from splitkit.cli.console import print_json, stderr
from splitkit.cli.options import AGGREGATOR_INPUT, BOTTLENECK, CALIBRATION, INPUT_SHAPE, JSON, LINK_DTYPE, VIEWS

if TYPE_CHECKING:
    from splitkit.graphs.narrow import LinkDtype


@click.command("cut")
@click.argument("model", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--at", required=True, metavar="TENSOR[,TENSOR]", help="Where to cut; an operator's name works too.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), required=True,
    help="Directory for head.onnx and tail.onnx.",
)  # fmt: skip
@AGGREGATOR_INPUT
@VIEWS
@LINK_DTYPE
@BOTTLENECK
@CALIBRATION
@INPUT_SHAPE
@JSON
def command(
    model: Path,
    at: str,
    output: Path,
    aggregator_inputs: tuple[str, ...],
    views: int,
    link_dtype: "LinkDtype | None",
    bottleneck: float | None,
    calibration: Path | None,
    shapes: "dict[str, tuple[int, ...]]",
    as_json: bool,
) -> None:
    """Cut an ONNX model exactly there, into two models, and prove them against it in ONNX Runtime.

    What else crosses the cut, such as a skip connection around it or an output of the model that is computed ahead of
    it, is sent as well and named. With --link-dtype computed float32 tensors cross in fewer bits, with
    --inject-bottleneck in fewer channels: the proof is then against the model with that in it, and what it costs the
    model's answers is said, with accuracies where the calibration file has `labels`. With --views the head is that of
    one view, and the tail takes what all of them send, (views, ...) each.

    \b
    Example:  splitkit cut model.onnx --at feature -o halves
              splitkit cut model.onnx --at /layer2/layer2.0/relu/Relu -o halves --input-shape image:1,3,224,224
              splitkit cut model.onnx --at feature -o halves --link-dtype uint8 --calibration frames.npz
              splitkit cut model.onnx --at feature -o halves --aggregator-input prompt
              splitkit cut model.onnx --at feature0 -o halves --views 4
              splitkit cut model.onnx --at feature -o halves --inject-bottleneck 0.25 --calibration frames.npz
    """
    from splitkit.graphs.cut import Halves, cut
    from splitkit.graphs.edges import Edges, inputs_of
    from splitkit.graphs.input_shapes import with_input_shapes
    from splitkit.graphs.model import load_model
    from splitkit.partition.inputs import noisy, read_frames, read_labels
    from splitkit.partition.link import cost_of, lighten, lighter
    from splitkit.partition.names import tensors_named
    from splitkit.partition.proof import prove, prove_views
    from splitkit.partition.save import save_halves
    from splitkit.partition.views import subject_of

    loaded = with_input_shapes(load_model(model), shapes)
    names = tuple(name.strip() for name in at.split(",") if name.strip())
    tensors = tensors_named(loaded, names)
    inputs = inputs_of(loaded)
    noise = noisy(inputs, 8)
    frames = [] if calibration is None else read_frames(calibration, inputs)
    labels = None if calibration is None else read_labels(calibration, len(frames))
    first, second, *_ = [*frames[:2], *noise] if len(frames) > 1 else noise
    costs = []
    if views > 1:
        subject = subject_of(loaded, Edges.of(loaded, aggregator_inputs), views, tensors)
        subject, crossing = lighter(subject, subject.edges.result_names, link_dtype, bottleneck, frames)
        if link_dtype is not None:
            costs.append(cost_of(loaded, subject.whole, None, frames or noise, labels))
        placed = subject.placed(crossing)
        halves = Halves(placed.models["sensor"], placed.models["aggregator"], placed.crossing, (), (), subject.own)
        proof, wanted = prove_views(subject, placed, first, second), {*placed.crossing}
    else:
        light = lighten(loaded, tensors, frames, ratio=bottleneck, dtype=link_dtype)
        if light.sent:
            others = [bottleneck / 2, min(2 * bottleneck, 1)] if bottleneck else []
            for ratio in sorted({bottleneck, *others}, key=lambda ratio: ratio or 1):
                same = ratio == bottleneck
                other = light if same else lighten(loaded, tensors, frames, ratio=ratio, dtype=link_dtype)
                costs.append(cost_of(loaded, other.model, ratio, frames or noise, labels))
        halves = cut(light.model, light.at(tensors), aggregator_inputs=aggregator_inputs)
        proof, wanted = prove(light.model, halves, first, second), {light.sent.get(name, name) for name in tensors}
    save_halves(halves, output)
    if tensors != names:
        stderr.print(f"at {', '.join(tensors)}", markup=False)
    of_each = f", by each of {views} sensors" if views > 1 else ""
    for name in halves.crossing:
        extra = "" if name in wanted else " (crosses as well)"
        stderr.print(f"sent{of_each}: {name}{extra}", markup=False)
    for name in halves.own:
        stderr.print(f"not sent: {name} (the aggregator's own)", markup=False)
    agreement = "bit for bit" if proof.identical else f"within {proof.worst:.1e}"
    whole = "the model with that at the cut" if costs else "the model"
    data = "frames given" if len(frames) > 1 else "noise"
    stderr.print(f"halves equal {whole} {agreement}, in ONNX Runtime with its optimisations off, on {data}")
    for cost in costs:
        stderr.print(cost.text(link_dtype), markup=False, soft_wrap=True)
    for name in proof.silent:
        stderr.print(f"output {name} does not depend on this input: of it that proves nothing", markup=False)
    stderr.print(f"wrote {output / 'head.onnx'} and {output / 'tail.onnx'}", markup=False)
    if as_json:
        print_json(
            {
                "schema_version": 1, "tensors": list(halves.tensors), "passthrough": list(halves.passthrough),
                "results": list(halves.results), "aggregator_inputs": list(halves.own), "views": views,
                "identical": proof.identical, "worst": proof.worst, "silent": list(proof.silent),
                "costs": [asdict(cost) for cost in costs],
            }
        )  # fmt: skip
