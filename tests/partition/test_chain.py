"""More than two processors in a row, against trying everything."""

import itertools
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from splitkit.cli.main import main
from splitkit.errors import ConfigError
from splitkit.latency.store import LutStore
from splitkit.partition import partition, partition_chain
from splitkit.partition.chain import best_chain
from splitkit.partition.cuts import Cut, cuts_of
from splitkit.partition.network import Network
from splitkit.profiles import load_system
from splitkit.profiles.schema import Hub, LinkProfile, System
from tests.bundle.plain_models import plain, residual
from tests.latency.systems import analytical_system
from tests.partition.networks import all_cuts, networks


def cost(
    cuts: list[Cut], chosen: tuple[int, ...], times: list[np.typing.NDArray[np.float64]], entering: list[float],
    links: list[LinkProfile],
) -> float:  # fmt: skip
    """Straight from the definition; infinite where a processor would have to give something back."""
    before, total = np.zeros(len(times[0]), dtype=np.bool_), 0.0
    for i, (us, graph_us) in enumerate(zip(times, entering, strict=True)):
        until = cuts[chosen[i]].sensor if i < len(chosen) else np.ones(len(us), dtype=np.bool_)
        if (before & ~until).any():
            return float("inf")
        own = until & ~before
        total += us[own].sum() + graph_us * own.any()
        total += links[i].latency_us(cuts[chosen[i]].payload_bytes) if i < len(chosen) else 0.0
        before = until
    return float(total)


@settings(max_examples=40)
@given(networks(), st.integers(2, 4), st.data())
def test_the_chain_is_the_best_of_all(network: Network, processors: int, data: st.DataObject) -> None:
    draw = st.lists(st.integers(0, 100), min_size=len(network.pieces), max_size=len(network.pieces))
    times = [np.array(data.draw(draw), dtype=np.float64) for _ in range(processors)]
    entering = [float(data.draw(st.integers(0, 20))) for _ in range(processors)]
    speeds = [data.draw(st.sampled_from([1e5, 1e7, 1e12])) for _ in range(processors - 1)]
    links = [LinkProfile(name="link", bandwidth_bytes_per_s=speed, overhead_us=3) for speed in speeds]
    cuts = [cuts_of(network, sensor[None])[0] for sensor in all_cuts(network)][:14]
    ends = [cuts_of(network, np.full((1, len(network.pieces)), whole))[0] for whole in (False, True)]
    cuts = [*cuts, *(end for end in ends if all((end.sensor != cut.sensor).any() for cut in cuts))]
    chosen = best_chain(cuts, times, entering, links)
    least = min(
        cost(cuts, choice, times, entering, links)
        for choice in itertools.product(range(len(cuts)), repeat=processors - 1)
    )
    assert cost(cuts, tuple(chosen), times, entering, links) == pytest.approx(least)


def with_hub(bandwidth: float, hub_scale: float) -> System:
    """A slow sensor, a hub, and this formula's aggregator."""
    found = analytical_system()
    slow = {"name": "slow", "time_scale": 10.0, "memory_bytes": None, "flash_bytes": None}
    sensor = found.aggregator.model_copy(update=slow)
    link = found.link.model_copy(update={"bandwidth_bytes_per_s": bandwidth})
    hub = Hub(device=found.aggregator.model_copy(update={"name": "hub", "time_scale": hub_scale}), link=link)
    return found.model_copy(update={"sensor": sensor, "link": link, "hubs": (hub,)})


@pytest.mark.parametrize("model", [plain(), residual()], ids=["plain", "residual"])
def test_a_useless_hub_leaves_the_best_cut_of_two(model: onnx.ModelProto, tmp_path: Path) -> None:
    """Over a link to it that takes no time; each of the two processors does what it does without one."""
    system = with_hub(1e6, 1e6)
    free = system.hubs[0].link.model_copy(update={"bandwidth_bytes_per_s": 1e15, "overhead_us": 0.0})
    system = system.model_copy(update={"hubs": (system.hubs[0].model_copy(update={"link": free}),)})
    with LutStore(tmp_path / "lut.db") as store:
        chain = partition_chain(model, system, store)
        best = partition(model, system, store, listed=20).best
    assert [stage.device for stage in chain.stages] == ["slow", "hub", system.aggregator.name]
    assert chain.stages[1].pieces == 0
    assert chain.stages[0].sent == chain.stages[1].sent == best.crossing
    assert chain.total_us == pytest.approx(best.total_us, rel=0.05)  # what changes at the halves' edges


def test_a_fast_hub_takes_over_from_the_sensor(tmp_path: Path) -> None:
    fast = with_hub(1e12, 0.01)
    with LutStore(tmp_path / "lut.db") as store:
        chain = partition_chain(plain(), fast, store)
    assert sum(stage.pieces for stage in chain.stages) > 0
    assert chain.stages[1].pieces > 0
    assert chain.total_us == pytest.approx(sum(stage.us + stage.link_us for stage in chain.stages))
    assert chain.stages[-1].sent == ()


HUBS = """
name = "three"
sensor = "hmd-sensor"
link = "mipi-csi2"
aggregator = "ar-soc"

[[hubs]]
device = "ar-soc"
link = "mipi-csi2"
"""


def test_the_command_prints_a_line_a_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(plain(), "model.onnx")
    Path("three.toml").write_text(HUBS)
    run = CliRunner().invoke(main, ["partition", "model.onnx", "--system", "three.toml", "--stages", "3", "--json"])
    assert run.exit_code == 0, run.stderr
    body = json.loads(run.stdout)
    assert [stage["device"] for stage in body["stages"]] == ["hmd-sensor", "ar-soc", "ar-soc"]
    assert "the best of" in run.stderr
    for arguments, code, message in (
        (("--system", "three.toml", "--stages", "4"), 2, "has 3 processors (say --stages 3)"),
        (("--system", "hmd", "--stages", "3"), 2, "has two processors (list others in [[hubs]]"),
        (("--system", "three.toml", "--stages", "3", "-o", "bundle"), 2, "no -o"),
    ):
        run = CliRunner().invoke(main, ["partition", "model.onnx", *arguments])
        assert run.exit_code == code, run.stderr
        assert message in run.stderr


def test_mistakes_in_hubs_are_named(tmp_path: Path) -> None:
    path = tmp_path / "three.toml"
    for old, new, message in (
        ('device = "ar-soc"', 'device = "nowhere"', r"hubs\.0\.device: no device is called 'nowhere'"),
        ('device = "ar-soc"\n', "", r"hubs\.0\.device"),
        ("[[hubs]]", "hubs = 3\n[x]", "hubs"),
    ):
        path.write_text(HUBS.replace(old, new))
        with pytest.raises(ConfigError, match=message):
            load_system(path)


def test_whoever_knows_two_processors_only_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("three.toml").write_text(HUBS)
    run = CliRunner().invoke(main, ["bench", "--target", "sensor", "--space", "tiny", "--system", "three.toml"])
    assert run.exit_code == 2
    assert "system three has hubs: `splitkit partition` alone uses them" in run.stderr
