"""A bundle: both halves of a network, compiled and verified, in a directory that proves it was not changed.

    sensor.onnx      the sensor's half, preprocessing and link quantisation inside; absent if it only sends its image
    sensor/          the same, compiled for the system's sensor
    aggregator.onnx  the aggregator's half; absent if the sensor already gives the scores
    aggregator/      the same, compiled for the system's aggregator
    sample.npz       images with the unsplit network's scores, for a first run and for benchmarks
    README.md        how to run each half
    manifest.json    what all of this is: origin, system, link tensors, verification, SHA-256 of every file
    manifest.sig     the manifest's signature, if it was exported with a key

A compiled half is code: opening one runs it with the rights of this process. Loading only reads, and uses no file that
the manifest does not list. Reading a bundle imports neither torch nor tvm; opening a compiled half imports what its
exporter needs.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from splitkit.bundle.manifest import SCHEMA_VERSION, FileRecord, HalfRecord, LinkRecord, Manifest
from splitkit.bundle.sample import read_sample
from splitkit.bundle.signing import SIGNATURE, read_private_key, sign, verify_signature
from splitkit.bundle.verify import Array, Half, Part
from splitkit.devices.registry import get_device
from splitkit.errors import BundleError
from splitkit.exporters.protocol import Artifact, Session
from splitkit.inside import names_below, read_inside, sha256_inside
from splitkit.labels import listed
from splitkit.reading import parse_json
from splitkit.sides import SIDES, Side
from splitkit.space.units import PRESENT

MANIFEST = "manifest.json"
MANIFEST_BYTES = 4 << 20


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
    def link(self) -> LinkRecord:
        """What each view sends per frame, for all that can carry only one tensor: `open`, the wire and its programs.

        Raises:
            BundleError: several cross the cut.
        """
        link = self.manifest.link
        if link is None:
            names = [link.name for link in self.manifest.links]
            raise BundleError(
                f"{self.path}: {len(names)} tensors cross its cut ({listed(names)}), a view can send one",
                "cut where one tensor crosses, or run the halves by `session`",
            )
        return link

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
        inputs, outputs = (tuple(tensor.spec for tensor in tensors) for tensors in (record.inputs, record.outputs))
        memory = artifact.memory.arena_bytes, artifact.memory.weight_bytes
        if (
            (artifact.inputs, artifact.outputs) != (inputs, outputs)
            or (artifact.exporter, artifact.version, memory)
            != (record.exporter, record.exporter_version, (record.arena_bytes, record.weight_bytes))
            or artifact.target.threads != self.manifest.system.device(side).threads
        ):
            raise BundleError(f"{artifact.path}: is not the {side} that {MANIFEST} states", "export the bundle again")
        return artifact

    def open(self, side: Side) -> Half | None:
        """The compiled half as a function, run by the system's device; None where that side computes nothing.

        The sensor's takes an image, uint8 (1, channels, size, size), and gives its link tensor (1, ...). The
        aggregator's takes the link tensors (or images) of all views, (views, ...), and gives scores (1, classes). Where
        frames may lack views it also takes which are there: `half(received, present)`, see `Half`.
        It may be called from any thread; calls at the same time wait for each other, so that each gets its own result.
        To compute in parallel open it once per thread.

        Raises:
            BundleError: several tensors cross the cut, or the half cannot be loaded here.
        """
        self.link  # noqa: B018 - which refuses what is no function of one array
        artifact = self.artifact(side)
        return None if artifact is None else half_of(artifact, self._load(side, artifact))

    def session(self, side: Side) -> Session | None:
        """The compiled half with its tensors by name, however many; for one thread. None where nothing is computed.

        What crosses is `manifest.links`, in order: the sensor's outputs, then the image itself if the aggregator takes
        that as well.
        """
        artifact = self.artifact(side)
        return None if artifact is None else self._load(side, artifact)

    def _load(self, side: Side, artifact: Artifact) -> Session:
        return get_device(self.manifest.system.device(side)).open(artifact)

    def sample(self) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Images (frames, views, channels, size, size) in the image's dtype, uint8 of a searched network, and the
        unsplit network's scores, float32 (frames, classes).

        Raises:
            BundleError: the file holds something else.
        """
        m = self.manifest
        return read_sample(self.path, (m.views, *m.image.shape[1:]), m.image.dtype, m.scores.shape[1:])


def part_of(artifact: Artifact, session: Session) -> Part:
    """A compiled graph, opened, as a function of all its inputs in order; safe to call from threads."""
    inputs, outputs = ([tensor.name for tensor in tensors] for tensors in (artifact.inputs, artifact.outputs))
    one_at_a_time = threading.Lock()  # a session has one set of buffers

    def run(arrays: Sequence[Array]) -> tuple[Array, ...]:
        with one_at_a_time:
            results = session.run(dict(zip(inputs, arrays, strict=True)))
        return tuple(results[name] for name in outputs)

    return run


def half_of(artifact: Artifact, session: Session) -> Half:
    """A compiled graph with one output and, but for a mask, one input, opened, as a function; safe from threads."""
    part = part_of(artifact, session)
    masks = [tensor for tensor in artifact.inputs if tensor.name == PRESENT]

    def run(array: Array, /, present: Array | None = None) -> Array:
        if present is not None and not masks:
            raise ValueError("present: this half takes no mask")
        given = [np.ones(mask.shape, np.float32) if present is None else mask_of(present) for mask in masks]
        (result,) = part((array, *given))
        return result

    return run


def mask_of(present: Array) -> Array:
    """Which views are there, (views,), as an aggregator's graph takes it: float32 (views, 1, 1, 1)."""
    return np.ascontiguousarray(present, dtype=np.float32).reshape(-1, 1, 1, 1)


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
