"""Records are JSON whatever a network computes: a score that is not finite is null, from either aggregator."""

import io
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE
from typing import Any

import numpy as np
import pytest

from splitkit.bundle import Bundle, load_bundle
from splitkit.errors import VerificationError
from splitkit.reading import parse_json
from splitkit.runtime.measure import measure_bundle
from splitkit.runtime.native import native_runner
from splitkit.runtime.programs import NativePrograms, PythonPrograms
from tests.bundle.bundles import partitioned, reseal
from tests.bundle.plain_models import plain

FRAMES = 4


@pytest.fixture(scope="module")
def overflowing(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle whose second image is too bright for its network; the first is what it was proved with."""
    directory = tmp_path_factory.mktemp("overflowing") / "bundle"
    shutil.copytree(partitioned(plain(), "active").path, directory)
    with np.load(directory / "sample.npz") as sample:
        images, scores = sample["images"][:2].copy(), sample["scores"][:2]
    images[1] = 5e37  # what its last pooling adds up is more than float32 holds
    content = io.BytesIO()
    np.savez(content, images=images, scores=scores)
    (directory / "sample.npz").write_bytes(content.getvalue())
    reseal(directory)
    return load_bundle(directory)


def native(bundle: Bundle, scratch: Path) -> NativePrograms:
    native_runner()
    return NativePrograms(bundle, scratch)


def python(bundle: Bundle, scratch: Path) -> PythonPrograms:
    return PythonPrograms(bundle, "")


def played(programs: Any, command: list[str]) -> str:
    """What the aggregator printed, one sensor having served it."""
    with subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True) as aggregator:
        assert aggregator.stdout is not None
        where = aggregator.stdout.readline().removeprefix("listening on ").strip()
        subprocess.run(programs.sensor(0, where, None, 20.0), check=True, timeout=60)
        printed, complaint = aggregator.communicate(timeout=60)
    assert (aggregator.returncode, complaint) == (0, "")
    return printed


@pytest.mark.parametrize("kind", [python, native])
def test_a_score_that_is_not_finite_is_null_and_its_frame_has_no_class(
    overflowing: Bundle, tmp_path: Path, kind: Callable[[Bundle, Path], Any]
) -> None:
    programs, records = kind(overflowing, tmp_path), tmp_path / "records.json"
    command = programs.aggregator(FRAMES, records, 20.0)
    played(programs, command)
    found = parse_json(records.read_text())  # refuses NaN and Infinity, which Python's own json would take
    assert [None in record["scores"] for record in found] == [False, True, False, True]
    assert all(record["result_ns"] >= record["received_ns"] for record in found)
    at = command.index("--records")
    lines = played(programs, command[:at] + command[at + 2 :]).splitlines()
    assert ["no class (a score is not finite)" in line for line in lines] == [False, True, False, True]


def test_a_bundle_that_computes_no_numbers_is_not_measured(overflowing: Bundle) -> None:
    with pytest.raises(VerificationError, match="frame 11: the scores are not finite"):
        measure_bundle(overflowing, FRAMES)
