"""All on the aggregator, the picture sent as a file: what several methods of split computing lose to."""

from dataclasses import replace

import numpy as np

from splitkit.partition.codec import MODES, SIDE, Codec, CodecTimes, is_available, time_codec
from splitkit.project.baselines.found import found_figures
from splitkit.project.baselines.setting import LeftOutError, Setting, first_good
from splitkit.search.baselines import Name, Recipe, Row
from splitkit.search.baselines.row import FileFormat

QUALITIES = (1, 5, *range(10, 100, 10), 95)
"""That are tried, the smallest files first."""

EFFORTS: dict[FileFormat, tuple[int, ...]] = {"JPEG": (0,), "WEBP": (4, 0)}
"""Of WebP's encoder: its own choice, and the quickest, whose files are about an eighth larger."""

SPELT: dict[FileFormat, str] = {"JPEG": "JPEG", "WEBP": "WebP"}


def picture_row(setting: Setting, name: Name, codec: FileFormat) -> Row:
    """The run's network that computes everything on the aggregator, on pictures that were files.

    The quality is the lowest tried at which no more accuracy is lost on the search slice than is allowed; of two
    efforts of WebP's encoder the one counts with which a frame takes less.

    Raises:
        LeftOutError: there is no such network, pictures are of other channels than grey or colour, or Pillow lacks the
            format here.
    """
    assert codec
    if "aggregator" not in setting.result.best:
        raise LeftOutError("the search found nothing all on the aggregator within the limits")
    if setting.space.input.channels not in MODES:
        raise LeftOutError(f"pictures of {setting.space.input.channels} channels are not encoded")
    if not is_available(codec):
        raise LeftOutError(f"this Pillow was built without {SPELT[codec]}")
    raw = Recipe(setting.result.best["aggregator"].architecture, codec=codec)
    found = [_row(setting, name, replace(raw, effort=effort)) for effort in EFFORTS[codec]]
    _, row = min(found, key=lambda each: (not each[0], each[1].total_us))
    return replace(row, considered=sum(each.considered for _, each in found))


def _row(setting: Setting, name: Name, raw: Recipe) -> tuple[bool, Row]:
    """The lowest good quality with these settings of an encoder, and whether there is one."""
    whole = replace(raw, codec="", effort=0)
    floor = setting.scores(whole).score.accuracy - setting.loss
    options = [replace(raw, quality=quality) for quality in QUALITIES]
    recipe, tried, good = first_good(options, lambda option: setting.scores(option).score.accuracy, floor)
    assert recipe.codec
    _, sizes = setting.networks.through(recipe, setting.data.search)
    times = _times(setting, Codec(recipe.codec, recipe.quality, recipe.effort))
    row = setting.row(
        name, recipe, found_figures(setting, "aggregator"), _obtained(setting, recipe, times, good), tried
    )
    hop, mean = setting.predictor().hop, float(sizes.mean())
    return good, replace(
        row,
        sensor_us=times.encode_us or 0.0,
        link_us=float(hop.link_us(mean)),
        aggregator_us=row.aggregator_us + setting.space.views * (times.decode_us or 0.0),
        payload_bytes=mean,
        payload_p99_bytes=float(np.percentile(sizes, 99)),
        energy_uj=None,
        missing=times.missing,
        labels={**row.labels, **_labels(times)},
    )


def _times(setting: Setting, codec: Codec) -> CodecTimes:
    pictures = setting.data.search.images[: SIDE * SIDE].flatten(0, 1).cpu().numpy()
    return time_codec(codec, list(pictures), setting.system.sensor, setting.system.aggregator)


def _labels(times: CodecTimes) -> dict[str, str]:
    """What a stage must be called whose time lacks a part."""
    unknown = {"sensor": times.encode_us is None, "aggregator": times.decode_us is None}
    words = {"sensor": "encoding not timed", "aggregator": "decoding not timed"}
    return {side: words[side] for side, is_unknown in unknown.items() if is_unknown}


def _obtained(setting: Setting, recipe: Recipe, times: CodecTimes, good: bool) -> str:
    loss, spelt = f"{100 * setting.loss:g} points", SPELT[recipe.codec]
    effort = f", effort {recipe.effort}" if len(EFFORTS[recipe.codec]) > 1 else ""
    text = (
        f"the lowest {spelt} quality tried that loses at most {loss}: {recipe.quality}{effort}"
        if good
        else f"{spelt} quality {recipe.quality}{effort}, the most accurate tried; none loses at most {loss}"
    )
    text += f"; {times.timed} timed in Pillow here" if times.timed else ""
    return text + (f"; without {times.missing}, which nobody has timed on these devices" if times.missing else "")
