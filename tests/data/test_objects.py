"""Trees of objects: 3D models and pictures of every view, from files to a data set."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from splitkit.data import Dataset, load_dataset
from splitkit.data.object_survey import survey_objects
from splitkit.data.object_tree import kind_of_tree
from splitkit.data.shapes3d import CLASSES
from splitkit.errors import DataError, StorageError
from splitkit.project.fitting import fit_space
from splitkit.space import SearchSpace, load_space


def space(views: int, classes: int = 2, channels: int = 1) -> SearchSpace:
    tiny = load_space("tiny")
    given = tiny.input.model_copy(update={"views": views, "channels": channels})
    return tiny.model_copy(update={"input": given, "head": tiny.head.model_copy(update={"classes": classes})})


@pytest.fixture
def meshes(tmp_path: Path) -> Path:
    """Two classes, boxes and balls of several formats; three to train with, one to test."""
    root, random = tmp_path / "things", np.random.default_rng(0)
    for name in ("ball", "box"):
        for part, count in (("train", 3), ("test", 1)):
            folder = root / name / part
            folder.mkdir(parents=True)
            for number, suffix in zip(range(count), (".off", ".ply", ".stl"), strict=False):
                size = random.uniform(0.5, 1.5, 3)
                mesh = trimesh.creation.box(size) if name == "box" else trimesh.creation.icosphere(radius=size[0])
                mesh.export(folder / f"{name}_{number:04d}{suffix}")
    return root


@pytest.fixture
def views(tmp_path: Path) -> Path:
    """Two classes, pictures whose grey says which object and view they are."""
    root = tmp_path / "seen"
    for label, name in enumerate(("a", "b")):
        for part, count in (("train", 3), ("test", 2)):
            folder = root / name / part
            folder.mkdir(parents=True)
            for number in range(count):
                for view in range(6):
                    grey = 100 * label + 10 * number + view
                    Image.new("L", (20, 20), grey).save(folder / f"{name}_{number}_{view:02d}.png")
    return root


def load(root: Path, of: SearchSpace, **reading: Any) -> Dataset:
    return load_dataset(root, of, search_images=2, **reading)


def everything(data: Dataset) -> torch.Tensor:
    return data.all_training.take(torch.arange(len(data.all_training))).images


def test_models_become_views(meshes: Path) -> None:
    data = load(meshes, space(4))
    assert data.classes == ("ball", "box")
    assert (len(data.train), len(data.search), len(data.test)) == (4, 2, 2)
    images = everything(data)
    assert images.shape == (6, 4, 1, 32, 32)
    # A ball looks alike from everywhere, a box does not.
    ball = data.test.take(torch.tensor([0])).images.float()
    box = data.test.take(torch.tensor([1])).images.float()
    assert float((ball[0] - ball[0, :1]).abs().mean()) < 4 < float((box[0] - box[0, :1]).abs().mean())
    assert data.problems == data.test_problems == ()


def test_colour_spaces_get_alike_channels_and_other_rigs_other_views(meshes: Path) -> None:
    grey, colour = everything(load(meshes, space(2))), everything(load(meshes, space(2, channels=3)))
    assert torch.equal(colour, grey.expand_as(colour))
    assert not torch.equal(everything(load(meshes, space(2), cameras="dodecahedron")), grey)
    assert not torch.equal(everything(load(meshes, space(2), up="x")), grey)


def test_views_of_fewer_sensors_are_among_those_of_more(meshes: Path) -> None:
    four, twelve = everything(load(meshes, space(4))), everything(load(meshes, space(12)))
    assert torch.equal(four, twelve[:, ::3])


def test_renderings_are_kept_and_made_anew_where_a_model_changed(
    meshes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renders = tmp_path / "renders"
    first = load(meshes, space(4), renders=renders)
    files = sorted(renders.rglob("*.png"))
    assert len(files) == 6  # the test set is not opened
    assert Image.open(files[0]).size == (32, 12 * 32)
    rendered: list[str] = []

    def watch(path: Path, up: str | None) -> Any:
        rendered.append(path.name)
        return read_model(path, up)

    from splitkit.data import objects

    read_model: Any = objects.read_model
    monkeypatch.setattr(objects, "read_model", watch)
    assert torch.equal(everything(load(meshes, space(4), renders=renders)), everything(first))
    load(meshes, space(2), renders=renders)
    assert rendered == []
    changed = meshes / "box/train/box_0000.off"
    shutil.copy(meshes / "ball/train/ball_0000.off", changed)
    files[0].write_bytes(files[0].read_bytes()[:100])
    files[1].write_bytes(b"")
    again = load(meshes, space(4), renders=renders)
    assert sorted(rendered) == sorted(["box_0000.off", *(file.name.removesuffix(".png") for file in files[:2])])
    assert torch.equal(again.train.labels, first.train.labels)
    rendered.clear()
    load(meshes, space(4), renders=renders)
    assert rendered == []


def test_what_is_no_model_is_left_out_and_named(meshes: Path) -> None:
    (meshes / "box/train/broken.off").write_text("OFF\n9 9 9\n")
    (meshes / "box/train/notes.txt").write_text("mine")
    (meshes / "box/train/.hidden").write_text("")
    problems = load(meshes, space(1)).problems
    assert len(problems) == 2
    assert "broken.off: no off file that can be read" in problems[0]
    assert "notes.txt: not one of .off" in problems[1]


def test_a_class_without_a_usable_model_says_why(meshes: Path) -> None:
    for file in (meshes / "box/train").iterdir():
        file.write_text("")
    with pytest.raises(DataError, match=r"class 'box': 0 usable objects, 2 are needed; .*an empty file"):
        load(meshes, space(1))


def test_renderings_that_cannot_be_kept_are_an_error_that_names_the_file(meshes: Path, tmp_path: Path) -> None:
    (tmp_path / "renders").write_text("a file of the user's")
    with pytest.raises(StorageError, match=r"renders/ring12-32/.*\.png"):
        load(meshes, space(1), renders=tmp_path / "renders")
    assert (tmp_path / "renders").read_text() == "a file of the user's"


@pytest.mark.parametrize(("count", "wanted"), [(1, [0]), (2, [0, 3]), (3, [0, 2, 4]), (6, [0, 1, 2, 3, 4, 5])])
def test_pictures_of_views_are_taken_evenly_and_in_order(count: int, wanted: list[int], views: Path) -> None:
    data = load(views, space(count))
    test = data.test.take(torch.arange(4))
    assert test.labels.tolist() == [0, 0, 1, 1]
    assert [[int(view.float().mean()) for view in thing] for thing in test.images] == [
        [100 * label + 10 * number + view for view in wanted] for label in (0, 1) for number in (0, 1)
    ]


def test_views_are_counted_by_number_not_by_letter(views: Path) -> None:
    folder = views / "a/test"
    for file in folder.iterdir():
        file.unlink()
    for view in (2, 10, 1):
        Image.new("L", (20, 20), view).save(folder / f"thing_{view}.png")
    test = load(views, space(3)).test
    assert [int(view.float().mean()) for view in test.take(torch.tensor([0])).images[0]] == [1, 2, 10]


def test_objects_with_fewer_views_are_left_out_and_named(views: Path) -> None:
    (views / "a/train/a_1_05.png").unlink()
    (views / "b/train/b_2_00.png").write_bytes(b"no picture")
    (views / "b/train/b_1_0.png").write_bytes((views / "b/train/b_1_01.png").read_bytes())
    problems = load(views, space(6)).problems
    assert len(problems) == 3
    assert "5 pictures of a/train/a_1, 6 views are wanted" in problems[0]
    assert "b_2_00.png" in problems[1]
    assert "view 0 of 'b_1' is there already" in problems[2]


def test_trees_are_told_from_picture_folders(meshes: Path, views: Path, tmp_path: Path) -> None:
    assert kind_of_tree(meshes) == "meshes"
    assert kind_of_tree(views) == "views"
    for part in ("train/a", "train/b", "val/a", "val/b"):
        (tmp_path / "pictures" / part).mkdir(parents=True)
    assert kind_of_tree(tmp_path / "pictures") is None
    assert kind_of_tree(tmp_path) is None


@pytest.mark.parametrize(
    ("reading", "of", "message"),
    [
        ({"cameras": "ring"}, "views", "cameras and up are for 3D models"),
        ({"full_scale": 255.0}, "views", "full_scale means nothing there"),
        ({"full_scale": 255.0}, "meshes", "full_scale means nothing there"),
    ],
)
def test_what_means_nothing_for_a_tree_is_refused(
    reading: dict[str, Any], of: str, message: str, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(DataError, match=message):
        load(request.getfixturevalue(of), space(1), **reading)


def test_what_means_nothing_for_pictures_is_refused(tmp_path: Path) -> None:
    for part in ("a", "b"):
        (tmp_path / part).mkdir()
        for number in range(5):
            Image.new("L", (20, 20), 9).save(tmp_path / part / f"{number}.png")
    with pytest.raises(DataError, match="cameras means nothing there"):
        load(tmp_path, space(1), cameras="ring")
    assert len(load(tmp_path, space(1), renders=tmp_path / "none", cameras=None).classes) == 2


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: shutil.rmtree(root / "box"), "one class, 'ball': two are needed"),
        (lambda root: [file.unlink() for file in (root / "box/test").iterdir()], "0 objects, at least 1 are needed"),
        (lambda root: os.rename(root / "box", root / "ball "), "look alike|trailing|differ"),
    ],
    ids=["one class", "no test objects", "names alike"],
)
def test_incomplete_trees_are_refused(damage: Any, message: str, meshes: Path) -> None:
    damage(meshes)
    with pytest.raises(DataError, match=message):
        load(meshes, space(1))


def test_init_finds_a_space_for_them(meshes: Path, views: Path) -> None:
    models = fit_space(meshes)
    assert (models.views, models.space().input.size, models.space().input.channels) == (4, 64, 1)
    assert models.space().head.classes == 2
    assert "3D models: rendered to 4 views" in models.seen.lines()[2]
    pictures = survey_objects(views, "views")
    assert (pictures.views, pictures.fewest_views, pictures.sides) == (4, 6, (20, 20, 20))
    assert pictures.counts == (3, 3)


def test_generated_solids_are_the_same_for_all_and_told_apart_by_several_views() -> None:
    one, again = (load_dataset("shapes3d", space(4, classes=10), seed) for seed in (0, 1))
    assert one.classes == tuple(CLASSES)
    assert len(one.all_training) == 1000
    assert (len(one.search), len(one.test)) == (200, 400)
    assert torch.equal(one.test.take(torch.arange(5)).images, again.test.take(torch.arange(5)).images)
    assert not torch.equal(one.train.take(torch.arange(50)).images, again.train.take(torch.arange(50)).images)
    images, labels = everything(one).float(), one.all_training.labels
    # A can looks alike from all sides; what a handle or a slot is seen by is on one of them.
    spread = images.std(dim=1).mean((1, 2, 3))
    by_class = [float(spread[labels == label].median()) for label in range(10)]
    assert by_class[CLASSES_BY_NAME["can"]] < 1
    assert by_class[CLASSES_BY_NAME["can with a handle"]] > 2
    assert by_class[CLASSES_BY_NAME["can with a slot"]] > 2


CLASSES_BY_NAME = {name: label for label, name in enumerate(CLASSES)}
