"""A running system that loses sensors, where its network is made for that, and takes them in again."""

import json
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE
from threading import Thread

import numpy as np
import pytest

from splitkit.bundle import Bundle
from splitkit.runtime.measure import measure_bundle
from splitkit.runtime.sensor import run_sensor
from tests.bundle.bundles import exported

VIEWS = 4


def started(program: str, bundle: Bundle, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", f"splitkit.runtime.{program}", str(bundle.path), *arguments]
    return subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True)


def said(process: "subprocess.Popen[str]", wanted: str) -> None:
    """Read what a program says until it says that."""
    assert process.stderr is not None
    for line in process.stderr:
        if wanted in line:
            return
    pytest.fail(f"never said: {wanted}")


def test_a_lost_sensors_view_is_left_out_until_it_is_back(tmp_path: Path) -> None:
    bundle, records = exported(2, "uint8", VIEWS, "onnxruntime", masked=True), tmp_path / "records.json"
    frames = ["--listen", "127.0.0.1:0", "--frames", "2000", "--records", str(records)]
    aggregator = started("aggregator", bundle, *frames)
    assert aggregator.stdout is not None
    where = aggregator.stdout.readline().split()[-1]
    sensors = [started("sensor", bundle, "--connect", where, "--view", str(view)) for view in range(VIEWS)]
    said(aggregator, "all views are there")
    sensors[2].kill()
    said(aggregator, "going on without view 2")
    host, _, port = where.rpartition(":")
    again = Thread(target=run_sensor, args=(bundle, bundle.sample()[0][:, 2], 2, (host, int(port))))
    again.start()  # a process would take longer to start than the frames take
    said(aggregator, "view 2 is there again")
    _, complaints = aggregator.communicate(timeout=120)
    assert aggregator.returncode == 0, complaints
    again.join(20)
    assert not again.is_alive()
    for sensor in sensors:
        sensor.communicate(timeout=20)
    assert [sensor.returncode for sensor in sensors] == [0, 0, -9, 0]
    found = json.loads(records.read_text())
    assert [record["frame"] for record in found] == list(range(2000))
    missing = [tuple(record["missing"]) for record in found]
    assert missing[-1] == ()
    begins, ends = missing.index((2,)), len(missing) - missing[::-1].index((2,))
    assert set(missing[begins:ends]) == {(2,)}, "one gap"
    images, scores = bundle.sample()
    half = bundle.open("aggregator")
    sense = bundle.open("sensor")
    assert half is not None
    assert sense is not None
    record = found[begins]
    sent = np.concatenate([sense(view[None]) for view in images[record["frame"] % len(images)]])
    np.testing.assert_allclose(record["scores"], half(sent, np.array([1, 1, 0, 1]))[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found[-1]["scores"], scores[found[-1]["frame"] % len(images)], rtol=2e-2, atol=2e-2)


def test_the_last_sensor_is_never_done_without() -> None:
    bundle = exported(2, "uint8", VIEWS, "onnxruntime", masked=True)
    aggregator = started("aggregator", bundle, "--listen", "127.0.0.1:0", "--frames", "1000000")
    assert aggregator.stdout is not None
    where = aggregator.stdout.readline().split()[-1]
    sensors = [started("sensor", bundle, "--connect", where, "--view", str(view)) for view in range(VIEWS)]
    said(aggregator, "all views are there")
    for sensor in sensors:
        sensor.kill()
        sensor.communicate(timeout=20)
    _, complaint = aggregator.communicate(timeout=60)
    assert aggregator.returncode == 1
    assert complaint.splitlines()[-1].startswith("error: view ")


@pytest.mark.parametrize("split", [2, 0, -1])
def test_the_native_runner_plays_it_with_all_its_views(split: int) -> None:
    found = measure_bundle(exported(split, "float32", 3, "tvm", masked=True), frames=12)
    assert found.runtime == "native"
    assert found.scores_error < 1e-4
    assert found.top1_agreement == 1
