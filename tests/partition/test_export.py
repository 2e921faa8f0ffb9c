"""A chosen cut as a bundle, with less over its link."""

from pathlib import Path

import numpy as np
import pytest

from splitkit.bundle import load_bundle
from splitkit.graphs.edges import Edges
from splitkit.graphs.subject import OneView
from splitkit.latency.store import LutStore
from splitkit.partition import Option, partition
from splitkit.partition.export import export_option
from splitkit.profiles import load_system
from tests.bundle.plain_models import inputs_of, plain

SUBJECT = OneView(plain(), Edges.of(plain()))


@pytest.mark.parametrize(
    ("dtype", "ratio", "sent", "shape"),
    [
        (None, None, "active", (1, 8, 8, 8)),
        ("uint8", None, "active_uint8", (1, 8, 8, 8)),
        ("float16", 0.5, "active_reduce_float16", (1, 4, 8, 8)),
        ("uint8", 0.25, "active_reduce_uint8", (1, 2, 8, 8)),
    ],
)
def test_the_bundle_sends_what_was_asked_for(
    dtype: str | None, ratio: float | None, sent: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    import onnx

    path, system, frames = tmp_path / "model.onnx", load_system("hmd"), inputs_of(plain(), 64)
    onnx.save(plain(), str(path))
    with LutStore(tmp_path / "lut.db") as store:
        options = partition(plain(), system, store, listed=20, link_dtype=dtype).options  # type: ignore[arg-type]
    [option] = [each for each in options if each.crossing == ("active",)]
    bundle = export_option(
        SUBJECT, path, option, system, tmp_path / "bundle", inputs=frames, link_dtype=dtype, bottleneck=ratio,
        calibration=[{"pixels": frame} for frame in frames],  # type: ignore[arg-type]
    )  # fmt: skip
    [link] = load_bundle(bundle.path).manifest.links
    assert (link.name, link.shape, link.dtype) == (sent, shape, dtype or "float32")
    if ratio is None:
        assert int(np.prod(shape)) * np.dtype(link.dtype).itemsize == option.payload_bytes
    assert (link.scale != 1) == (dtype == "uint8")


def test_without_a_split_there_is_nothing_to_lighten(tmp_path: Path) -> None:
    import onnx

    path, system, frames = tmp_path / "model.onnx", load_system("hmd"), inputs_of(plain(), 64)
    onnx.save(plain(), str(path))
    with LutStore(tmp_path / "lut.db") as store:
        options = partition(plain(), system, store, link_dtype="uint8").options
    whole: list[Option] = [each for each in options if each.placement == "aggregator"]
    bundle = export_option(SUBJECT, path, whole[0], system, tmp_path / "bundle", inputs=frames, link_dtype="uint8")
    assert [link.name for link in bundle.manifest.links] == ["pixels"]
