"""A bundle: both halves of a sub-network, compiled and verified, in a directory that proves it was not changed.

    sensor.onnx      the sensor's half, preprocessing and link quantisation inside; absent if it only sends its image
    sensor/          the same, compiled for the system's sensor
    aggregator.onnx  the aggregator's half; absent if the sensor already gives the scores
    aggregator/      the same, compiled for the system's aggregator
    sample.npz       images with the unsplit network's scores, for a first run and for benchmarks
    README.md        how to run each half
    manifest.json    what all of this is: architecture, system, link tensor, verification, SHA-256 of every file
    manifest.sig     the manifest's signature, if it was exported with a key

A compiled half is code: opening one runs it with the rights of this process. Loading only reads, and uses no file that
the manifest does not list. Reading a bundle imports neither torch nor tvm; opening a compiled half imports what its
exporter needs.
"""

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from splitkit.bundle.sample import SAMPLE, read_sample
from splitkit.bundle.signing import SIGNATURE, read_private_key, sign, verify_signature
from splitkit.bundle.verify import Half
from splitkit.devices.registry import get_device
from splitkit.errors import BundleError, ConfigError
from splitkit.exporters.protocol import ARTIFACT_FILE, Artifact, Session
from splitkit.inside import checked_name, names_below, read_inside, sha256_inside
from splitkit.profiles.schema import System
from splitkit.reading import parse_json
from splitkit.sides import Side
from splitkit.space.architecture import Architecture
from splitkit.space.network import Network, describe
from splitkit.space.search_space import SearchSpace

MANIFEST = "manifest.json"
MANIFEST_BYTES = 4 << 20
SCHEMA_VERSION = 2
SIDES: tuple[Side, Side] = ("sensor", "aggregator")

Bytes = Annotated[int, Field(ge=0, le=1 << 32)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileRecord(_Record):
    """One file of the bundle, named by its path relative to the bundle."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: Bytes


class TensorRecord(_Record):
    """A tensor with its static shape (NCHW) and numpy dtype."""

    name: str
    shape: tuple[Annotated[int, Field(ge=1, le=1 << 31)], ...] = Field(max_length=8)
    dtype: str


class LinkRecord(TensorRecord):
    """What one sensor sends per frame. A uint8 feature stands for (value - zero_point) * scale; else 1 and 0."""

    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    zero_point: Annotated[int, Field(ge=-(1 << 31), lt=1 << 31)] = 0
    payload_bytes: Bytes


class HalfRecord(_Record):
    """One half: its graph, what it was compiled with, and the memory the compiled form needs, in bytes."""

    onnx: str
    artifact: str
    input: TensorRecord
    output: TensorRecord
    exporter: str
    exporter_version: str
    device: str
    macs: Annotated[int, Field(ge=0, le=1 << 62)]
    arena_bytes: Bytes
    weight_bytes: Bytes
    receive_buffer_bytes: Bytes = 0


class VerificationRecord(_Record):
    """One runtime's agreement with the unsplit network; fields as in `splitkit.bundle.verify.Agreement`."""

    runtime: str
    frames: Annotated[int, Field(ge=0, le=1 << 31)]
    link_error: Finite | None
    link_tolerance: Finite | None
    aggregator_error: Finite | None
    scores_error: Finite
    scores_tolerance: Finite | None
    top1_agreement: Finite


class Manifest(_Record):
    """Everything about a bundle but its files' contents.

    Attributes:
        id: SHA-256 of what both halves compute, for which system and with which compilers: of the graphs and of all
            that is said here but the figures (`predicted`, `verification`). One network exported twice has one id,
            though a runtime's own files may differ by the order of a hash table. Both halves name it on the wire.
        checksum: SHA-256 of everything here but itself, and so of every file: tells a changed bundle from a whole one.
        classes: what each score stands for; empty where nothing was said.
        pixels: what the images' uint8 values stand for: a sensor has to deliver the same.
        predicted: figures that were expected of it, such as `total_us`.
        files: every file that may be used, by its path relative to the bundle.
    """

    schema_version: Literal[2] = 2
    id: str = ""
    checksum: str = ""
    created_by: str
    space: SearchSpace
    architecture: Architecture
    system: System
    views: int
    classes: tuple[str, ...] = ()
    pixels: str = "uint8 as captured"
    image: TensorRecord
    link: LinkRecord
    scores: TensorRecord
    sensor: HalfRecord | None
    aggregator: HalfRecord | None
    verification: tuple[VerificationRecord, ...]
    predicted: Mapping[str, Finite]
    files: Mapping[Annotated[str, AfterValidator(checked_name)], FileRecord]

    @model_validator(mode="after")
    def _is_of_its_architecture(self) -> Self:
        """Tensors, views and halves are those of the architecture: nothing larger has to be believed."""
        try:
            self.space.check(self.architecture)
        except ConfigError as error:
            raise ValueError(f"architecture: {error}") from error
        network = describe(self.space, self.architecture)
        found = {"image": self.image, "link": self.link, "scores": self.scores}
        for name, (shape, dtype) in _tensors(network, self.space.head.classes).items():
            if (found[name].shape, found[name].dtype) != (shape, dtype):
                raise ValueError(f"{name}: the architecture has {dtype} {list(shape)}")
        if (self.views, self.link.payload_bytes) != (network.views, network.payload_bytes):
            raise ValueError(f"views, link.payload_bytes: {network.views}, {network.payload_bytes} in the architecture")
        sent, received = self.link.shape, (self.views, *self.link.shape[1:])
        if self.classes and len(self.classes) != self.scores.shape[-1]:
            raise ValueError(f"classes: {len(self.classes)} names for {self.scores.shape[-1]} scores")
        self._check_half("sensor", bool(network.sensor), self.image.shape, sent)
        self._check_half("aggregator", bool(network.aggregator), received, self.scores.shape)
        if self.files and SAMPLE not in self.files:
            raise ValueError(f"files: {SAMPLE} is not listed")
        return self

    def _check_half(self, side: Side, exists: bool, given: tuple[int, ...], result: tuple[int, ...]) -> None:
        half = self.sensor if side == "sensor" else self.aggregator
        if (half is not None) != exists:
            raise ValueError(f"{side}: the architecture has {'one' if exists else 'none'}")
        if half is None:
            return
        if (half.onnx, half.artifact) != (f"{side}.onnx", side):
            raise ValueError(f"{side}: onnx, artifact: must be '{side}.onnx' and '{side}'")
        if (half.input.shape, half.output.shape) != (given, result):
            raise ValueError(f"{side}: input, output: must be {list(given)} and {list(result)}")
        for name in (half.onnx, f"{half.artifact}/{ARTIFACT_FILE}"):
            if self.files and name not in self.files:
                raise ValueError(f"files: {name} is not listed")

    def class_name(self, label: int) -> str:
        """What the score at `label` stands for; the number itself where the bundle holds no names."""
        return self.classes[label] if self.classes else str(label)

    def text(self) -> str:
        """The one way this manifest is written."""
        return json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True) + "\n"

    def identified(self) -> "Manifest":
        """The same manifest with its `id` and `checksum` filled in."""
        body = self.model_dump(mode="json", exclude={"id", "checksum", "predicted", "verification", "files"})
        halves = [half for half in (self.sensor, self.aggregator) if half is not None]
        identity = _digest(body | {"graphs": {half.onnx: self.files[half.onnx].sha256 for half in halves}})
        named = self.model_copy(update={"id": identity})
        return named.model_copy(update={"checksum": _digest(named.model_dump(mode="json", exclude={"checksum"}))})


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _tensors(network: Network, classes: int) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shapes and dtypes of what a network takes, sends and gives."""
    return {
        "image": (network.image.shape, network.image.dtype),
        "link": (network.link.shape, network.link.dtype),
        "scores": ((1, classes), "float32"),
    }


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose files match its manifest.

    `verify_key` is the public key that its signature was checked with; None where nobody asked who made it.
    """

    path: Path
    manifest: Manifest
    verify_key: Path | None = field(default=None, compare=False)

    @property
    def id(self) -> str:
        """64 hexadecimal digits; the same for every export of one network by one version of the tools."""
        return self.manifest.id

    @property
    def architecture(self) -> Architecture:
        """The sub-network."""
        return self.manifest.architecture

    def half(self, side: Side) -> HalfRecord | None:
        """The manifest's record of one half; None where that side computes nothing."""
        return self.manifest.sensor if side == "sensor" else self.manifest.aggregator

    def artifact(self, side: Side) -> Artifact | None:
        """The compiled half; None where that side computes nothing.

        Raises:
            BundleError: it is not what the manifest says.
        """
        record = self.half(side)
        if record is None:
            return None
        artifact = Artifact.load(self.path / record.artifact)
        tensors = [TensorRecord(**asdict(t)) for t in (*artifact.inputs, *artifact.outputs)]
        memory = artifact.memory.arena_bytes, artifact.memory.weight_bytes
        if (
            tensors != [record.input, record.output]
            or (len(artifact.inputs), artifact.exporter, artifact.version, memory)
            != (1, record.exporter, record.exporter_version, (record.arena_bytes, record.weight_bytes))
            or artifact.target.threads != self.manifest.system.device(side).threads
        ):
            raise BundleError(f"{artifact.path}: is not the {side} that {MANIFEST} states", "export the bundle again")
        return artifact

    def open(self, side: Side) -> Half | None:
        """The compiled half as a function, run by the system's device; None where that side computes nothing.

        The sensor's takes an image, uint8 (1, channels, size, size), and gives its link tensor (1, ...). The
        aggregator's takes the link tensors (or images) of all views, (views, ...), and gives scores (1, classes).
        It may be called from any thread; calls at the same time wait for each other, so that each gets its own result.
        To compute in parallel open it once per thread.
        """
        artifact = self.artifact(side)
        if artifact is None:
            return None
        return half_of(artifact, get_device(self.manifest.system.device(side)).open(artifact))

    def sample(self) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Images, uint8 (frames, views, channels, size, size), and the unsplit network's scores (frames, classes).

        Raises:
            BundleError: the file holds something else.
        """
        m = self.manifest
        return read_sample(self.path, (m.views, *m.image.shape[1:]), m.scores.shape[1])


def half_of(artifact: Artifact, session: Session) -> Half:
    """A compiled graph with one input and one output, opened, as a function of one array; safe to call from threads."""
    (source,), (result,) = artifact.inputs, artifact.outputs
    one_at_a_time = threading.Lock()  # a session has one set of buffers

    def run(array: NDArray[Any]) -> NDArray[Any]:
        with one_at_a_time:
            return session.run({source.name: array})[result.name]

    return run


def load_bundle(path: str | Path, verify_key: str | Path | None = None) -> Bundle:
    """Read a bundle and check every file against the manifest; nothing of it is run.

    With `verify_key`, a file with a public key, the manifest's signature is checked before anything else is read.

    Raises:
        BundleError: the directory or its manifest is missing or malformed; it is not signed, or by another key; or the
            named file is missing, changed, not a regular one, or lies unlisted beside a compiled half.
        ConfigError: the key cannot be read.
    """
    directory = Path(path)
    key = None if verify_key is None else Path(verify_key)
    manifest = _read_manifest(directory, key)
    for name, record in manifest.files.items():
        actual = sha256_inside(directory, name, record.size_bytes)
        if actual != record.sha256:
            raise BundleError(
                f"{directory / name}: SHA-256 is {actual[:12]}..., {MANIFEST} says {record.sha256[:12]}...",
                "the file was changed: export the bundle again",
            )
    for side in SIDES:  # compilers and loaders look around in there
        for name in names_below(directory, side):
            if name not in manifest.files:
                raise BundleError(f"{directory}: {name!r} is not listed in {MANIFEST}", "take it out of there")
    return Bundle(directory, manifest, key)


def hash_files(directory: Path) -> dict[str, FileRecord]:
    """Records of every file below `directory` except the manifest and its signature, by relative path.

    Raises:
        BundleError: one of them is a link or not a regular file.
    """
    records = {}
    for name in sorted(names_below(directory)):
        if name not in (MANIFEST, SIGNATURE):
            size = (directory / name).lstat().st_size
            records[name] = FileRecord(sha256=sha256_inside(directory, name, size), size_bytes=size)
    return records


def write_manifest(manifest: Manifest, directory: Path, sign_key: Path | None = None) -> Manifest:
    """Identify a manifest and write it into `directory`, with its signature if there is a key to sign with.

    Raises:
        ConfigError: the key cannot be read.
    """
    whole = manifest.identified()
    content = whole.text().encode()
    (directory / MANIFEST).write_bytes(content)
    if sign_key is not None:
        (directory / SIGNATURE).write_bytes(sign(read_private_key(sign_key), content))
    return whole


def _read_manifest(directory: Path, verify_key: Path | None) -> Manifest:
    file = directory / MANIFEST
    if not directory.is_dir():
        raise BundleError(f"{directory}: there is no such directory", "name a directory made by `splitkit export`")
    if not file.is_symlink() and not file.exists():
        raise BundleError(f"{directory}: not a bundle: {MANIFEST} is missing")
    content = read_inside(directory, MANIFEST, MANIFEST_BYTES)
    if verify_key is not None:
        verify_signature(directory, content, verify_key)
    try:
        body = parse_json(content.decode())
    except ValueError as error:
        raise BundleError(f"{file}: not JSON: {error}", "export the bundle again") from error
    version = body.get("schema_version") if isinstance(body, dict) else None
    if version != SCHEMA_VERSION:
        raise BundleError(f"{file}: schema_version: {version!r:.40}, this splitkit reads {SCHEMA_VERSION}")
    try:
        manifest = Manifest.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleError(
            f"{file}: {_one_line(where)}: {_one_line(first['msg'])}", "export the bundle again"
        ) from error
    if not manifest.files:
        raise BundleError(f"{file}: files: none is listed", "export the bundle again")
    whole = manifest.identified()
    if whole != manifest or manifest.text().encode() != content:
        field = "id" if whole.id != manifest.id else "checksum"
        raise BundleError(
            f"{file}: {field}: does not match the content", "the file was changed: export the bundle again"
        )
    return manifest


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]
