"""One opened half, many threads: every call gets the result of its own input."""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from splitkit.bundle import half_of
from splitkit.bundle.verify import Half
from tests.bundle.bundles import exported

THREADS = 8


def results_of_threads(half: Half, arrays: NDArray[Any], rounds: int) -> list[tuple[int, NDArray[Any]]]:
    """What each of many calls, from threads that start together, gives for the array of that number."""
    together = threading.Barrier(THREADS)

    def work(thread: int) -> list[tuple[int, NDArray[Any]]]:
        together.wait()
        numbers = [(thread + i) % len(arrays) for i in range(rounds)]
        return [(number, half(arrays[number])) for number in numbers]

    with ThreadPoolExecutor(THREADS) as pool:
        return [result for results in pool.map(work, range(THREADS)) for result in results]


@pytest.mark.parametrize("exporter", ["tvm", "onnxruntime"])
@pytest.mark.parametrize("side", ["sensor", "aggregator"])
def test_threads_share_an_opened_half(exporter: str, side: str) -> None:
    bundle = exported(2, "uint8", 1, exporter)
    sensor = bundle.open("sensor")
    assert sensor is not None
    images = bundle.sample()[0][:, 0][:, None]
    arrays = images if side == "sensor" else np.stack([sensor(image) for image in images])
    half = sensor if side == "sensor" else bundle.open("aggregator")
    assert half is not None
    expected = [half(array) for array in arrays]
    for number, result in results_of_threads(half, arrays, 300):
        np.testing.assert_array_equal(result, expected[number])


class SlowSession:
    """A session with one buffer, as all have, that gives every other thread time to write into it."""

    def __init__(self, name_in: str, name_out: str) -> None:
        self.name_in, self.name_out = name_in, name_out
        self.staged = np.zeros(1)
        self.waiting = threading.Event()

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        np.copyto(self.staged, inputs[self.name_in])
        self.waiting.wait(0.001)
        return {self.name_out: self.staged.copy()}

    def time_ns(self, repeats: int) -> NDArray[np.int64]:
        return np.zeros(repeats, np.int64)


def test_calls_wait_for_each_other() -> None:
    artifact = exported(2, "uint8", 1, "tvm").artifact("sensor")
    assert artifact is not None
    session = SlowSession(artifact.inputs[0].name, artifact.outputs[0].name)
    half = half_of(artifact, session)
    arrays = np.arange(16.0).reshape(16, 1)
    results = results_of_threads(half, arrays, 10)
    assert all(result == arrays[number] for number, result in results)
    unlocked = results_of_threads(lambda a: session.run({session.name_in: a})[session.name_out], arrays, 10)
    assert any(result != arrays[number] for number, result in unlocked), "the test notices a missing lock"


def test_a_call_that_fails_lets_the_next_one_in() -> None:
    bundle = exported(2, "uint8", 1, "tvm")
    half = bundle.open("sensor")
    assert half is not None
    with pytest.raises(Exception, match="input 'image' is"):
        half(np.zeros(3, np.uint8))
    half(bundle.sample()[0][0, 0][None])
