"""A model's cuts as a picture: what each takes on the sensor, the link and the aggregator."""

from pathlib import Path

from splitkit.bundle.ownership import require_own_file
from splitkit.partition import Option, Partition
from splitkit.report.axes import duration, size
from splitkit.report.palette import LIGHT
from splitkit.report.pictures import COLOURS, SOFTWARE, STYLE
from splitkit.scratch import replacing

LONGEST_NAME = 48
"""Characters of what is sent that are shown, the last ones."""


def require_own_picture(path: Path) -> None:
    """Raises ConfigError: the file is there and is no picture that splitkit drew."""
    require_own_file(path, lambda head: SOFTWARE.encode() in head)


def draw_cuts(found: Partition, path: Path) -> None:
    """Stacked predicted latency by cut, as a PNG; measured totals as marks, what the sensor cannot hold hatched.

    Raises:
        ConfigError: `path` is there and is no picture that splitkit drew.
        OSError: it cannot be written.
    """
    import matplotlib
    from matplotlib.figure import Figure

    require_own_picture(path)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 1.5 + 0.36 * len(found.options)), layout="constrained")
        axes = figure.subplots()
        for row, option in enumerate(found.options):
            left = 0.0
            for part in ("sensor", "link", "aggregator"):
                us = getattr(option, f"{part}_us")
                axes.barh(
                    row, us, 0.62, left=left, color=COLOURS[part], edgecolor=LIGHT.paper, lw=0.3,
                    hatch=None if option.fits else "xxx", label=part if row == 0 else None,
                )  # fmt: skip
                left += us
            axes.text(left, row, f" {duration(left)}", va="center", fontsize=8)
            if option.measured_us is not None:
                axes.plot(option.measured_us, row, marker="|", ms=14, color=LIGHT.ink, ls="")
        axes.set_yticks(range(len(found.options)), [_label(option) for option in found.options], fontsize=8)
        axes.invert_yaxis()
        axes.margins(x=0.14)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("us for one frame, predicted" + _legend(found))
        axes.set_title(f"{found.model} on {found.system}", loc="left", pad=24)
        axes.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1), fontsize=8)
        labels = [*(f"{side}: {label}" for side, label in found.devices.items()), f"link: {found.link}"]
        figure.supxlabel("\n".join(labels), fontsize=7, color=LIGHT.soft)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            figure.savefig(partial, format="png", metadata=dict([SOFTWARE.split("\0")]))


def _label(option: Option) -> str:
    names = ", ".join(option.crossing)
    shown = names if len(names) <= LONGEST_NAME else f"...{names[-LONGEST_NAME:]}"
    where = shown if option.placement == "split" else f"all on {option.placement}"
    return f"{where} ({size(option.payload_bytes)})".replace("$", r"\$")


def _legend(found: Partition) -> str:
    """What marks and hatching mean, where there are any."""
    measured = any(option.measured_us is not None for option in found.options)
    refused = not all(option.fits for option in found.options)
    return ("; line: measured" if measured else "") + ("; hatched: the sensor cannot hold it" if refused else "")
