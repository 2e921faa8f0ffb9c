"""A search space of one's own, of the kind of `mobile`, through every step of the loop."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner

from splitkit.bundle.export import export_bundle
from splitkit.cli.main import main
from splitkit.latency import LutStore, SystemPredictor
from splitkit.profiles import load_system
from splitkit.space import Sampler, SearchSpace, describe, load_space
from splitkit.space.units import Block
from splitkit.supernet import Supernet, extract
from tests.networks import digit_images

FILE = Path(__file__).parent / "mobile_like.toml"

SEARCH = {
    "population = 48": "population = 4",
    "finalists = 6": "finalists = 1",
    "# finalist_steps = 50": "finalist_steps = 1",
    "generations = 20": "generations = 1",
    "feedback_rounds = 3": "feedback_rounds = 0",
    "# steps = 600": "steps = 1",
    "# fine_tune_steps = 150": "fine_tune_steps = 0",
    "# search_images = 1500": "search_images = 60",
}


def run(*arguments: str) -> str:
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return load_space(FILE)


@pytest.fixture(scope="module")
def supernet(space: SearchSpace) -> Supernet:
    return Supernet(space)


def test_the_space_has_what_mobile_has(space: SearchSpace) -> None:
    networks = [describe(space, space.largest(0)), describe(load_space("mobile"), load_space("mobile").largest(0))]
    for network in networks:
        blocks = [placed.unit for placed in network.aggregator if isinstance(placed.unit, Block)]
        assert {block.expand for block in blocks} > {1}
        assert {block.squeeze_excite for block in blocks} == {True, False}
        assert {op.activation for op in network.operators("aggregator") if op.kind == "activation"} >= {
            "swish",
            "hard_sigmoid",
        }


@pytest.mark.parametrize("placement", ["sensor", "split", "aggregator"])
def test_a_network_of_it_is_exported_and_proved(
    space: SearchSpace, supernet: Supernet, placement: str, tmp_path: Path
) -> None:
    architecture = Sampler(space.restricted(placement), np.random.default_rng(3)).uniform()  # type: ignore[arg-type]
    images = digit_images()
    network = extract(supernet, architecture, torch.from_numpy(images))
    bundle = export_bundle(network, load_system("demo"), images[:8], tmp_path / "bundle")
    records = bundle.manifest.verification
    assert {record.runtime.split()[0] for record in records} == {"onnxruntime", "tvm"}
    assert all(record.top1_agreement == 1.0 for record in records)


def test_the_loop_runs_on_it_from_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(FILE, "mine.toml")
    run("init", "--space", "mine.toml")
    file = Path("splitkit.toml")
    text = file.read_text()
    for old, new in SEARCH.items():
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)
    run("train")
    run("bench", "--target", "sensor", "--budget", "2s")
    found = json.loads(run("search", "--json"))
    assert found["space"] == "mobile-like"
    assert found["scored_on"] <= 60
    assert all(found["fronts"].values())
    manifest = json.loads(run("export", "--split", "first", "-o", "bundle", "--json"))
    assert manifest["origin"]["architecture"]["space"] == "mobile-like"


@pytest.mark.slow
def test_mobile_itself_is_searched_exported_and_proved(tmp_path: Path) -> None:
    """The preset at full size: predicted on an analytical system, extracted, compiled, held against the whole."""
    space = load_space("mobile")
    with LutStore(tmp_path / "lut.db") as store:
        predictor = SystemPredictor(space, load_system("hmd"), store)
        sampler = Sampler(space, np.random.default_rng(0))
        drawn = [sampler.uniform() for _ in range(50)]
        assert np.isfinite(predictor.predict(predictor.encoding.encode_all(drawn)).total_us).all()
    supernet = Supernet(space)
    # Smooth, as what a camera sees: in white noise, torch's float32 coordinates of resizing alone cost 1e-4.
    coarse = np.random.default_rng(0).integers(0, 256, (4, 3, 9, 9)).astype(np.float32)
    images = F.interpolate(torch.from_numpy(coarse), size=288, mode="bilinear").to(torch.uint8)[:, None].numpy()
    for placement in ("sensor", "split", "aggregator"):
        architecture = Sampler(space.restricted(placement), np.random.default_rng(1)).uniform()  # type: ignore[arg-type]
        network = extract(supernet, architecture, torch.from_numpy(images))
        bundle = export_bundle(network, load_system("demo"), images, tmp_path / placement)
        assert {r.runtime.split()[0] for r in bundle.manifest.verification} == {"onnxruntime", "tvm"}
        assert all(r.top1_agreement == 1.0 for r in bundle.manifest.verification)
