"""The host device: pinning, scale, labels and conditions, timed on a really compiled graph."""

import os
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from splitkit.devices import Device, device_kinds, get_device
from splitkit.devices.host import HostDevice
from splitkit.devices.pinning import choose_cpus, pinned, usable_cpus
from splitkit.errors import ConfigError, DeviceError
from splitkit.exporters import Artifact, get_exporter
from splitkit.profiles import DeviceProfile, load_device

HOST = load_device("host")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Two 1x1 convolutions of 32 channels at 16x16."""
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.normal(0, 0.2, (32, 32, 1, 1)).astype(np.float32), name) for name in ("w", "v")
    ]
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 32, 16, 16])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 32, 16, 16])
    nodes = [helper.make_node("Conv", ["x", "w"], ["h"]), helper.make_node("Conv", ["h", "v"], ["y"])]
    graph = helper.make_graph(nodes, "two", [image], [out], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    directory: Path = tmp_path_factory.mktemp("compiled")
    return get_exporter("tvm").compile(model, HostDevice(HOST).target(), directory)


def test_pinning_holds_inside_and_is_undone_after() -> None:
    before = os.sched_getaffinity(0)
    with pinned(usable_cpus()[-1:]):
        assert os.sched_getaffinity(0) == {usable_cpus()[-1]}
    assert os.sched_getaffinity(0) == before


def test_pinning_is_undone_after_an_error() -> None:
    before = os.sched_getaffinity(0)
    with pytest.raises(RuntimeError), pinned(usable_cpus()[:1]):
        raise RuntimeError
    assert os.sched_getaffinity(0) == before


def test_other_threads_keep_their_processors() -> None:
    seen: list[set[int]] = []
    ready, look = threading.Event(), threading.Event()

    def watch() -> None:
        ready.set()
        look.wait()
        seen.append(os.sched_getaffinity(0))

    thread = threading.Thread(target=watch)
    thread.start()
    ready.wait()
    with pinned(usable_cpus()[-1:]):
        look.set()
        thread.join()
    assert seen == [os.sched_getaffinity(0)]


def test_processors_that_are_not_here_are_refused() -> None:
    with pytest.raises(DeviceError, match="device x: cpus: 99999 is not usable"):
        choose_cpus(1, (99999,), "x")
    with pytest.raises(DeviceError, match="threads: 100000 asked for"):
        choose_cpus(100_000, None, "x")


def test_an_unknown_kind_is_refused_with_those_installed() -> None:
    assert {"host", "analytical"} <= set(device_kinds())
    with pytest.raises(ConfigError, match=r"device x: kind: .*'board'.*analytical, host"):
        get_device(DeviceProfile(name="x", kind="board"))


def test_label_and_fingerprint_state_the_conditions() -> None:
    scaled = HOST.model_copy(update={"time_scale": 24.0})
    device, slow = get_device(HOST), get_device(scaled)
    assert isinstance(device, Device)
    assert (device.label(), device.emulated) == ("measured", False)
    assert (slow.label(), slow.emulated) == ("measured x24 (emulated slower core)", True)
    assert "threads 1" in device.fingerprint()
    assert slow.fingerprint() != device.fingerprint() == get_device(scaled.unscaled()).fingerprint()


def test_a_graph_and_its_kernels_are_timed_and_affinity_is_restored(compiled: Artifact) -> None:
    before = os.sched_getaffinity(0)
    device = HostDevice(HOST)
    timing = device.time_graph(compiled, repeats=30)
    kernels = device.time_kernels(compiled, repeats=30)
    assert os.sched_getaffinity(0) == before
    assert len(timing.samples) == 30
    assert kernels.shape == (30, len(compiled.kernels))
    assert 0 < np.median(kernels, axis=0).sum() < 20 * timing.undisturbed


def test_time_scale_multiplies_what_was_measured(compiled: Artifact) -> None:
    plain, scaled = HostDevice(HOST), HostDevice(HOST.model_copy(update={"time_scale": 1000.0}))
    ratios = [
        scaled.time_graph(compiled, 30).samples.min() / plain.time_graph(compiled, 30).samples.min() for _ in range(5)
    ]
    assert 400 < float(np.median(ratios)) < 2500


def test_an_artifact_for_other_threads_is_refused(compiled: Artifact) -> None:
    if len(usable_cpus()) < 2:
        pytest.skip("one processor")
    with pytest.raises(DeviceError, match="compiled for 1 threads, device host-2t has 2"):
        HostDevice(load_device("host-2t")).time_graph(compiled)
