"""Batches decoded before they are asked for are those that would be decoded then."""

import pickle
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from splitkit.data import ReadAhead, Samples, batches_of, folder
from splitkit.data.dataset import Joined, SamplesLater
from splitkit.data.files import FileSamples
from splitkit.errors import DataError
from splitkit.space.search_space import InputSpace

GREY = InputSpace(channels=1, size=8, resolutions=(8,))
BATCH = 4


@pytest.fixture
def samples(tmp_path: Path) -> FileSamples:
    """Forty pictures, all different."""
    for part, count in (("train", 22), ("val", 1)):
        for label, name in enumerate(("ant", "bee")):
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(count):
                Image.new("L", (8, 8), 100 * label + i).save(tmp_path / part / name / f"{i:02}.png")
    data = folder.load(tmp_path, GREY, memory_bytes=0)
    assert isinstance(data.train, FileSamples)
    return data.train


def shuffled(number: int) -> Tensor | None:
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    return order[BATCH * number : BATCH * (number + 1)] if number < 10 else None


def same(one: Samples, other: Samples) -> bool:
    return torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)


def test_batches_are_those_that_would_be_taken_in_any_order_of_asking(samples: FileSamples) -> None:
    assert len(samples) == 40
    with ReadAhead(samples, shuffled) as ahead:
        for number in (0, 1, 2, 3, 7, 8, 9, 2, 3):
            indices = shuffled(number)
            assert indices is not None
            assert same(ahead[number], samples.take(indices))
        with pytest.raises(IndexError):
            ahead[10]


def test_the_next_batches_are_decoded_meanwhile_and_no_more_than_those(samples: FileSamples) -> None:
    expected = [samples.take(torch.arange(4 * i, 4 * i + 4)) for i in range(3)]
    with ReadAhead(samples, lambda number: torch.arange(4 * number, 4 * number + 4), ahead=2) as ahead:
        assert same(ahead[0], expected[0])
        for future in list(ahead._waiting.values()):
            future.result()
        for path in samples.paths:
            path.unlink()
        assert same(ahead[1], expected[1])
        assert same(ahead[2], expected[2])
        with pytest.raises(DataError, match=r"13\.png: No such file"):
            ahead[3]


def test_a_broken_file_is_an_error_at_its_own_batch(samples: FileSamples) -> None:
    samples.paths[9].write_bytes(b"no picture")
    found = batches_of(samples, 4)
    assert [len(next(found)) for _ in range(2)] == [4, 4]
    with pytest.raises(DataError, match="not a picture"):
        next(found)


def test_all_batches_of_files_and_of_memory_are_the_same(samples: FileSamples) -> None:
    kept = samples.take(torch.arange(40))
    for source in (samples, kept, Joined(samples.part(torch.arange(15)), kept.part(torch.arange(15, 40)))):
        found = list(batches_of(source, 7))
        assert [len(part) for part in found] == [7, 7, 7, 7, 7, 5]
        assert torch.equal(torch.cat([part.images for part in found]), kept.images)


def test_samples_in_files_and_those_read_later_can_be_sent_to_another_process(samples: FileSamples) -> None:
    later = SamplesLater(samples.part(torch.arange(3)))
    for source in (samples, later):
        sent = pickle.loads(pickle.dumps(source))
        assert same(sent.take(torch.arange(3)), source.take(torch.arange(3)))


def test_the_search_slice_is_decoded_when_it_is_asked_for(samples: FileSamples) -> None:
    root = samples.paths[0].parents[2]
    data = folder.load(root, GREY, memory_bytes=0)
    for path in root.rglob("train/*/*.png"):
        Image.new("L", (8, 8), 255).save(path)
    assert len(data.search) == 4
    assert data.search.images.min() == 255
    assert data.search.take(torch.tensor([1])).images.shape == (1, 1, 1, 8, 8)
