"""Mutations of real checkpoints, read and resumed in a process whose memory is bounded.

    python -m tests.reliability.checkpoints DIRECTORY BYTES PICKLES FIELDS SEED

Prints how many were refused, how many were read, and by how many MB the process grew. It ends with an error at the
first that is neither refused in one line nor good for a training step.
"""

import contextlib
import copy
import io
import random
import resource
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from splitkit.data import Dataset, load_dataset
from splitkit.space import SearchSpace, load_space
from splitkit.supernet import SubNetwork, extract
from splitkit.training import StepReport, TrainConfig, calibration_images, load_supernet, train
from tests.reliability.fuzzing import read_all
from tests.reliability.mutate import VALUES, damaged

HEADROOM_BYTES = 1 << 30
"""What reading and one step of training may take beyond what the process has when they begin."""

CONFIG = TrainConfig(steps=3, batch=8, learning_rate=5e-3, random_subnetworks=1, sandwich_every=2)


class StoppedError(Exception):
    """Training was given up between two steps."""


def small_space() -> SearchSpace:
    """`tiny` with one phase and one resolution."""
    tiny = load_space("tiny")
    phase = tiny.phases[0].model_copy(update={"before": (0,), "widths": (8, 16)})
    narrow = tiny.input.model_copy(update={"resolutions": (16,)})
    return tiny.model_copy(update={"name": "wee", "phases": (phase,), "input": narrow})


def interrupted(space: SearchSpace, data: Dataset, path: Path) -> bytes:
    """The checkpoint of a training that stopped one step short of its end."""
    kept: list[bytes] = []

    def stop(report: StepReport) -> None:
        if report.step == CONFIG.steps:
            kept.append(path.read_bytes())
            raise StoppedError

    with contextlib.suppress(StoppedError):
        train(space, data, CONFIG.model_copy(update={"checkpoint_every_s": 1e-9}), path, device="cpu", report=stop)
    return kept[0]


def damaged_pickles(content: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Archives whose checksums are right, so that the damage reaches the unpickler."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    (pickled,) = (name for name in members if name.endswith("data.pkl"))
    for damage in damaged(members[pickled], count, seed):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, member in members.items():
                archive.writestr(name, damage if name == pickled else member)
        yield buffer.getvalue()


def damaged_fields(content: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Whole checkpoints in which one to three fields are of another value, type, shape, name, or gone."""
    rng = random.Random(seed)
    body = torch.load(io.BytesIO(content), weights_only=True)
    tensors = [value for _, _, value in _fields(body) if isinstance(value, Tensor)]
    for _ in range(count):
        changed = copy.deepcopy(body)
        for _ in range(rng.randint(1, 3)):
            _change(changed, tensors, rng)
        buffer = io.BytesIO()
        torch.save(changed, buffer)
        yield buffer.getvalue()


def _fields(table: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Every (container, key, value) below a body."""
    entries = list(table.items() if isinstance(table, dict) else enumerate(table))
    for key, value in entries:
        yield table, key, value
        if isinstance(value, dict | list):
            yield from _fields(value)


def _change(body: dict[Any, Any], tensors: list[Tensor], rng: random.Random) -> None:
    # A field of the body first, then one below it: weights would drown the few plain values otherwise.
    field = rng.choice(list(body))
    below = list(_fields(body[field])) if isinstance(body[field], dict | list) else []
    table, key, value = rng.choice(below) if below and rng.random() < 0.9 else (body, field, body[field])
    action = rng.random()
    if action < 0.1:
        del table[key]
    elif action < 0.2 and isinstance(table, dict):
        table[rng.choice(["", "x", 7, None, (1, 2), str(key) + "."])] = table.pop(key)
    elif type(value) is Tensor and value.is_floating_point() and value.layout == torch.strided and action < 0.9:
        table[key] = rng.choice(TENSOR_CHANGES)(value, rng.choice(tensors))
    else:
        table[key] = copy.deepcopy(
            rng.choice([*VALUES, -5, 10**9, 2**63, float("inf"), 3.5, b"x", torch.zeros(3), nested(150)])
        )


def nested(depth: int) -> list[Any]:
    """A list in a list, and so on."""
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


TENSOR_CHANGES: list[Callable[[Tensor, Tensor], Any]] = [
    lambda t, other: other,
    lambda t, other: t.double(),
    lambda t, other: t.half(),
    lambda t, other: t.to(torch.int64),
    lambda t, other: t.to(torch.complex64),
    lambda t, other: t.flatten(),
    lambda t, other: t[None],
    lambda t, other: t.new_zeros(()),
    lambda t, other: t.new_zeros(0),
    lambda t, other: t.new_zeros(()).expand(t.shape),
    lambda t, other: t.new_zeros(()).expand(1 << 20, 1 << 20),
    lambda t, other: torch.zeros(t.numel() * 2)[: t.numel()].view(t.shape),
    lambda t, other: torch.full_like(t, float("nan")),
    lambda t, other: torch.full_like(t, float("-inf")),
    lambda t, other: -torch.ones_like(t),
    lambda t, other: torch.full_like(t, 1e38),
    lambda t, other: torch.cat([t.flatten(), t.flatten()[:1]]),
    lambda t, other: t.to_sparse(),
    lambda t, other: torch.nn.Parameter(t),
    lambda t, other: t.tolist(),
]


def main() -> None:
    """Read all mutations of a supernet's checkpoint, then as many of a sub-network's file by its fields."""
    directory = Path(sys.argv[1])
    in_bytes, in_pickles, in_fields, seed = map(int, sys.argv[2:])
    torch.set_num_threads(1)
    space = small_space()
    data = load_dataset("digits", space)
    file = directory / "supernet.pt"
    content = interrupted(space, data, file)
    supernet = load_supernet(file, space).supernet
    network = extract(supernet, space.canonical(space.largest(2)), calibration_images(data.train))
    plain = directory / "subnetwork.pt"
    network.save(plain)
    plain_content = plain.read_bytes()
    images = data.search.images[:8]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + HEADROOM_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    def resume(path: Path) -> None:
        load_supernet(path)
        train(space, data, CONFIG, path, resume=True, device="cpu")

    def run(path: Path) -> None:
        with torch.no_grad():
            SubNetwork.load(path)(images)

    counts = [
        read_all(file, damaged(content, in_bytes, seed), resume),
        read_all(file, damaged_pickles(content, in_pickles, seed), resume),
        read_all(file, damaged_fields(content, in_fields, seed), resume),
        read_all(plain, damaged_fields(plain_content, in_fields // 3, seed), run),
    ]
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    print(sum(refused for refused, _ in counts), sum(accepted for _, accepted in counts), grown)


if __name__ == "__main__":
    main()
