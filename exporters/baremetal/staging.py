"""A directory that is filled completely or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from splitkit.exporters.protocol import ARTIFACT_FILE
from splitkit.scratch import scratch_directory


@contextmanager
def staged(directory: Path) -> Iterator[Path]:
    """A scratch directory beside `directory` whose files are moved there at the end, `artifact.json` last.

    If anything is raised, `directory` stays as it was.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    with scratch_directory(directory.parent, directory.name) as work:
        yield work
        directory.mkdir(exist_ok=True)
        (directory / ARTIFACT_FILE).unlink(missing_ok=True)
        for file in sorted(work.iterdir(), key=lambda f: f.name == ARTIFACT_FILE):
            file.replace(directory / file.name)
