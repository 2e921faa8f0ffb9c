"""A directory that is filled completely or not at all."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from splitkit.exporters.protocol import ARTIFACT_FILE


@contextmanager
def staged(directory: Path) -> Iterator[Path]:
    """A scratch directory beside `directory` whose files are moved there at the end, `artifact.json` last.

    If anything is raised, `directory` stays as it was.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        yield work
        directory.mkdir(exist_ok=True)
        (directory / ARTIFACT_FILE).unlink(missing_ok=True)
        for file in sorted(work.iterdir(), key=lambda f: f.name == ARTIFACT_FILE):
            file.replace(directory / file.name)
    finally:
        shutil.rmtree(work, ignore_errors=True)
