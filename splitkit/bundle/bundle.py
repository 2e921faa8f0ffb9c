"""A bundle: both halves of a sub-network, compiled and verified, in a directory that proves it was not changed.

    sensor.onnx      the sensor's half, preprocessing and link quantisation inside; absent if it only sends its image
    sensor/          the same, compiled for the system's sensor
    aggregator.onnx  the aggregator's half; absent if the sensor already gives the scores
    aggregator/      the same, compiled for the system's aggregator
    sample.npz       images with the unsplit network's scores, for a first run and for benchmarks
    README.md        how to run each half
    manifest.json    what all of this is: architecture, system, link tensor, verification, SHA-256 of every file

Reading a bundle imports neither torch nor tvm; opening a compiled half imports what its exporter needs.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from splitkit.bundle.verify import Half
from splitkit.devices.registry import get_device
from splitkit.errors import BundleError
from splitkit.exporters.protocol import Artifact, Session
from splitkit.profiles.schema import Side, System
from splitkit.space.architecture import Architecture
from splitkit.space.search_space import SearchSpace

MANIFEST = "manifest.json"
SCHEMA_VERSION = 1


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileRecord(_Record):
    """One file of the bundle, named by its path relative to the bundle."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int


class TensorRecord(_Record):
    """A tensor with its static shape (NCHW) and numpy dtype."""

    name: str
    shape: tuple[int, ...]
    dtype: str


class LinkRecord(TensorRecord):
    """What one sensor sends per frame. A uint8 feature stands for (value - zero_point) * scale; else 1 and 0."""

    scale: float = 1.0
    zero_point: int = 0
    payload_bytes: int


class HalfRecord(_Record):
    """One half: its graph, what it was compiled with, and the memory the compiled form needs, in bytes."""

    onnx: str
    artifact: str
    input: TensorRecord
    output: TensorRecord
    exporter: str
    exporter_version: str
    device: str
    macs: int
    arena_bytes: int
    weight_bytes: int
    receive_buffer_bytes: int = 0


class VerificationRecord(_Record):
    """One runtime's agreement with the unsplit network; fields as in `splitkit.bundle.verify.Agreement`."""

    runtime: str
    frames: int
    link_error: float | None
    link_tolerance: float | None
    aggregator_error: float | None
    scores_error: float
    scores_tolerance: float | None
    top1_agreement: float


class Manifest(_Record):
    """Everything about a bundle but its files' contents. `id` is the SHA-256 of the rest."""

    schema_version: Literal[1] = 1
    id: str = ""
    created_by: str
    space: SearchSpace
    architecture: Mapping[str, Any]
    system: System
    views: int
    image: TensorRecord
    link: LinkRecord
    scores: TensorRecord
    sensor: HalfRecord | None
    aggregator: HalfRecord | None
    verification: tuple[VerificationRecord, ...]
    predicted: Mapping[str, float]
    files: Mapping[str, FileRecord]

    def text(self) -> str:
        """The one way this manifest is written."""
        return json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True) + "\n"

    def identified(self) -> "Manifest":
        """The same manifest with its `id` filled in."""
        body = json.dumps(self.model_dump(mode="json", exclude={"id"}), sort_keys=True)
        return self.model_copy(update={"id": hashlib.sha256(body.encode()).hexdigest()})


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose files match its manifest."""

    path: Path
    manifest: Manifest

    @property
    def id(self) -> str:
        """64 hexadecimal digits; the same for the same content."""
        return self.manifest.id

    @property
    def architecture(self) -> Architecture:
        """The sub-network."""
        return Architecture.from_json(dict(self.manifest.architecture))

    def half(self, side: Side) -> HalfRecord | None:
        """The manifest's record of one half; None where that side computes nothing."""
        return self.manifest.sensor if side == "sensor" else self.manifest.aggregator

    def artifact(self, side: Side) -> Artifact | None:
        """The compiled half; None where that side computes nothing."""
        record = self.half(side)
        return None if record is None else Artifact.load(self.path / record.artifact)

    def open(self, side: Side) -> Half | None:
        """The compiled half as a function, run by the system's device; None where that side computes nothing.

        The sensor's takes an image, uint8 (1, channels, size, size), and gives its link tensor (1, ...). The
        aggregator's takes the link tensors (or images) of all views, (views, ...), and gives scores (1, classes).
        """
        artifact = self.artifact(side)
        if artifact is None:
            return None
        return half_of(artifact, get_device(self.manifest.system.device(side)).open(artifact))

    def sample(self) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Images, uint8 (frames, views, channels, size, size), and the unsplit network's scores (frames, classes)."""
        with np.load(self.path / "sample.npz") as arrays:
            return arrays["images"], arrays["scores"]


def half_of(artifact: Artifact, session: Session) -> Half:
    """A compiled graph with one input and one output, opened, as a function of one array."""
    (source,), (result,) = artifact.inputs, artifact.outputs

    def run(array: NDArray[Any]) -> NDArray[Any]:
        return session.run({source.name: array})[result.name]

    return run


def is_bundle(path: Path) -> bool:
    """Whether a directory claims to be a bundle; says nothing of whether it is whole."""
    return (path / MANIFEST).is_file()


def load_bundle(path: str | Path) -> Bundle:
    """Read a bundle and check every file against the manifest.

    Raises:
        BundleError: the directory or its manifest is missing or malformed, or the named file is missing or changed.
    """
    directory = Path(path)
    manifest = _read_manifest(directory)
    for name, record in manifest.files.items():
        file = directory / name
        try:
            actual = hash_file(file)
        except OSError as error:
            reason = error.strerror or str(error)
            raise BundleError(
                f"{file}: cannot be read: {reason}", "the bundle is incomplete: export it again"
            ) from error
        if actual != record.sha256:
            raise BundleError(
                f"{file}: SHA-256 is {actual[:12]}..., {MANIFEST} says {record.sha256[:12]}...",
                "the file was changed: export the bundle again",
            )
    return Bundle(directory, manifest)


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_files(directory: Path) -> dict[str, FileRecord]:
    """Records of every file below `directory` except the manifest, by relative path."""
    files = sorted(file for file in directory.rglob("*") if file.is_file() and file.name != MANIFEST)
    return {
        file.relative_to(directory).as_posix(): FileRecord(sha256=hash_file(file), size_bytes=file.stat().st_size)
        for file in files
    }


def _read_manifest(directory: Path) -> Manifest:
    file = directory / MANIFEST
    if not directory.is_dir():
        raise BundleError(f"{directory}: there is no such directory", "name a directory made by `splitkit export`")
    try:
        text = file.read_text(encoding="utf-8")
        body = json.loads(text)
        version = body.get("schema_version") if isinstance(body, dict) else None
        if version != SCHEMA_VERSION:
            raise BundleError(f"{file}: schema_version: {version!r}, this splitkit reads {SCHEMA_VERSION}")
        manifest = Manifest.model_validate(body)
    except FileNotFoundError as error:
        raise BundleError(f"{directory}: not a bundle: {MANIFEST} is missing") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"{file}: {where}: {first['msg']}", "export the bundle again") from error
    except (OSError, ValueError) as error:
        raise BundleError(f"{file}: not JSON: {error}", "export the bundle again") from error
    if manifest.identified() != manifest or manifest.text() != text:
        raise BundleError(f"{file}: id: does not match the content", "the file was changed: export the bundle again")
    return manifest
