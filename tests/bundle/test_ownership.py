"""Only what splitkit wrote is replaced; anything else is named, and nothing is touched."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from splitkit.bundle import MANIFEST
from splitkit.bundle.export import export_bundle
from splitkit.bundle.ownership import require_own_bundle, require_own_file
from splitkit.errors import BundleError, ConfigError
from splitkit.project import Run
from splitkit.project.reporting import report_step
from tests.bundle.bundles import exported, fast_system
from tests.networks import digit_images, space_of, subnetwork, with_link
from tests.report.runs import finished


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """An exported bundle, alone in a directory."""
    return Path(shutil.copytree(exported(2, "uint8").path, tmp_path / "work" / "bundle"))


def state(directory: Path) -> dict[str, tuple[int, bytes | str | None]]:
    """Everything below a directory, with content and modification time."""
    found: dict[str, tuple[int, bytes | str | None]] = {}
    for path in sorted(directory.rglob("*")):
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path)] = path.lstat().st_mtime_ns, content
    return found


def kept(directory: Path, message: str) -> None:
    """Exporting there ends in one line, and touches nothing."""
    before = state(directory.parent)
    space = space_of()
    network = subnetwork(space, with_link(space, space.smallest(), 0, "float32"))
    with pytest.raises(BundleError, match=message) as error:
        export_bundle(network, fast_system(), digit_images(), directory)
    assert "\n" not in str(error.value)
    assert state(directory.parent) == before


def test_an_untouched_bundle_may_be_replaced(bundle: Path) -> None:
    require_own_bundle(bundle)
    require_own_bundle(bundle.parent / "nowhere")
    (bundle.parent / "empty").mkdir()
    require_own_bundle(bundle.parent / "empty")


def test_a_web_app_is_no_bundle(tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    (app / MANIFEST).write_text('{"name": "my app", "icons": [], "files": {}, "id": "x"}')
    (app / "index.html").write_text("years of work")
    kept(app, "app: exists and is not a bundle that splitkit wrote")


@pytest.mark.parametrize("content", ["", "[]", "{}", "null", "[" * 100_000, '{"id": [], "files": 7}'])
def test_any_other_manifest_is_not_ours(tmp_path: Path, content: str) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / MANIFEST).write_text(content)
    kept(tmp_path / "app", "is not a bundle that splitkit wrote")


@pytest.mark.parametrize("name", ["notes.txt", "sensor/notes.txt", "experiments/1/log", ".git/HEAD"])
def test_a_file_of_the_users_own_in_a_bundle_is_kept(bundle: Path, name: str) -> None:
    (bundle / name).parent.mkdir(parents=True, exist_ok=True)
    (bundle / name).write_text("years of work")
    kept(bundle, f"{name}: is no part of the bundle there: nothing was touched")


@pytest.mark.parametrize("name", ["README.md", "sensor.onnx", "sensor/model.ort"])
def test_a_file_that_was_changed_is_kept(bundle: Path, name: str) -> None:
    with (bundle / name).open("ab") as file:
        file.write(b"my own remarks")
    kept(bundle, f"{name}: was changed since splitkit wrote it")


def test_a_changed_manifest_is_kept(bundle: Path) -> None:
    body = json.loads((bundle / MANIFEST).read_text())
    body["predicted"]["total_us"] = 1.0
    (bundle / MANIFEST).write_text(json.dumps(body, indent=1, sort_keys=True) + "\n")
    kept(bundle, "is not a bundle that splitkit wrote")


@pytest.mark.timeout(60)
def test_links_and_pipes_are_kept(bundle: Path) -> None:
    link = bundle.parent / "link"
    link.symlink_to(bundle)
    kept(link, "link: exists and is not a directory")
    os.mkfifo(bundle / "pipe")
    kept(bundle, "pipe: is no part of the bundle")
    (bundle / "pipe").unlink()
    (bundle / "sample.npz").rename(bundle.parent / "moved.npz")
    (bundle / "sample.npz").symlink_to(bundle.parent / "moved.npz")
    kept(bundle, r"sample\.npz: was changed")


def test_what_appears_during_the_export_is_kept(bundle: Path) -> None:
    space = space_of()
    network = subnetwork(space, with_link(space, space.smallest(), 0, "float32"))

    def meanwhile(step: str) -> None:
        (bundle / "notes.txt").write_text("just written")

    with pytest.raises(BundleError, match=r"notes\.txt: is no part of the bundle there"):
        export_bundle(network, fast_system(), digit_images(), bundle, progress=meanwhile)
    assert (bundle / "notes.txt").read_text() == "just written"
    assert (bundle / "sensor.onnx").exists()
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]


def test_a_bundle_of_an_older_version_may_be_replaced(bundle: Path) -> None:
    """Before timings left the id there was no checksum: the id was of all the rest."""
    import hashlib

    file = bundle / MANIFEST
    body = json.loads(file.read_text()) | {"schema_version": 1}
    del body["checksum"], body["id"]
    body["id"] = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    file.write_text(json.dumps(body))
    require_own_bundle(bundle)


def test_a_report_replaces_reports_and_nothing_else(tmp_path: Path) -> None:
    project, _ = finished(tmp_path / "run", feedback_rounds=1)
    target = tmp_path / "slides"
    files = report_step(project, target)
    assert report_step(project, target) == files
    for name in (files[0].name, files[1].name):
        original = (target / name).read_bytes()
        (target / name).write_bytes(b"\x89PNG\r\n\x1a\n of the user's own")
        before = state(target)
        with pytest.raises(ConfigError, match=f"{name}: exists, and splitkit did not write it"):
            report_step(project, target)
        assert state(target) == before
        (target / name).write_bytes(original)
    (target / "thesis.png").write_bytes(b"years of work")
    report_step(project, target)
    assert (target / "thesis.png").read_bytes() == b"years of work"


def test_records_replace_records_and_nothing_else(tmp_path: Path) -> None:
    precious = tmp_path / "thesis.tex"
    precious.write_text("years of work")
    command = [sys.executable, "-m", "splitkit.runtime.aggregator", str(exported(2, "uint8").path)]
    run = subprocess.run(
        [*command, "--records", str(precious)], capture_output=True, text=True, check=False, timeout=120
    )
    assert run.returncode == 2
    assert "thesis.tex: exists, and splitkit did not write it" in run.stderr
    assert precious.read_text() == "years of work"


@pytest.mark.timeout(20)
def test_own_files_are_told_by_how_they_begin(tmp_path: Path) -> None:
    file = tmp_path / "x"
    begins = lambda head: head.startswith(b"ours")  # noqa: E731
    require_own_file(file, begins)
    for content in (b"", b"ours, and more"):
        file.write_bytes(content)
        require_own_file(file, begins)
    file.write_bytes(b"theirs")
    with pytest.raises(ConfigError, match="splitkit did not write it"):
        require_own_file(file, begins)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(ConfigError, match="splitkit did not write it"):
        require_own_file(file, begins)


def test_a_run_forgets_what_it_wrote_and_nothing_else(tmp_path: Path) -> None:
    project, _ = finished(tmp_path / "run")
    run = Run.of(project)
    own = run.directory / "notes.txt"
    own.write_text("years of work")
    assert run.pareto.exists()
    run.forget()
    assert own.read_text() == "years of work"
    assert not run.pareto.exists()
    assert not list(run.directory.glob("search*"))
