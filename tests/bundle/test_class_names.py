"""A bundle says what its scores stand for, in the manifest, in its README and where its results are printed."""

import json
import re
import subprocess
import sys

import pytest
from pydantic import ValidationError

from splitkit.bundle import Bundle, load_bundle
from splitkit.bundle.export import export_bundle
from splitkit.runtime.measure import measure_bundle
from tests.bundle.bundles import exported, fast_system
from tests.networks import digit_images, space_of, subnetwork, with_link

NAMES = ("zero", "one|two", "caf\u00e9", "trailing ", "`four`", "five", "six", "seven", "eight", "nine")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    space = space_of("tiny", 1)
    network = subnetwork(space, with_link(space, space.smallest(), 2, "uint8"))
    directory = tmp_path_factory.mktemp("named") / "bundle"
    return export_bundle(network, fast_system(), digit_images(1), directory, classes=NAMES)


def test_the_manifest_holds_the_names_by_label(bundle: Bundle) -> None:
    assert load_bundle(bundle.path).manifest.classes == NAMES
    assert json.loads((bundle.path / "manifest.json").read_text())["classes"] == list(NAMES)
    assert bundle.manifest.class_name(2) == "caf\u00e9"


def test_the_readme_holds_them_so_that_they_can_be_read_and_told_apart(bundle: Bundle) -> None:
    (row,) = [line for line in (bundle.path / "README.md").read_text().splitlines() if "classes, by score" in line]
    assert row == (
        r"| classes, by score | 0 `zero`, 1 `one\|two`, 2 `café`, 3 `'trailing '`, 4 `'four'`, 5 `five`, 6 `six`, "
        "7 `seven`, 8 `eight`, 9 `nine` |"
    )


def test_a_running_bundle_counts_what_it_saw_by_name(bundle: Bundle) -> None:
    found = measure_bundle(bundle, 16).found
    assert set(found) <= set(NAMES)
    assert sum(found.values()) == 16
    _, scores = bundle.sample()
    assert set(found) == {NAMES[label] for label in scores.argmax(axis=1).tolist()}


def test_the_aggregators_program_prints_names(bundle: Bundle) -> None:
    program = [sys.executable, "-m", "splitkit.runtime.aggregator", str(bundle.path), "--listen", "127.0.0.1:0"]
    with subprocess.Popen([*program, "--frames", "8"], stdout=subprocess.PIPE, text=True) as aggregator:
        assert aggregator.stdout is not None
        where = aggregator.stdout.readline().removeprefix("listening on ").strip()
        sensor = [sys.executable, "-m", "splitkit.runtime.sensor", str(bundle.path), "--connect", where]
        subprocess.run(sensor, check=True, timeout=120)
        lines = aggregator.stdout.read().splitlines()
    _, scores = bundle.sample()
    printed = [re.fullmatch(r"frame \d+: class (.+), \d+ us", line) for line in lines]
    assert [match[1] for match in printed if match] == [
        {"trailing ": "'trailing '"}.get(NAMES[label], NAMES[label]) for label in scores.argmax(axis=1).tolist()[:8]
    ]


def test_names_must_be_as_many_as_scores(bundle: Bundle) -> None:
    body = bundle.manifest.model_dump() | {"classes": NAMES[:3]}
    with pytest.raises(ValidationError, match="classes: 3 names for 10 scores"):
        type(bundle.manifest).model_validate(body)


def test_a_bundle_without_names_counts_by_number() -> None:
    assert exported(2, "uint8").manifest.class_name(3) == "3"


def test_the_readme_says_that_the_halves_are_code(bundle: Bundle) -> None:
    said = " ".join((bundle.path / "README.md").read_text().split())
    assert "The compiled halves are code: run them only if you trust where this comes from" in said
