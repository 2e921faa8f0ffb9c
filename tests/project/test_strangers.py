"""What a stranger does with pictures of their own: the first command, then whatever each says comes next."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from splitkit.bundle import load_bundle

QUICK = {
    "# steps = 600": "steps = 3",
    "# fine_tune_steps = 150": "fine_tune_steps = 2",
    "population = 48": "population = 4",
    "generations = 20": "generations = 1",
    "feedback_rounds = 3": "feedback_rounds = 0",
}
"""What the test changes in splitkit.toml: how long everything takes."""


def typed(line: str, directory: Path) -> list[str]:
    """Run a line that begins with `splitkit`, as a process of its own; what it printed for people."""
    program, *arguments = shlex.split(line)
    assert program == "splitkit"
    environment = os.environ | {"COLUMNS": "80", "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, "-m", "splitkit", *arguments],
        cwd=directory, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, f"{line}\n{result.stdout}{result.stderr}"
    return result.stderr.splitlines()


def follow(first: str, directory: Path) -> dict[str, list[str]]:
    """Type a command and then each next one that is printed; what was printed, by command."""
    said: dict[str, list[str]] = {}
    line: str | None = first
    while line:
        command = " ".join(shlex.split(line)[1:4]) if " bench" in line else shlex.split(line)[1]
        assert command not in said, f"{line}: typed twice"
        quick = " --frames 20" if command == "bench bundle" else " --budget 3s" if command.endswith("sensor") else ""
        said[command] = typed(line + quick, directory)
        if command == "init":
            change(directory / "splitkit.toml")
        *_, last = said[command]
        line = match[1] if (match := re.fullmatch("next: (splitkit .*)", last)) else None
    return said


def change(settings: Path) -> None:
    text = settings.read_text()
    for old, new in QUICK.items():
        assert old in text
        text = text.replace(old, new)
    settings.write_text(text)


STEPS = [
    "init",
    "train",
    "bench --target sensor",
    "bench --target aggregator",
    "search",
    "report",
    "export",
    "bench bundle",
]


@pytest.mark.slow
def test_six_classes_of_photographs_that_no_preset_fits(tmp_path: Path) -> None:
    """Phone pictures in a folder with a space in its name, one folder a class, and what else lies in such folders."""
    names = ("bolt", "café", "nut", "pin 3mm", "screw", "washer")
    rng, exif = np.random.default_rng(0), Image.Exif()
    exif[0x0112] = 6
    for label, name in enumerate(names):
        folder = tmp_path / "my pictures" / name
        folder.mkdir(parents=True)
        for i in range(24):
            pixels = rng.integers(0, 80, (70 + i, 100, 3), dtype=np.uint8)
            pixels[..., label % 3] += np.uint8(40 + 20 * label)
            Image.fromarray(pixels).save(folder / f"{i}.jpg", exif=exif)
        (folder / ".DS_Store").write_bytes(b"0")
    (tmp_path / "my pictures/bolt/@eaDir").mkdir()
    (tmp_path / "my pictures/bolt/broken.jpg").write_bytes(b"\xff\xd8\xff")
    project = tmp_path / "project"
    project.mkdir()
    said = follow('splitkit init --data "../my pictures"', project)
    assert list(said) == STEPS
    assert "6 classes: bolt, café, nut, pin 3mm, screw, washer" in said["init"]
    assert any("@eaDir" in line for line in said["init"])
    assert any(line.startswith("left out: ") and "broken.jpg" in line for line in said["train"])
    manifest = load_bundle(project / "bundle").manifest
    assert manifest.classes == names
    assert manifest.image.shape == (1, 3, 64, 64)
    found = next(line for line in said["bench bundle"] if line.startswith("classes found: "))
    assert any(name in found for name in names)
    assert "`pin 3mm`" in (project / "bundle/README.md").read_text()


@pytest.mark.slow
def test_a_set_of_sixteen_bit_greys(tmp_path: Path) -> None:
    """Twelve bits in 16-bit files, as machine-vision cameras write them, with a test set of its own."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 40), ("valid", 10)):
        for label, name in enumerate(("flaw", "good")):
            folder = tmp_path / "camera" / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(1000 * label, 1000 * label + 3000, (60, 60)).astype(np.uint16)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    said = follow("splitkit init --data camera", tmp_path)
    assert list(said) == STEPS
    assert any(line.startswith("grey, ") for line in said["init"])
    assert any("255 is 4095 (found)" in line for line in said["train"])
    bundle = load_bundle(tmp_path / "bundle")
    assert bundle.manifest.classes == ("flaw", "good")
    assert "255 is 4095" in bundle.manifest.pixels
    assert "255 is 4095" in (tmp_path / "bundle/README.md").read_text()
    images, _ = bundle.sample()
    assert images.max() > 200
    assert len(np.unique(images)) > 100
    assert json.loads((tmp_path / "bundle/manifest.json").read_text())["classes"] == ["flaw", "good"]
