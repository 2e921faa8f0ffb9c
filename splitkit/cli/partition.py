"""`splitkit partition`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from splitkit.cli.console import print_json, stderr
from splitkit.cli.next_step import say_next
from splitkit.cli.options import INPUT_SHAPE, JSON

if TYPE_CHECKING:
    from splitkit.partition import Option, Partition


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
    help="Frames (.npy or .npz) that the bundle's halves are proved with; noise by default.",
)  # fmt: skip
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
    shapes: "dict[str, tuple[int, ...]]",
    as_json: bool,
) -> None:
    """Find the best place to cut an ONNX model between sensor and aggregator.

    Its kernels are measured once, on the system's devices; cuts are between operators that run together.

    \b
    Example:  splitkit partition model.onnx --system demo
              splitkit partition model.onnx --system m7-host --list 10 --json
              splitkit partition model.onnx -o bundle --input-data frames.npz
    """
    from splitkit.bundle import Partitioned
    from splitkit.bundle.ownership import require_own_bundle
    from splitkit.bundle.partition import edges_of, export_partition
    from splitkit.errors import DeviceError
    from splitkit.graphs.input_shapes import with_input_shapes
    from splitkit.graphs.model import load_model
    from splitkit.latency.store import LutStore
    from splitkit.partition import partition
    from splitkit.partition.inputs import noise, read_inputs
    from splitkit.profiles import load_system

    if output is not None:
        require_own_bundle(output)
    loaded, chosen = load_model(model), load_system(system)
    if shapes:
        loaded = with_input_shapes(loaded, shapes)
    source, _ = edges_of(loaded)
    given = None if input_data is None else read_inputs(input_data, source)
    table.parent.mkdir(parents=True, exist_ok=True)
    with LutStore(table) as store, stderr.status("reading") as status:
        found = partition(
            loaded, chosen, store,
            name=model.name, most_tensors=most_tensors, listed=listed, measure=measure, say=status.update,
        )  # fmt: skip
        best = found.best
        if output is not None:
            if not best.fits:
                raise DeviceError(
                    f"sensor {chosen.sensor.name} holds no cut of {model.name}: the fastest needs "
                    f"{best.sensor_peak_bytes:,} bytes of working memory",
                    "a smaller input, or another sensor; without -o the table is printed",
                )
            at = [name for name in best.crossing if name != source.name] or [source.name]
            inputs = noise(source) if given is None else given
            predicted = {"total_us": best.total_us, "sensor_us": best.sensor_us, "aggregator_us": best.aggregator_us}
            export_partition(
                loaded, Partitioned.of(model, *at), chosen, inputs, output, predicted=predicted, progress=status.update
            )
    stderr.print(_table(found))
    for line in _notes(found):
        stderr.print(line, markup=False, highlight=False, soft_wrap=True)
    if as_json:
        print_json(found.to_json())
    if output is not None:
        stderr.print(f"wrote {output}", markup=False)
        say_next("bench", str(output), carry=False)


def _table(found: "Partition") -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("sent", overflow="fold")
    timed = ["measured us"] if any(option.measured_us is not None for option in found.options) else []
    for column in ("bytes", "sensor us", "link us", "aggregator us", "total us", *timed, "sensor RAM"):
        table.add_column(column, justify="right")
    for option in found.options:
        numbers = (option.sensor_us, option.link_us, option.aggregator_us, option.total_us)
        table.add_row(
            _what(option), f"{option.payload_bytes:,}", *(f"{us:,.0f}" for us in numbers),
            *([("" if option.measured_us is None else f"{option.measured_us:,.0f}")] if timed else []),
            f"{option.sensor_peak_bytes:,}" + ("" if option.fits else " too much"),
            style="bold" if option is found.best else None,
        )  # fmt: skip
    return table


def _what(option: "Option") -> str:
    from rich.markup import escape

    names = escape(", ".join(option.crossing))
    return names if option.placement == "split" else f"{names} (all on {option.placement})"


def _notes(found: "Partition") -> list[str]:
    """What the table does not show."""
    best = found.best
    lines = [
        f"best of {found.listed} cuts: {found.model} "
        + (f"cut at {', '.join(best.crossing)}" if best.placement == "split" else f"all on the {best.placement}"),
        *(f"{side}: {label}" for side, label in found.devices.items()),
        f"link: {found.link}",
    ]
    if not best.fits:
        lines.append("the sensor can hold none of these")
    if len(best.crossing) > 1:
        lines.append("`splitkit bench` and the runtime carry one tensor: --most-tensors 1 finds the best such cut")
    if found.unbounded_us is not None:
        lines.append(f"with more than {found.most_tensors} tensors crossing: {found.unbounded_us:,.0f} us")
    shares = [f"{share:.0%} on the {side}" for side, share in found.fallback.items() if share > 0.005]
    if shares:
        lines.append(f"of the model's kernel time in operators without a schedule here: {', '.join(shares)}")
    if best.measured_fraction < 0.995:
        lines.append(f"{1 - best.measured_fraction:.0%} of the best one's kernel time is estimated, not measured")
    return lines
