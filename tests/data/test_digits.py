"""The embedded data set."""

import pytest
import torch

from splitkit.data import load_dataset
from splitkit.errors import DataError
from splitkit.space import SearchSpace, load_space

TINY = load_space("tiny")


def with_views(space: SearchSpace, views: int) -> SearchSpace:
    return space.model_copy(update={"input": space.input.model_copy(update={"views": views})})


def test_digits_are_captured_images_of_all_classes() -> None:
    data = load_dataset("digits", TINY)
    assert len(data.train) + len(data.search) + len(data.test) == 1797
    for samples in (data.train, data.search, data.test):
        assert samples.images.dtype == torch.uint8
        assert samples.images.shape[1:] == (1, 1, 32, 32)
        assert set(samples.labels.tolist()) == set(range(10))
        assert samples.images.max() == 255
    assert "8x8" in data.description


def rows(images: torch.Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in images}


def test_search_slice_follows_the_seed_and_test_set_does_not() -> None:
    first, again, other = (load_dataset("digits", TINY, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.search.images, again.search.images)
    assert rows(first.search.images) != rows(other.search.images)
    assert torch.equal(first.test.images, other.test.images)


def test_train_search_and_test_are_disjoint() -> None:
    data = load_dataset("digits", TINY)
    train, search, test = rows(data.train.images), rows(data.search.images), rows(data.test.images)
    assert not train & search
    assert not (train | search) & test


def test_two_views_are_different_crops_of_one_image() -> None:
    single, double = load_dataset("digits", TINY), load_dataset("digits", with_views(TINY, 2))
    views = double.train.images
    assert views.shape[1:] == (2, 1, 32, 32)
    assert torch.equal(double.train.labels, single.train.labels)
    differing = (views[:, 0] != views[:, 1]).flatten(1).any(1)
    assert differing.all()


def test_space_of_another_number_of_classes_or_channels_is_refused() -> None:
    more = TINY.model_copy(update={"head": TINY.head.model_copy(update={"classes": 12})})
    with pytest.raises(DataError, match=r"10 classes.*head\.classes = 12"):
        load_dataset("digits", more)
    with pytest.raises(DataError, match=r"input\.channels is 3"):
        load_dataset("digits", load_space("cifar"))


def test_unknown_source_is_named() -> None:
    with pytest.raises(DataError, match=r"no/such/place.*digits"):
        load_dataset("no/such/place", TINY)
