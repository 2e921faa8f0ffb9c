"""Image folders, the broken ones too."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from splitkit.data import Samples, folder, load_dataset
from splitkit.data.files import FileSamples
from splitkit.errors import DataError
from splitkit.space import SearchSpace, load_space

CLASSES = ("ant", "bee")


@pytest.fixture
def space() -> SearchSpace:
    cifar = load_space("cifar")
    return cifar.model_copy(update={"head": cifar.head.model_copy(update={"classes": 2})})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six training and two test images per class, ants dark and bees bright, in several formats, sizes and modes."""
    rng = np.random.default_rng(0)
    kinds = [("png", "RGB"), ("jpg", "RGB"), ("bmp", "L"), ("png", "RGBA"), ("gif", "P"), ("webp", "RGB")]
    for part, count in (("train", 6), ("val", 2)):
        for label, name in enumerate(CLASSES):
            directory = tmp_path / part / name
            directory.mkdir(parents=True)
            for i in range(count):
                suffix, mode = kinds[i]
                pixels = rng.integers(100 * label, 100 * label + 100, (20 + 9 * i, 50, 3), dtype=np.uint8)
                Image.fromarray(pixels).convert(mode).save(directory / f"{i}.{suffix}")
    return tmp_path


def test_any_format_becomes_square_captured_images_with_the_folder_as_label(root: Path, space: SearchSpace) -> None:
    data = load_dataset(root, space)
    assert data.classes == CLASSES
    assert data.problems == ()
    assert (len(data.train), len(data.search), len(data.test)) == (10, 2, 4)
    for samples in (data.train, data.search, data.test):
        assert samples.images.shape[1:] == (1, 3, 32, 32)
        bright = samples.images.float().flatten(1).mean(1) > 100
        assert torch.equal(bright.long(), samples.labels)


def test_images_do_not_depend_on_the_number_of_workers(root: Path, space: SearchSpace) -> None:
    one, three = load_dataset(root, space, workers=1), load_dataset(root, space, workers=3)
    assert torch.equal(one.train.images, three.train.images)


def test_broken_images_are_named_and_the_rest_is_used(root: Path, space: SearchSpace) -> None:
    whole = (root / "train/ant/1.jpg").read_bytes()
    (root / "train/ant/1.jpg").write_bytes(whole[:-200])
    (root / "train/bee/notes.txt").write_text("not an image")
    (root / "train/bee/empty.png").touch()
    data = load_dataset(root, space)
    assert len(data.problems) == 3
    for name in ("1.jpg", "notes.txt", "empty.png"):
        assert any(name in line and "\n" not in line for line in data.problems)
    assert len(data.train) + len(data.search) == 11


def test_class_without_images_is_an_error(root: Path, space: SearchSpace) -> None:
    for path in (root / "train/bee").iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(DataError, match=r"class 'bee' without a readable picture"):
        load_dataset(root, space)


def test_class_missing_from_val_is_named(root: Path, space: SearchSpace) -> None:
    (root / "train/cow").mkdir()
    with pytest.raises(DataError, match="classes differ between train and val: 'cow' only in train"):
        load_dataset(root, space)


def test_missing_part_is_named(root: Path, space: SearchSpace) -> None:
    (root / "train").rename(root / "pictures")
    with pytest.raises(DataError, match=r"holds val/ but no train/.*train/<class>"):
        load_dataset(root, space)


def test_test_set_is_not_read_before_it_is_opened(root: Path, space: SearchSpace) -> None:
    data = load_dataset(root, space)
    for path in (root / "val").rglob("*.*"):
        path.write_bytes(b"broken")
    with pytest.raises(DataError, match="without a readable picture"):
        _ = data.test


def test_a_set_too_large_for_memory_stays_in_its_files_and_gives_the_same_samples(
    root: Path, space: SearchSpace
) -> None:
    kept, read = (folder.load(root, space.input, memory_bytes=limit) for limit in (1 << 30, 0))
    assert isinstance(kept.train, Samples)
    assert isinstance(read.train, FileSamples)
    order = torch.randperm(len(kept.train), generator=torch.Generator().manual_seed(0))
    for one, other in ((kept.train, read.train), (kept.test, read.test), (kept.all_training, read.all_training)):
        indices = order[order < len(one)]
        assert torch.equal(one.take(indices).images, other.take(indices).images)
        assert torch.equal(one.part(indices).labels, other.part(indices).labels)
        assert torch.equal(one.labels, other.labels)
    assert torch.equal(kept.search.images, read.search.images)


def test_samples_of_two_sources_come_in_the_order_they_are_asked_for(root: Path, space: SearchSpace) -> None:
    data = load_dataset(root, space)
    joined = data.all_training
    first, second = data.train.take(torch.arange(len(data.train))), data.search
    images = torch.cat([first.images, second.images])
    order = torch.randperm(len(joined), generator=torch.Generator().manual_seed(1))
    assert torch.equal(joined.take(order).images, images[order])
    assert torch.equal(joined.take(order).labels, joined.labels[order])


def test_broken_pixels_of_a_large_set_are_named_when_they_are_met(root: Path, space: SearchSpace) -> None:
    (root / "train/bee/empty.png").touch()
    data = folder.load(root, space.input, memory_bytes=0)
    assert [line.split(":")[0] for line in data.problems] == [str(root / "train/bee/empty.png")]
    assert isinstance(data.train, FileSamples)
    path = next(path for path in data.train.paths if path.suffix == ".jpg")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=f"{path}: .*truncated"):
        data.train.take(torch.arange(len(data.train)))


def test_the_search_slice_can_be_bounded(root: Path, space: SearchSpace) -> None:
    data = folder.load(root, space.input, search_fraction=0.5, search_images=4)
    assert len(data.search) == 4
    assert torch.equal(data.search.labels.bincount(), torch.tensor([2, 2]))
