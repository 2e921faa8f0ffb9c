"""`splitkit partition`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from splitkit.cli.console import print_json, stderr
from splitkit.cli.next_step import say_next
from splitkit.cli.options import AGGREGATOR_INPUT, BOTTLENECK, CALIBRATION, INPUT_SHAPE, JOIN, JSON, LINK_DTYPE, VIEWS
from splitkit.cli.partition_tables import chain_table, cuts_table, notes

if TYPE_CHECKING:
    import onnx

    from splitkit.graphs.narrow import LinkDtype
    from splitkit.profiles import System


@click.command("partition")
@click.argument("model", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--system", default="demo", show_default=True, help="System: a profile or a .toml file.")
@click.option(
    "--table", type=click.Path(path_type=Path, dir_okay=False), default=Path("runs/lut.db"), show_default=True,
    help="The latency table; what is measured is added to it.",
)  # fmt: skip
@click.option("--most-tensors", type=click.IntRange(1, 64), default=4, show_default=True, help="That may cross.")
@click.option("--list", "listed", type=click.IntRange(1, 100), default=6, show_default=True, help="Cuts to show.")
@click.option(
    "--measure",
    type=click.IntRange(0, 100),
    default=0,
    metavar="N",
    help="Compile and time the best N, and rank by that.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="Export the best one as a bundle."
)
@click.option(
    "--input-data", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Frames (.npy or .npz) that the bundle's halves are proved with; else those of --calibration, else noise.",
)  # fmt: skip
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Draw the table (PNG).")
@click.option(
    "--stages", type=click.IntRange(2), default=2, show_default=True, metavar="N",
    help="Processors in a row; more than two where the system has hubs.",
)  # fmt: skip
@AGGREGATOR_INPUT
@VIEWS
@JOIN
@LINK_DTYPE
@BOTTLENECK
@CALIBRATION
@INPUT_SHAPE
@JSON
def command(
    model: Path,
    system: str,
    table: Path,
    most_tensors: int,
    listed: int,
    measure: int,
    output: Path | None,
    input_data: Path | None,
    plot: Path | None,
    stages: int,
    aggregator_inputs: tuple[str, ...],
    views: int,
    join: str,
    link_dtype: "LinkDtype | None",
    bottleneck: float | None,
    calibration: Path | None,
    shapes: "dict[str, tuple[int, ...]]",
    as_json: bool,
) -> None:
    """Find the best place to cut an ONNX model between sensor and aggregator.

    Its kernels are measured once, on the system's devices; cuts are between operators that run together. Of several
    inputs the sensor captures all that are not the aggregator's own; outputs that it computes are sent as well. With
    --views each input is a sensor's own: up to --join all views go through the same operators, and that is cut.

    \b
    Example:  splitkit partition model.onnx --system demo
              splitkit partition model.onnx --system m7-host --list 10 --plot cuts.png --json
              splitkit partition model.onnx -o bundle --input-data frames.npz
              splitkit partition model.onnx -o bundle --link-dtype uint8 --calibration pictures/
              splitkit partition model.onnx --system headset.toml --stages 3
              splitkit partition model.onnx --aggregator-input prompt
              splitkit partition model.onnx --views 4 --join features
    """
    import numpy as np

    from splitkit.bundle.ownership import require_own_bundle
    from splitkit.bundle.partition import image_and_scores
    from splitkit.errors import ConfigError, DeviceError
    from splitkit.graphs.edges import Edges
    from splitkit.graphs.input_shapes import with_input_shapes
    from splitkit.graphs.model import load_model
    from splitkit.latency.hop import Hop
    from splitkit.latency.store import LutStore
    from splitkit.partition import partition
    from splitkit.partition.export import export_option
    from splitkit.partition.inputs import noisy, read_frames, read_pictures
    from splitkit.partition.jpeg import send_jpeg
    from splitkit.partition.names import tensors_named
    from splitkit.partition.views import subject_of
    from splitkit.profiles import load_system
    from splitkit.report.cuts import draw_cuts, require_own_picture

    if output is not None:
        require_own_bundle(output)
        if (link_dtype == "uint8" or bottleneck) and calibration is None:
            what = "a bottleneck is made" if bottleneck else "the range of uint8 is read"
            raise ConfigError(f"{what} from real inputs", "give --calibration DIR|FILE.npz")
    elif bottleneck:
        raise click.UsageError("--inject-bottleneck is for the bundle: give -o, too")
    at = tuple(name.strip() for name in join.split(",") if name.strip())
    if (views > 1) != bool(at):
        raise click.UsageError("--views V and --join TENSOR go together: how many, and where they meet")
    if views > 1 and bottleneck:
        raise click.UsageError("--inject-bottleneck is for one view")
    if plot is not None:
        require_own_picture(plot)
    loaded, chosen = with_input_shapes(load_model(model), shapes), load_system(system)
    if stages > 2:
        if output or plot or measure or link_dtype or views > 1:
            raise click.UsageError("--stages prints a table: no -o, --plot, --measure, --link-dtype or --views with it")
        _chain(loaded, model.name, chosen, stages, table, most_tensors, aggregator_inputs, as_json)
        return
    edges = Edges.of(loaded, aggregator_inputs)
    subject = subject_of(loaded, edges, views, tensors_named(loaded, at))
    source, inputs = edges.captured[0], [*edges.captured, *edges.own]
    if output is not None:
        image_and_scores(subject)
    frames, proving = ([] if path is None else read_frames(path, inputs) for path in (calibration, input_data))
    table.parent.mkdir(parents=True, exist_ok=True)
    with LutStore(table) as store, stderr.status("reading") as status:
        found = partition(
            loaded, chosen, store,
            name=model.name, most_tensors=most_tensors, listed=listed, measure=measure, link_dtype=link_dtype,
            aggregator_inputs=aggregator_inputs, views=views, join=subject.edges.result_names if at else (),
            say=status.update,
        )  # fmt: skip
        best, jpeg = found.best, None
        if calibration is not None and calibration.is_dir():
            status.update("encoding pictures")
            [whole] = [option for option in found.options if option.placement == "aggregator"]
            jpeg = send_jpeg(
                read_pictures(calibration, source), chosen, Hop.of(store, chosen, views), whole.aggregator_us
            )
        if output is not None:
            if not best.fits:
                raise DeviceError(
                    f"sensor {chosen.sensor.name} holds no cut of {model.name}: the fastest needs "
                    f"{best.sensor_peak_bytes:,} bytes of working memory",
                    "a smaller input, or another sensor; without -o the table is printed",
                )
            given = proving or frames or noisy(edges.captured)
            images = [np.concatenate([frame[tensor.name] for tensor in edges.captured]) for frame in given]
            export_option(
                subject, model, best, chosen, output,
                inputs=np.stack(images), link_dtype=link_dtype, bottleneck=bottleneck, calibration=frames,
                say=status.update,
            )  # fmt: skip
    stderr.print(cuts_table(found, jpeg))
    if jpeg is not None:
        stderr.print(f"JPEG: {jpeg.label}", markup=False)
    bundled = (len(subject.edges.captured) + len(edges.own), len(edges.results)) == (1, 1)
    for line in notes(found, bundled):
        stderr.print(line, markup=False, highlight=False, soft_wrap=True)
    if plot is not None:
        draw_cuts(found, plot)
        stderr.print(f"wrote {plot}", markup=False)
    if as_json:
        print_json(found.to_json() | {"jpeg": jpeg and asdict(jpeg) | {"total_us": jpeg.total_us}})
    if output is not None:
        stderr.print(f"wrote {output}", markup=False)
        say_next("bench", str(output), carry=False)
    elif best.placement == "split" and not bundled:
        computed = [name for name in best.crossing if name not in edges.captured_names]
        own = [word for name in aggregator_inputs for word in ("--aggregator-input", name)]
        own += ["--views", str(views)] if views > 1 else []
        say_next("cut", str(model), "--at", ",".join(computed), *own, "-o", "halves", carry=False)


def _chain(
    model: "onnx.ModelProto", name: str, system: "System", stages: int, table: Path, most_tensors: int,
    aggregator_inputs: tuple[str, ...], as_json: bool,
) -> None:  # fmt: skip
    """The best way over so many processors."""
    from splitkit.errors import ConfigError
    from splitkit.latency.store import LutStore
    from splitkit.partition import partition_chain

    if system.hubs and len(system.hubs) != stages - 2:
        raise ConfigError(
            f"system {system.name} has {2 + len(system.hubs)} processors", f"say --stages {2 + len(system.hubs)}"
        )
    table.parent.mkdir(parents=True, exist_ok=True)
    with LutStore(table) as store, stderr.status("reading") as status:
        found = partition_chain(
            model, system, store,
            name=name, most_tensors=most_tensors, aggregator_inputs=aggregator_inputs, say=status.update,
        )  # fmt: skip
    stderr.print(chain_table(found))
    stderr.print(f"{name}: {found.total_us:,.0f} us, the best of {found.listed} places to cut", markup=False)
    for stage in found.stages:
        stderr.print(f"{stage.device}: {stage.label}", markup=False, highlight=False, soft_wrap=True)
    if as_json:
        print_json(found.to_json())
