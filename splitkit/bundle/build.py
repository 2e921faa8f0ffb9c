"""From two graphs and a reference to a bundle on disk: compile, prove, and only then put in place."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

import onnx

from splitkit.bundle import (
    Bundle,
    HalfRecord,
    LinkRecord,
    Manifest,
    Partitioned,
    Searched,
    TensorRecord,
    VerificationRecord,
    hash_files,
    load_bundle,
    part_of,
    write_manifest,
)
from splitkit.bundle.ownership import require_own_bundle
from splitkit.bundle.readme import bundle_readme
from splitkit.bundle.sample import write_sample
from splitkit.bundle.signing import read_private_key
from splitkit.bundle.verify import Reference, verify
from splitkit.compiler.target import CompileTarget
from splitkit.devices.registry import get_device
from splitkit.exporters.memory_report import check_budget
from splitkit.exporters.protocol import AccountingExporter, Artifact
from splitkit.exporters.registry import get_exporter
from splitkit.profiles.schema import System
from splitkit.scratch import exchange, scratch_directory
from splitkit.sides import Side
from splitkit.space.tensor import TensorSpec

REFERENCE_RUNTIME = "onnxruntime"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Draft:
    """What is to become a bundle: all that is said of it but what compiling and proving tell.

    Attributes:
        models: the halves that there are, as ONNX with static shapes.
        reference: what the whole computes of real images, which are kept as the bundle's sample.
        links: what crosses; scale and zero point where they are known.
        classes, pixels, predicted: as in `Manifest`.
        int8: sides that compute in integers.
        macs: multiply-accumulates of each half; left out, those of its kernels, where the exporter names them.
    """

    origin: Searched | Partitioned
    models: Mapping[Side, onnx.ModelProto]
    reference: Reference
    image: TensorSpec
    links: tuple[LinkRecord, ...]
    classes: tuple[str, ...]
    pixels: str
    predicted: Mapping[str, float]
    macs: Mapping[Side, int] = field(default_factory=dict)
    int8: frozenset[Side] = frozenset()


def require_place(directory: Path, sign_key: Path | None) -> None:
    """Find mistakes in where a bundle goes, and in the key, before the work.

    Raises:
        BundleError: `directory` holds something that splitkit did not write there, or that was changed since.
        ConfigError: the key cannot be read.
    """
    require_own_bundle(directory)
    if sign_key is not None:
        read_private_key(sign_key)


def build_bundle(draft: Draft, system: System, directory: Path, sign_key: Path | None, progress: Progress) -> Bundle:
    """Compile both halves for the system's devices, prove them against the whole, write.

    Everything is made in a directory beside `directory`, which is put in place at the end: a failure leaves nothing
    behind. An older bundle of that name is replaced, if nothing else is in its directory.

    Raises:
        BundleError, ConfigError: as for `require_place`.
        ModelError: a half cannot be compiled.
        DeviceError: a half is too large for its device; says by how much and which layers hold it.
        VerificationError: a half computes something else than the whole.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    with scratch_directory(directory.parent, directory.name) as work:
        manifest = _write(draft, system, work, progress)
        write_manifest(manifest, work, sign_key)
        require_own_bundle(directory)  # still: compiling takes a while
        _put_in_place(work, directory)
    return load_bundle(directory)


def _write(draft: Draft, system: System, work: Path, progress: Progress) -> Manifest:
    """Fill `work` with a verified bundle, all but its manifest."""
    reference = draft.reference
    for side, model in draft.models.items():
        onnx.save(model, str(work / f"{side}.onnx"))
    progress("compiling")
    artifacts = {side: _compile(model, side, system, work / side) for side, model in draft.models.items()}
    progress("verifying")
    agreements = [_verify_onnxruntime(reference, draft.models), _verify_compiled(reference, system, artifacts)]
    write_sample(work, reference.images, reference.scores)
    last = artifacts.get("aggregator") or artifacts["sensor"]
    manifest = Manifest(
        created_by=f"splitkit {version('splitkit')}",
        origin=draft.origin,
        system=system,
        views=reference.images.shape[1],
        classes=draft.classes,
        pixels=draft.pixels,
        image=TensorRecord.of(draft.image),
        links=draft.links,
        scores=TensorRecord.of(last.outputs[0]),
        sensor=_half_record("sensor", system, draft, artifacts.get("sensor")),
        aggregator=_half_record("aggregator", system, draft, artifacts.get("aggregator")),
        verification=tuple(agreements),
        predicted=draft.predicted,
        files={},
    )
    (work / "README.md").write_text(bundle_readme(manifest), encoding="utf-8")
    return manifest.model_copy(update={"files": hash_files(work)})


def _compile(model: onnx.ModelProto, side: Side, system: System, directory: Path) -> Artifact:
    """Compile one half, and check that the device holds it where the exporter says what it takes."""
    device = get_device(system.device(side))
    profile = device.profile
    exporter = get_exporter(profile.exporter)
    artifact = exporter.compile(model, device.target(), directory)
    if isinstance(exporter, AccountingExporter):
        check_budget(exporter.memory_report(artifact), profile.flash_bytes, profile.memory_bytes)
    return artifact


def _verify_onnxruntime(reference: Reference, models: Mapping[Side, onnx.ModelProto]) -> VerificationRecord:
    exporter = get_exporter(REFERENCE_RUNTIME)
    with tempfile.TemporaryDirectory() as scratch:
        artifacts = {side: exporter.compile(m, CompileTarget(), Path(scratch) / side) for side, m in models.items()}
        halves = {side: part_of(artifact, exporter.load(artifact)) for side, artifact in artifacts.items()}
        agreement = verify(reference, REFERENCE_RUNTIME, halves.get("sensor"), halves.get("aggregator"))
    return VerificationRecord(**asdict(agreement))


def _verify_compiled(reference: Reference, system: System, artifacts: Mapping[Side, Artifact]) -> VerificationRecord:
    """The compiled halves, each run by its device: what is not for this machine cannot be loaded here."""
    halves = {side: part_of(a, get_device(system.device(side)).open(a)) for side, a in artifacts.items()}
    runtime = " + ".join(dict.fromkeys(f"{a.exporter} {a.version}" for a in artifacts.values()))
    agreement = verify(reference, runtime, halves.get("sensor"), halves.get("aggregator"))
    return VerificationRecord(**asdict(agreement))


def _half_record(side: Side, system: System, draft: Draft, artifact: Artifact | None) -> HalfRecord | None:
    if artifact is None:
        return None
    received = draft.reference.images.shape[1] * sum(link.payload_bytes for link in draft.links)
    counted = sum(kernel.macs for kernel in artifact.kernels) if artifact.kernels else None
    return HalfRecord(
        onnx=f"{side}.onnx",
        artifact=side,
        inputs=tuple(TensorRecord.of(tensor) for tensor in artifact.inputs),
        outputs=tuple(TensorRecord.of(tensor) for tensor in artifact.outputs),
        exporter=artifact.exporter,
        exporter_version=artifact.version,
        device=system.device(side).name,
        macs=draft.macs.get(side, counted),
        arena_bytes=artifact.memory.arena_bytes,
        weight_bytes=artifact.memory.weight_bytes,
        receive_buffer_bytes=received if side == "aggregator" else 0,
        precision="int8" if side in draft.int8 else "float32",
    )


def _put_in_place(work: Path, target: Path) -> None:
    """Make `work` the directory `target`; an older bundle takes the place of `work`."""
    if not target.exists() or not any(target.iterdir()):
        work.replace(target)
    else:
        exchange(work, target)
