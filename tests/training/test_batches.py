"""Batches of a training run: decoded ahead or not, they are the same."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from splitkit.data import Samples, SampleSource, folder
from splitkit.data.augment import MirrorAndShift
from splitkit.data.files import FileSamples
from splitkit.space import load_space
from splitkit.training.optimise import Batches


def pictures(root: Path) -> SampleSource:
    """Thirty small pictures of two classes that stay in their files."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 15), ("val", 2)):
        for name in ("a", "b"):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (32, 32), dtype=np.uint8)
                Image.fromarray(pixels).save(root / part / name / f"{number}.png")
    space = load_space("tiny").input
    source = folder.load(root, space, search_fraction=0.1, memory_bytes=0).train
    assert isinstance(source, FileSamples)
    return source


def plain(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return images


def test_files_read_ahead_give_the_batches_of_files_in_memory(tmp_path: Path) -> None:
    files = pictures(tmp_path)
    memory = files.take(torch.arange(len(files)))
    assert isinstance(memory, Samples)
    for shared in (False, True):
        ahead, here = (Batches(source, plain, 3, 8, shared=shared) for source in (files, memory))
        for step in (0, 1, 2, 3, 7, 2):  # over epochs, and back as a resumed run jumps
            wanted = torch.arange(8) if step != 3 else torch.tensor([1, 5])
            for found, expected in zip(ahead.take(step, wanted), here.take(step, wanted), strict=True):
                assert torch.equal(found, expected)
        ahead.close()


def test_seeds_differ_in_the_order_of_the_samples_and_in_how_they_are_varied() -> None:
    """torch's generators would take seeds that differ above 32 bits for the same."""
    images = torch.randint(0, 256, (64, 1, 1, 8, 8), dtype=torch.uint8)
    samples = Samples(images, torch.arange(64))
    moved = MirrorAndShift(mirror=False, shift=3)
    orders = [Batches(samples, plain, seed, 32)[0][1].tolist() for seed in range(4)]
    assert len({tuple(order) for order in orders}) == 4
    same = Samples(images[:1].expand(64, -1, -1, -1, -1), torch.arange(64))
    varied = [Batches(same, moved, seed, 32)[0][0] for seed in range(2)]
    assert not torch.equal(varied[0], varied[1])
    assert not torch.equal(varied[0], Batches(same, moved, 0, 32)[1][0]), "and so do steps"
