"""Which files of a folder are pictures of which class and part, and what is named as left out."""

import os
from pathlib import Path

import pytest
from PIL import Image

from splitkit.data.layout import Layout, find_layout
from splitkit.errors import DataError


def fill(folder: Path, count: int = 5, first: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(first, first + count):
        Image.new("L", (8, 8), i).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for part in ("train", "val"):
        for name in ("ant", "bee"):
            fill(tmp_path / part / name)
    return tmp_path


def names(layout: Layout, part: str = "train") -> list[str]:
    return [f"{layout.classes[label]}/{path.name}" for path, label in getattr(layout, part)]


PLAIN = [f"{name}/{i}.png" for name in ("ant", "bee") for i in range(5)]


@pytest.mark.parametrize(
    "name", [".ipynb_checkpoints", "@eaDir", "__MACOSX", "#recycle", "$RECYCLE.BIN", ".AppleDouble", "lost+found"]
)
def test_folders_of_systems_are_no_classes_and_no_pictures_wherever_they_lie(root: Path, name: str) -> None:
    for place in ("train", "train/ant", "val", "val/bee"):
        fill(root / place / name, 3)
    layout = find_layout(root)
    assert layout.classes == ("ant", "bee")
    assert names(layout) == names(layout, "test") == PLAIN
    why = "hidden, or kept by a system (3 files)"
    assert layout.left_out == tuple(f"{root / place / name}: {why}" for place in ("train", "train/ant"))
    assert layout.test_left_out == tuple(f"{root / place / name}: {why}" for place in ("val", "val/bee"))


@pytest.mark.parametrize("name", ["Thumbs.db", ".DS_Store", "._0.png", "desktop.ini"])
def test_files_of_systems_are_named(root: Path, name: str) -> None:
    (root / "train/bee" / name).write_bytes(b"0")
    layout = find_layout(root)
    assert names(layout) == PLAIN
    assert layout.left_out == (f"{root / 'train/bee' / name}: hidden, or kept by a system",)


def test_folders_inside_a_class_are_read_and_linked_ones_too(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = fill(tmp_path_factory.mktemp("disk") / "more", 2, 10)
    fill(root / "train/ant/day/one", 1, 20)
    (root / "train/ant/linked").symlink_to(elsewhere)
    assert set(names(find_layout(root))) == {*PLAIN, "ant/10.png", "ant/11.png", "ant/20.png"}


def test_a_linked_folder_is_read_once_and_links_in_circles_end(root: Path) -> None:
    inner = fill(root / "train/bee/inner", 1, 30)
    (root / "train/ant/a").symlink_to(inner)
    (root / "train/bee/b").symlink_to(inner)
    (root / "train/bee/inner/round").symlink_to(root / "train/bee")
    (root / "train/bee/up").symlink_to(root.parent)
    (root / "train/ant/self").symlink_to(root / "train/ant/self")
    layout = find_layout(root)
    assert sorted(names(layout)) == sorted([*PLAIN, "bee/30.png"])
    assert len(layout.left_out) == 5
    assert any(line.startswith(f"{root}/train/ant/a: leads to {inner}, which is read once") for line in layout.left_out)


def test_links_to_nothing_and_what_is_no_file_are_named(root: Path) -> None:
    (root / "train/ant/gone.png").symlink_to(root / "nowhere")
    os.mkfifo(root / "train/ant/pipe.png")
    layout = find_layout(root)
    assert names(layout) == PLAIN
    assert [line.rpartition(": ")[2] for line in layout.left_out] == ["a link to nothing", "not a file"]


def test_two_classes_in_one_folder_are_refused(root: Path) -> None:
    (root / "train/cow").symlink_to(root / "train/ant")
    with pytest.raises(DataError, match=r"train/cow: the same folder as .*train/ant"):
        find_layout(root)


def test_a_test_set_that_is_the_training_set_is_refused(root: Path) -> None:
    for folder in (root / "val").iterdir():
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    (root / "val").rmdir()
    (root / "val").symlink_to(root / "train")
    with pytest.raises(DataError, match="val: the same folder as train/"):
        find_layout(root)


@pytest.mark.parametrize("name", ["valid", "validation", "test", "testing", "Val", "TEST"])
def test_the_test_set_may_be_called_otherwise(root: Path, name: str) -> None:
    (root / "val").rename(root / name)
    (root / "train").rename(root / "Train")
    layout = find_layout(root)
    assert names(layout) == names(layout, "test") == PLAIN
    assert all(name in path.parts for path, _ in layout.test)


def test_a_second_test_set_is_named_as_not_used(root: Path) -> None:
    for name in ("ant", "bee"):
        fill(root / "test" / name)
    layout = find_layout(root)
    assert all("val" in path.parts for path, _ in layout.test)
    assert layout.left_out == (f"{root / 'test'}: not used, val/ is the test set",)


@pytest.mark.parametrize("flat", [True, False])
def test_without_a_test_set_a_fifth_of_every_class_is_held_back(tmp_path: Path, flat: bool) -> None:
    folder = tmp_path if flat else tmp_path / "train"
    for name in ("ant", "bee", "train"):
        fill(folder / name, 100)
    layout = find_layout(tmp_path)
    assert layout.classes == ("ant", "bee", "train")
    train, test = set(names(layout)), set(names(layout, "test"))
    assert not train & test
    assert len(train | test) == 300
    for name in layout.classes:
        assert 8 <= sum(file.startswith(f"{name}/") for file in test) <= 32
    assert "held back" in layout.test_set


def test_pictures_added_later_move_none_from_the_test_set_to_training(tmp_path: Path) -> None:
    for name in ("ant", "bee"):
        fill(tmp_path / name, 40)
    before = find_layout(tmp_path)
    for name in ("ant", "bee"):
        fill(tmp_path / name, 40, first=40)
    after = find_layout(tmp_path)
    assert set(names(before)) <= set(names(after))
    assert set(names(before, "test")) <= set(names(after, "test"))


def test_a_class_too_small_to_be_parted_is_named(tmp_path: Path) -> None:
    fill(tmp_path / "ant", 9)
    fill(tmp_path / "bee", 2)
    with pytest.raises(DataError, match=r"bee: 2 pictures: .* needs three"):
        find_layout(tmp_path)


def test_parts_without_class_folders_are_not_taken_for_classes(tmp_path: Path) -> None:
    fill(tmp_path / "train")
    fill(tmp_path / "val")
    with pytest.raises(DataError, match=r"train: holds no class folders .*<class>"):
        find_layout(tmp_path)
    fill(tmp_path / "other")
    with pytest.raises(DataError, match=r"train: holds no class folders"):
        find_layout(tmp_path)


def test_an_empty_test_set_is_not_passed_over(root: Path) -> None:
    fill(root / "test")
    for part in ("val",):
        for folder in (root / part).iterdir():
            folder.rename(root / f"{part}-{folder.name}")
    with pytest.raises(DataError, match="val: holds no class folders"):
        find_layout(root)


def test_one_class_and_an_unpacked_folder_too_deep_are_told_what_is_expected(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outer = tmp_path_factory.mktemp("outer")
    (outer / "set").symlink_to(root)
    with pytest.raises(DataError, match=f"one class, 'set': two are needed .--data {outer / 'set'}"):
        find_layout(outer)
    with pytest.raises(DataError, match=r"holds no class folders"):
        find_layout(root / "train/ant")


@pytest.mark.parametrize(
    ("train", "val", "message"),
    [
        ("cow", "cow ", r"'cow' in train and 'cow ' in val: they differ in spaces at an end alone"),
        ("Cow", "cow", r"'Cow' in train and 'cow' in val: they differ in capital letters alone"),
        ("caf\u00e9", "cafe\u0301", r"'caf\\xe9' in train and 'cafe\\u0301' in val: the accents are coded differently"),
        ("cow", "hen", r"'cow' only in train; 'hen' only in val"),
    ],
)
def test_classes_that_look_alike_are_told_apart(root: Path, train: str, val: str, message: str) -> None:
    fill(root / "train" / train)
    fill(root / "val" / val)
    with pytest.raises(DataError, match=f"classes differ between train and val: {message}"):
        find_layout(root)


@pytest.mark.parametrize(("one", "other"), [("caf\u00e9", "cafe\u0301"), ("cow", "cow ")])
def test_classes_nobody_could_tell_apart_are_refused(root: Path, one: str, other: str) -> None:
    for name in (one, other):
        fill(root / "train" / name)
    with pytest.raises(DataError, match="join them"):
        find_layout(root)


def test_capital_and_small_letters_may_be_classes(tmp_path: Path) -> None:
    for name in ("a", "A"):
        fill(tmp_path / name, 9)
    assert find_layout(tmp_path).classes == ("A", "a")


def test_a_class_whose_name_is_no_text_is_refused(root: Path) -> None:
    fill(root / "train" / os.fsdecode(b"\xff\xfe"))
    with pytest.raises(DataError, match=r"class '\\udcff\\udcfe': the folder's name is not UTF-8"):
        find_layout(root)


def test_files_whose_names_are_no_text_are_pictures_all_the_same(root: Path) -> None:
    file = root / "train/ant" / os.fsdecode(b"\xff\n.png")
    Image.new("L", (8, 8)).save(file, "PNG")
    assert (file, 0) in find_layout(root).train


@pytest.mark.parametrize("target", ["val", "val/ant"])
def test_no_link_leads_test_pictures_into_training(root: Path, target: str) -> None:
    (root / "train/ant/more").symlink_to(root / target)
    layout = find_layout(root)
    assert names(layout) == names(layout, "test") == PLAIN
    assert layout.left_out == (f"{root}/train/ant/more: leads to {root / target}, which is read once",)
