"""The best cut of models that are nobody's, on a system whose times are a formula."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from splitkit.errors import DeviceError
from splitkit.latency.store import LutStore
from splitkit.partition import Partition, partition
from splitkit.partition.examine import ModelGraph
from splitkit.profiles import System
from tests.bundle.plain_models import image_twice, plain, residual
from tests.latency.systems import analytical_system


def system(bandwidth: float, memory_bytes: int | None = None) -> System:
    """A sensor a tenth as fast as the aggregator."""
    found = analytical_system()
    slow = {"name": "slow", "time_scale": 10.0, "memory_bytes": memory_bytes, "flash_bytes": None}
    sensor = found.aggregator.model_copy(update=slow)
    link = found.link.model_copy(update={"bandwidth_bytes_per_s": bandwidth})
    return found.model_copy(update={"sensor": sensor, "link": link})


def found(model: onnx.ModelProto, chosen: System, tmp_path: Path, most_tensors: int = 4) -> Partition:
    with LutStore(tmp_path / "lut.db") as store:
        return partition(model, chosen, store, most_tensors=most_tensors, listed=20)


@pytest.mark.parametrize("model", [plain(), residual(), image_twice()], ids=["plain", "residual", "image twice"])
@pytest.mark.parametrize("bandwidth", [1e4, 1e6, 1e9])
def test_options_are_what_halves_compiled_and_predicted_by_themselves_take(
    model: onnx.ModelProto, bandwidth: float, tmp_path: Path
) -> None:
    result = found(model, system(bandwidth), tmp_path)
    totals = [option.total_us for option in result.options]
    assert totals == sorted(totals)
    assert result.best.total_us == totals[0]
    assert {"aggregator", "sensor"} <= {option.placement for option in result.options}
    assert len({option.crossing for option in result.options}) == len(result.options)
    for option in result.options:
        assert option.link_us == pytest.approx(system(bandwidth).link.latency_us(option.payload_bytes, 1))
        assert option.sensor_us >= 0
        assert option.measured_fraction == 1


def test_a_slow_link_is_sent_little_and_a_fast_one_the_image(tmp_path: Path) -> None:
    slow, fast = (found(plain(), system(bandwidth), tmp_path).best for bandwidth in (1e4, 1e12))
    assert (slow.placement, slow.payload_bytes) == ("split", 4 * 8)  # less than the ten scores
    assert fast.placement == "aggregator"
    assert fast.payload_bytes == 4 * 3 * 16 * 16


def test_what_crosses_around_a_cut_is_counted(tmp_path: Path) -> None:
    options = {option.crossing: option for option in found(residual(), system(1e6), tmp_path).options}
    around = [crossing for crossing in options if len(crossing) == 2]
    assert around == []  # the sum runs with the second convolution: between them only `first` is there to be sent
    assert options[("first",)].payload_bytes == 4 * 8 * 16 * 16
    twice = {option.crossing: option for option in found(image_twice(), system(1e6), tmp_path).options}
    assert twice[("inner", "pixels")].payload_bytes == 4 * (5 + 3) * 16 * 16
    assert ("inner", "pixels") not in {o.crossing for o in found(image_twice(), system(1e6), tmp_path, 1).options}


def test_what_the_sensor_cannot_hold_comes_last(tmp_path: Path) -> None:
    free = found(plain(), system(1e4), tmp_path)
    limit = free.best.sensor_peak_bytes - 1
    tight = found(plain(), system(1e4, limit), tmp_path)
    assert tight.best.fits
    assert tight.best.sensor_peak_bytes <= limit
    assert [option.fits for option in tight.options] == sorted((option.fits for option in tight.options), reverse=True)
    assert {o.crossing for o in tight.options if not o.fits} == {
        o.crossing for o in free.options if o.sensor_peak_bytes > limit
    }


def test_a_result_is_a_table(tmp_path: Path) -> None:
    result = found(plain(), system(1e6), tmp_path)
    rows = result.rows()
    assert rows[0]["total_us"] == result.best.total_us
    assert {frozenset(row) for row in rows} == {frozenset(rows[0])}
    assert result.to_json()["options"] == rows


def test_measured_ones_are_ranked_by_that(tmp_path: Path) -> None:
    """On devices that are models a measurement is the model's word again."""
    with LutStore(tmp_path / "lut.db") as store:
        options = partition(plain(), system(1e6), store, listed=20, measure=3).options
    measured = [option.measured_us for option in options]
    assert sorted(us is None for us in measured) == [False] * 3 + [True] * (len(options) - 3)
    for option in options:
        if option.measured_us is not None:
            assert option.measured_us == pytest.approx(option.total_us)


def test_energy_needs_all_figures(tmp_path: Path) -> None:
    given = system(1e6)
    assert all(option.energy_uj is None for option in found(plain(), given, tmp_path).options) == (
        given.link.pj_per_byte is None
    )
    priced = {
        side: given.device(side).model_copy(update={"pj_per_mac": 1.0, "pj_per_byte": 0.0})  # type: ignore[arg-type]
        for side in ("sensor", "aggregator")
    }
    link = given.link.model_copy(update={"pj_per_byte": 5.0})
    result = found(plain(), given.model_copy(update=priced | {"link": link}), tmp_path)
    for option in result.options:
        expected = option.sensor_macs + option.aggregator_macs + 5 * option.payload_bytes
        assert option.energy_uj == pytest.approx(expected / 1e6)


def test_the_kernels_are_those_of_the_whole_model(tmp_path: Path) -> None:
    """Cuts are between what runs together, so that halves do the work of the whole and nothing twice."""
    from splitkit.latency.graph_predictor import GraphPredictor

    model = residual()
    with LutStore(tmp_path / "lut.db") as store:
        whole = GraphPredictor(system(1e6).aggregator, store).predict(ModelGraph(model))
        result = partition(model, system(1e6), store, listed=20)
    macs = sum(kernel.macs for kernel in whole.kernels)
    assert {option.sensor_macs + option.aggregator_macs for option in result.options} == {macs}


def test_an_exporter_that_names_no_kernels_is_refused(tmp_path: Path) -> None:
    chosen = system(1e6)
    other = chosen.sensor.model_copy(update={"exporter": "onnxruntime"})
    with pytest.raises(DeviceError, match="onnxruntime"):
        found(plain(), chosen.model_copy(update={"sensor": other}), tmp_path)


def test_a_bundle_of_the_best_cut_computes_what_the_model_does(tmp_path: Path) -> None:
    from splitkit.bundle import Partitioned
    from splitkit.bundle.partition import export_partition
    from tests.bundle.bundles import fast_system
    from tests.bundle.plain_models import inputs_of

    with LutStore(tmp_path / "lut.db") as store:
        best = next(o for o in partition(plain(), system(1e6), store).options if o.placement == "split")
    origin = Partitioned(model="model.onnx", sha256="0" * 64, cut=best.crossing)
    bundle = export_partition(plain(), origin, fast_system(), inputs_of(plain()), tmp_path / "bundle")
    assert bundle.link.payload_bytes == best.payload_bytes
    assert np.prod(bundle.link.shape) * 4 == best.payload_bytes


def test_a_link_of_fewer_bits_sends_fewer_bytes_and_computes_the_conversion(tmp_path: Path) -> None:
    with LutStore(tmp_path / "lut.db") as store:
        plain_, narrow = (
            {o.crossing: o for o in partition(plain(), system(1e5), store, listed=20, link_dtype=dtype).options}
            for dtype in (None, "uint8")  # type: ignore[arg-type]
        )
    assert plain_.keys() == narrow.keys()
    for crossing, option in narrow.items():
        split = option.placement == "split"
        assert option.payload_bytes == plain_[crossing].payload_bytes // (4 if split else 1)
        if split:
            assert option.sensor_us > plain_[crossing].sensor_us
            assert option.aggregator_us > plain_[crossing].aggregator_us


def test_what_cannot_fit_is_known_without_compiling_it(tmp_path: Path) -> None:
    """Of splits whose largest tensor is too much, no more are looked at than are shown."""
    with LutStore(tmp_path / "lut.db") as store:
        result = partition(plain(), system(1e4, memory_bytes=100), store, listed=2)
    assert [option.placement for option in result.options].count("split") == 2
    assert not any(option.fits for option in result.options)
