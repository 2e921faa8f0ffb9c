"""Sending pictures instead."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from PIL import Image

from splitkit.cli.main import main
from splitkit.latency.hop import Hop
from splitkit.partition.jpeg import QUALITY, send_jpeg
from splitkit.profiles import load_system
from tests.bundle.plain_models import plain
from tests.latency.systems import analytical_system


def pictures(channels: int = 3) -> list[np.typing.NDArray[np.uint8]]:
    ramp = np.linspace(0, 255, 32, dtype=np.uint8)
    return [np.broadcast_to(np.roll(ramp, i), (channels, 32, 32)).copy() for i in range(3)]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_payload_is_the_median_of_what_pillow_writes(channels: int) -> None:
    sizes = []
    for picture in pictures(channels):
        with io.BytesIO() as file:
            Image.fromarray(picture[0] if channels == 1 else picture.transpose(1, 2, 0)).save(
                file, "JPEG", quality=QUALITY
            )
            sizes.append(len(file.getvalue()))
    system = analytical_system()
    found = send_jpeg(pictures(channels), system, Hop(system.link, 1), 50.0)
    assert found.payload_bytes == int(np.median(sizes))
    assert found.link_us == pytest.approx(system.link.latency_us(found.payload_bytes))
    assert (found.sensor_us, found.aggregator_us) == (None, 50.0)
    assert found.label == "quality 90, median of 3 pictures, without encoding and decoding"
    assert found.total_us == found.link_us + 50


def test_on_this_machine_it_is_timed_at_the_devices_scale() -> None:
    system = load_system("demo")
    found = send_jpeg(pictures(), system, Hop(system.link, 1), 50.0)
    assert found.sensor_us is not None
    assert found.sensor_us > found.aggregator_us - 50 > 0  # slowed down 200 times
    assert found.label.endswith("encoding and decoding timed in Pillow here")


def test_a_folder_of_pictures_adds_a_row(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(plain(), "model.onnx")
    Path("pictures").mkdir()
    for i, picture in enumerate(pictures()):
        Image.fromarray(picture.transpose(1, 2, 0)).save(f"pictures/{i}.png")
    command = ["partition", "model.onnx", "--system", "hmd", "--calibration", "pictures", "--json"]
    run = CliRunner().invoke(main, command)
    assert run.exit_code == 0, run.stderr
    body = json.loads(run.stdout)
    assert body["jpeg"]["sensor_us"] is None
    assert body["jpeg"]["total_us"] == body["jpeg"]["link_us"] + body["jpeg"]["aggregator_us"]
    assert "JPEG (all" in run.stderr
    assert "JPEG: quality 90, median of 3 pictures, without encoding and decoding" in run.stderr
    assert json.loads(CliRunner().invoke(main, [*command[:4], "--json"]).stdout)["jpeg"] is None
