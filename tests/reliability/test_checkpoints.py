"""Damaged and hostile checkpoints: refused in one line, whatever is wrong with them, at a cost their size bounds."""

import io
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from splitkit.data import load_dataset
from splitkit.errors import CheckpointError
from splitkit.supernet import SubNetwork
from splitkit.training import load_supernet, train
from tests.reliability.checkpoints import CONFIG, interrupted, small_space

ROOT = Path(__file__).parents[2]
MOST_GROWN_MB = 300
"""The whole process of mutations, whose own copies of the checkpoint are most of it."""

SPACE = small_space()
DATA = load_dataset("digits", SPACE)
Change = Callable[[dict[str, Any]], Any]


def mutated(tmp_path: Path, *arguments: int) -> int:
    """Run so many mutations in a process of their own; how many were refused."""
    command = [sys.executable, "-m", "tests.reliability.checkpoints", str(tmp_path), *map(str, arguments)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1200, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    refused, accepted, grown_mb = map(int, result.stdout.split())
    assert refused + accepted == sum(arguments[:3]) + arguments[2] // 3
    assert grown_mb < MOST_GROWN_MB
    return refused


def test_mutated_checkpoints(tmp_path: Path) -> None:
    assert mutated(tmp_path, 10, 10, 30, 1) > 40


@pytest.mark.slow
def test_many_mutated_checkpoints(tmp_path: Path) -> None:
    assert mutated(tmp_path, 150, 150, 300, 2) > 500


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A checkpoint that a training step follows on."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return interrupted(SPACE, DATA, tmp_path_factory.mktemp("checkpoint") / "supernet.pt")
    finally:
        torch.set_num_threads(threads)


def optimised(body: dict[str, Any]) -> dict[str, Tensor]:
    """What the optimiser keeps of the first weight of the stem."""
    return body["optimiser"]["sensor.units.stem.convs.conv.weight"]  # type: ignore[no-any-return]


def put(table: Any, key: str, value: Any) -> None:
    table[key] = value


SHAPES = [(0,), (1,), (16, 1, 3, 4), (16,), (144,), (1000, 1000)]

DAMAGE: list[tuple[str, Change]] = [
    ("step: -5: input should be greater than or equal to 0", lambda b: put(b, "step", -5)),
    (r"step: 1000000000 is behind the schedule's end, config.steps = 3", lambda b: put(b, "step", 10**9)),
    ("step: True: ", lambda b: put(b, "step", True)),
    ("step: 1.5: a whole number is wanted", lambda b: put(b, "step", 1.5)),
    ("classes: 9 names, the space's head.classes is 10", lambda b: put(b, "classes", list("123456789"))),
    ("classes: two have the same name", lambda b: put(b, "classes", list("1223456789"))),
    ("classes: is missing", lambda b: b.pop("classes")),
    ("history: unknown key", lambda b: put(b, "history", [])),
    (r"config.learning_rate: nan: ", lambda b: put(b["config"], "learning_rate", float("nan"))),
    ("config.steps: is missing", lambda b: b["config"].pop("steps")),
    ("weights: a table of tensors is wanted, found list", lambda b: put(b, "weights", [])),
    ("weights: 0 tensors are too few", lambda b: put(b, "weights", {})),
    ("weights: .*stem.*gain is missing", lambda b: b["weights"].pop("sensor.units.stem.convs.conv.gain")),
    ("weights: 'x' is not part of the network", lambda b: put(b["weights"], "x", torch.zeros(1))),
    ("holds values that are not finite", lambda b: b["weights"]["sensor.units.stem.convs.conv.gain"].fill_(torch.nan)),
    ("optimiser: a table is wanted, found int", lambda b: put(b, "optimiser", 3)),
    ("optimiser: 'x' is no parameter", lambda b: put(b["optimiser"], "x", {})),
    ("a table of step, exp_avg, exp_avg_sq is wanted", lambda b: optimised(b).pop("exp_avg")),
    ("exp_avg_sq: holds negative values", lambda b: optimised(b)["exp_avg_sq"].fill_(-1)),
    ("exp_avg: holds values that are not finite", lambda b: optimised(b)["exp_avg"].fill_(torch.inf)),
    ("exp_avg: float64, float32 is wanted", lambda b: put(optimised(b), "exp_avg", optimised(b)["exp_avg"].double())),
    ("step: 3, a whole number in 1..2 is wanted", lambda b: optimised(b)["step"].fill_(3)),
    ("step: 0.5, a whole number", lambda b: optimised(b)["step"].fill_(0.5)),
    ("step: -1, a whole number", lambda b: optimised(b)["step"].fill_(-1)),
    *[
        (rf"exp_avg: shape \({shape[0]}.*is wanted", lambda b, s=shape: put(optimised(b), "exp_avg", torch.zeros(s)))
        for shape in SHAPES
    ],
]  # fmt: skip


@pytest.mark.parametrize(("reason", "change"), DAMAGE, ids=[reason for reason, _ in DAMAGE])
def test_what_does_not_fit_is_named_before_anything_is_used(
    tmp_path: Path, content: bytes, reason: str, change: Change
) -> None:
    body = torch.load(io.BytesIO(content), weights_only=True)
    change(body)
    path = tmp_path / "supernet.pt"
    torch.save(body, path)
    with pytest.raises(CheckpointError, match=rf"supernet\.pt: .*{reason}") as caught:
        train(SPACE, DATA, CONFIG, path, resume=True, device="cpu")
    assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match=reason):
        load_supernet(path)


def test_a_space_larger_than_memory_is_refused_without_making_it(tmp_path: Path, content: bytes) -> None:
    body = torch.load(io.BytesIO(content), weights_only=True)
    body["space"]["phases"][0]["widths"] = [8, 4096]
    body["space"]["stem"]["widths"] = [8, 4096]
    path = tmp_path / "supernet.pt"
    torch.save(body, path)
    with pytest.raises(CheckpointError, match=r"weights: .* is wanted"):
        load_supernet(path)


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, member in members.items():
            file.writestr(name, member)
    return buffer.getvalue()


def members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return {name: file.read(name) for name in file.namelist()}


DEEP = b"\x80\x02}(U\x04kindU\x11splitkit supernetU\x0eschema_versionK\x03U\x05space" + b"]" * 99_999 + b"a" * 99_998
GREEDY = b"\x80\x02c__builtin__\nbytearray\n\x8a\x05\x00\x00\x00\x00\x10\x85R."

HOSTILE: list[tuple[str, Callable[[dict[str, bytes]], bytes]]] = [
    ("its members are compressed", lambda m: archive(m, zipfile.ZIP_DEFLATED)),
    ("it has no data.pkl", lambda m: archive({n: c for n, c in m.items() if not n.endswith("data.pkl")})),
    ("it has no data.pkl, or more than that", lambda m: archive(m | {"archive/constants.pkl": b"."})),
    ("it names __builtin__ bytearray", lambda m: archive(m | {"archive/data.pkl": GREEDY})),
    ("space: nested too deeply", lambda m: archive(m | {"archive/data.pkl": DEEP + b"u."})),
]


@pytest.mark.parametrize(("reason", "make"), HOSTILE, ids=[reason for reason, _ in HOSTILE])
def test_an_archive_that_costs_more_than_its_size_is_refused(
    tmp_path: Path, content: bytes, reason: str, make: Callable[[dict[str, bytes]], bytes]
) -> None:
    renamed = {"archive/" + name.partition("/")[2]: member for name, member in members(content).items()}
    path = tmp_path / "supernet.pt"
    path.write_bytes(make(renamed))
    with pytest.raises(CheckpointError, match=reason) as caught:
        load_supernet(path)
    assert "\n" not in str(caught.value)


def test_a_sub_network_whose_statistics_make_nan_is_refused(tmp_path: Path) -> None:
    network = SubNetwork(SPACE, SPACE.canonical(SPACE.largest(2)))
    path = tmp_path / "subnetwork.pt"
    for name, buffer in network.named_buffers():
        for value in (-1.0, float("nan")) if name.endswith("running_var") else (0.0,) if name.endswith("scale") else ():
            with torch.no_grad():
                kept = buffer.clone()
                buffer.fill_(value)
            network.save(path)
            with pytest.raises(CheckpointError, match=rf"subnetwork\.pt: state: {name}: "):
                SubNetwork.load(path)
            buffer.copy_(kept)
    network.save(path)
    SubNetwork.load(path)
