"""What is known of a large tree is kept, used again where files are as they were, and nowhere else."""

import os
import signal
import sqlite3
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from splitkit.data import Dataset, folder, headers, index, listing
from splitkit.data.decode import UnreadableError
from splitkit.data.files import FileSamples
from splitkit.data.layout import find_layout
from splitkit.errors import DataError
from splitkit.space.search_space import InputSpace

GREY = InputSpace(channels=1, size=8, resolutions=(8,))
NAMES = (
    "a b.png",
    "ß 猫.png",
    "zwei\nzeilen.png",
    os.fsdecode(b"\xff\xfe.png"),
    "e\u0301.png",
    "plain.png",
    "x.png",
    "y.png",
)


class Tree:
    """Two classes of eight pictures each and a broken one, their test set, and an index beside it."""

    def __init__(self, place: Path, flat: bool = False) -> None:
        self.root, self.index, self.said = place / "tree", place / "run" / "pictures.db", list[str]()
        for part in ("",) if flat else ("train", "val"):
            for label, name in enumerate(("a  cat", "猫")):
                (self.root / part / name).mkdir(parents=True)
                for i, file in enumerate(NAMES):
                    write(self.root / part / name / file, 100 * label + i)
        self.train = self.root if flat else self.root / "train"
        (self.train / "猫" / "broken.png").write_bytes(b"no picture")

    def open(self, kept: bool = True, **options: int) -> Dataset:
        reading = {"memory_bytes": 0, "index": self.index if kept else None, "say": self.said.append} | options
        return folder.load(self.root, GREY, **reading)  # type: ignore[arg-type]


def write(path: Path, shade: int, side: int = 8) -> None:
    Image.new("L", (side, side), shade).save(path, "PNG")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of files whose headers are looked at, from now on."""
    names: list[str] = []
    look = headers.look_at_header

    def noting(path: Path) -> object:
        names.append(path.name)
        return look(path)

    monkeypatch.setattr(headers, "look_at_header", noting)
    return names


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of folders that are listed, from now on; every time of change is old enough to prove something."""
    names: list[str] = []
    scan = listing.scan

    def noting(path: Path) -> listing.Listing:
        names.append(path.name)
        return scan(path)

    monkeypatch.setattr(index, "scan", noting)
    monkeypatch.setattr(listing, "SETTLED_NS", 0)
    monkeypatch.setattr(headers, "SETTLED_NS", 0)
    return names


def age(tree: Tree) -> None:
    """Files that were written long ago: the clock's resolution leaves no doubt."""
    for path in tree.root.rglob("*"):
        if path.is_file():
            os.utime(path, ns=(10**18, 10**18))


def contents(data: Dataset) -> tuple[object, ...]:
    parts = [part.take(torch.arange(len(part))) for part in (data.train, data.search, data.test)]
    tensors = [(part.images.tolist(), part.labels.tolist()) for part in parts]
    return (data.description, data.classes, data.problems, data.test_problems, tensors)


@pytest.mark.parametrize("flat", [False, True])
def test_a_known_tree_opens_as_an_unknown_one_and_no_file_is_looked_at(
    tmp_path: Path, looked: list[str], flat: bool
) -> None:
    tree = Tree(tmp_path, flat)
    age(tree)
    plain = contents(tree.open(kept=False))
    assert len(plain[2]) == 1  # type: ignore[arg-type]
    assert contents(tree.open()) == plain
    looked.clear()
    for _ in range(2):
        assert contents(tree.open()) == plain
    assert looked == []
    assert tree.said == []


def test_sets_that_fit_into_memory_need_no_index(tree: Tree) -> None:
    data = folder.load(tree.root, GREY, index=tree.index)
    assert len(data.train) + len(data.search) + len(data.test) == 32
    assert not tree.index.exists()


def test_the_test_set_is_not_looked_at_before_it_is_opened(tmp_path: Path, looked: list[str]) -> None:
    tree = Tree(tmp_path, flat=True)
    age(tree)
    data = tree.open()
    before = len(looked)
    assert before == len(data.train) + len(data.search) + 1
    assert len(data.test) == len(looked) - before > 0


def test_only_files_that_were_added_or_changed_are_looked_at_again(tree: Tree, looked: list[str]) -> None:
    age(tree)
    tree.open()
    looked.clear()
    cat = tree.train / "a  cat"
    (cat / "x.png").unlink()
    write(cat / "new.png", 7)
    (cat / "y.png").write_bytes(b"no picture any more")
    data = tree.open()
    assert sorted(looked) == ["new.png", "y.png"]
    assert [line.split(": ")[0] for line in data.problems] == [
        str(cat / "y.png"),
        str(tree.train / "猫" / "broken.png"),
    ]
    assert isinstance(data.train, FileSamples)
    paths = {*data.train.paths, *find_layout(tree.root).train.paths}
    assert cat / "x.png" not in paths
    assert cat / "new.png" in paths


def test_only_folders_that_changed_are_listed_again(tree: Tree, listed: list[str]) -> None:
    tree.open()
    listed.clear()
    tree.open()
    assert listed == []
    write(tree.root / "train/猫/new.png", 7)
    tree.open()
    assert listed == ["猫"]


def test_a_folder_that_has_just_changed_is_listed_again(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.open()
    noted: list[Path] = []
    monkeypatch.setattr(index, "scan", lambda path: (noted.append(path), listing.scan(path))[1])
    tree.open()
    assert len(noted) == 4


def test_a_broken_file_that_is_mended_in_place_is_noticed(tree: Tree, listed: list[str], looked: list[str]) -> None:
    tree.open()
    whole = (tree.train / "猫/x.png").read_bytes()
    looked.clear()
    listed.clear()
    (tree.train / "猫/broken.png").write_bytes(whole)
    assert tree.open().problems == ()
    assert looked == ["broken.png"]
    assert listed == []


def test_a_file_overwritten_in_place_is_named_when_it_is_met(tree: Tree, listed: list[str]) -> None:
    tree.open()
    (tree.train / "猫/x.png").write_bytes(b"no picture any more")
    data = tree.open()
    assert len(data.problems) == 1
    with pytest.raises(DataError, match=r"x\.png: not a picture"):
        contents(data)


def test_a_reason_of_the_system_is_not_remembered(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, listed: list[str]
) -> None:
    def refuse(path: Path) -> None:
        if path.name == "x.png":
            raise UnreadableError("Permission denied") from PermissionError(13, "Permission denied")
        return look(path)  # type: ignore[return-value]

    look = headers.look_at_header
    monkeypatch.setattr(headers, "look_at_header", refuse)
    assert len(tree.open().problems) == 3
    monkeypatch.setattr(headers, "look_at_header", look)
    assert len(tree.open().problems) == 1


def test_a_link_to_nothing_is_a_picture_once_there_is_one(tree: Tree, listed: list[str]) -> None:
    target = tree.root.parent / "elsewhere.png"
    (tree.train / "猫/late.png").symlink_to(target)
    assert any("late.png: a link to nothing" in line for line in tree.open().problems)
    write(target, 9)
    data = tree.open()
    assert len(data.problems) == 1
    assert len(data.train) + len(data.search) == 17


def test_values_of_deep_greys_are_remembered(tree: Tree, looked: list[str]) -> None:
    for part, white in (("train", 4095), ("val", 4000)):
        for path in (tree.root / part).rglob("p*.png"):
            Image.fromarray(np.full((8, 8), white, np.uint16)).save(path)
    Image.fromarray(np.full((8, 8), 5000, np.uint16)).save(tree.root / "val/猫/bright.png")
    age(tree)
    first = contents(tree.open())
    looked.clear()
    assert contents(tree.open()) == first
    assert looked == []
    assert "255 is 4095 (found)" in str(first[0])
    assert "bright.png: holds 5000" in str(first[3])


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def overwrite(file: Path) -> None:
    file.write_bytes(b"\0" * 100)


def change_a_name(file: Path) -> None:
    content = file.read_bytes()
    assert b"plain.png" in content
    file.write_bytes(content.replace(b"plain.png", b"plaid.png"))


def drop_a_table(file: Path) -> None:
    with sqlite3.connect(file) as db:
        db.execute("DROP TABLE folders")


@pytest.mark.parametrize("damage", [cut, overwrite, change_a_name, drop_a_table])
def test_a_damaged_index_is_set_aside_and_made_anew(
    tree: Tree, looked: list[str], damage: Callable[[Path], None]
) -> None:
    age(tree)
    plain = contents(tree.open())
    damage(tree.index)
    assert contents(tree.open()) == plain
    assert [line.partition(": ")[2] for line in tree.said] == ["damaged: made anew, the old one is pictures.db.damaged"]
    looked.clear()
    assert contents(tree.open()) == plain
    assert looked == []


def test_an_index_of_another_tree_is_begun_anew(tree: Tree, tmp_path: Path, looked: list[str]) -> None:
    age(tree)
    tree.open()
    other = Tree(tmp_path / "other")
    age(other)
    other.index = tree.index
    looked.clear()
    other.open()
    assert len(looked) == 17
    looked.clear()
    other.open()
    assert looked == []


def test_a_data_base_of_something_else_is_left_as_it_is(tree: Tree) -> None:
    tree.index.parent.mkdir()
    with sqlite3.connect(tree.index) as db:
        db.execute("CREATE TABLE precious (x)")
    with pytest.raises(DataError, match=r"pictures.db: no index of pictures"):
        tree.open()
    with sqlite3.connect(tree.index) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("precious",)]


def test_without_a_place_for_it_a_tree_opens_all_the_same(tree: Tree) -> None:
    tree.index.parent.write_text("a file where a folder should be")
    assert len(tree.open().train) > 0
    assert len(tree.said) == 1
    assert "looked at without an index" in tree.said[0]


KILLED = """
import os, signal, sys
from pathlib import Path
from splitkit.data import folder, headers
from splitkit.space.search_space import InputSpace
headers.SHARE, headers.KEEP_EVERY_S, look, seen = 2, 0.0, headers.look_at_header, []
class Keeper(headers._Keeper):
    def keep(self):
        super().keep()
        self._pause_s = 0.0
        if self._done >= 8:
            os.kill(os.getpid(), signal.SIGKILL)
headers._Keeper = Keeper
space = InputSpace(channels=1, size=8, resolutions=(8,))
folder.load(Path(sys.argv[1]), space, memory_bytes=0, index=Path(sys.argv[2]), workers=1)
"""


def test_a_look_that_was_killed_goes_on_where_it_was(tree: Tree, looked: list[str]) -> None:
    age(tree)
    plain = contents(tree.open(kept=False))
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tree.root), str(tree.index)], check=False)
    assert ended.returncode == -signal.SIGKILL
    looked.clear()
    data = tree.open()
    assert len(looked) == 17 - 8
    assert contents(data) == plain
    assert tree.said == []


def test_a_long_look_says_how_far_it_is(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "SAY_EVERY_S", 0.0)
    monkeypatch.setattr(headers, "SHARE", 10)
    tree.open()
    assert tree.said[0].startswith("10 of 17 pictures looked at, ")


def test_files_come_in_the_order_of_paths_however_deep_they_lie(tree: Tree) -> None:
    for inner in ("m", "m/n", "m n", "a b.png.d"):
        (tree.train / "猫" / inner).mkdir()
        for name in ("a.png", "z.png", "n.png", "n!.png"):
            write(tree.train / "猫" / inner / name, 3)
    elsewhere = tree.root.parent / "elsewhere"
    elsewhere.mkdir()
    write(elsewhere / "q.png", 4)
    (tree.train / "猫" / "linked").symlink_to(elsewhere)
    found = find_layout(tree.root).train
    assert len(found) == 34
    assert list(found) == sorted(found, key=lambda file: (file[1], file[0]))


def test_an_entry_takes_few_bytes_beside_its_name(tmp_path: Path) -> None:
    write(tmp_path / "one.png", 1)
    name, count = "image number {:06}.png", 10_000
    for part in ("train/a", "train/b", "val/a", "val/b"):
        (tmp_path / part).mkdir(parents=True)
        for i in range(count if part.startswith("train") else 1):
            os.link(tmp_path / "one.png", tmp_path / part / name.format(i))
    find_layout(tmp_path)  # whatever is made once
    tracemalloc.start()
    try:
        layout = find_layout(tmp_path)
        per_entry = tracemalloc.get_traced_memory()[0] / len(layout.train)
    finally:
        tracemalloc.stop()
    assert len(layout.train) == 2 * count
    assert per_entry < len(name.format(0)) + 24
