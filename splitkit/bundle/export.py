"""From a trained sub-network and a system to a bundle on disk: export, compile, prove, and only then put in place."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from splitkit.bundle import (
    SIDES,
    Bundle,
    HalfRecord,
    LinkRecord,
    Manifest,
    TensorRecord,
    VerificationRecord,
    half_of,
    hash_files,
    load_bundle,
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
from splitkit.graphs.export import IMAGE, export_half
from splitkit.profiles.schema import System
from splitkit.scratch import exchange, scratch_directory
from splitkit.sides import Side
from splitkit.space.network import Network, describe
from splitkit.supernet.subnetwork import SubNetwork

REFERENCE_RUNTIME = "onnxruntime"

Progress = Callable[[str], None]


def export_bundle(
    subnetwork: SubNetwork,
    system: System,
    images: NDArray[np.uint8],
    directory: str | Path,
    *,
    classes: Sequence[str] = (),
    pixels: str = "uint8 as captured",
    predicted: Mapping[str, float] | None = None,
    sign_key: Path | None = None,
    progress: Progress = lambda step: None,
) -> Bundle:
    """Export both halves, compile them for the system's devices, prove them against the unsplit network, write.

    Everything is made in a directory beside `directory`, which is put in place at the end: a failure leaves nothing
    behind. An older bundle of that name is replaced, if nothing else is in its directory.

    Args:
        images: real images, uint8 (frames, views, channels, size, size); a few hundred make the proof meaningful.
        classes: names by label, kept in the manifest.
        pixels: what the images' values stand for, likewise: sensors have to deliver the same.
        predicted: figures to keep for comparison, such as `{"total_us": ...}`; no part of the bundle's id.
        sign_key: a file with a private key (Ed25519, PEM) to sign the manifest with.
        progress: called with a few words before each step.

    Raises:
        BundleError: `directory` holds something that splitkit did not write there, or that was changed since.
        ConfigError: the key cannot be read.
        ModelError: a half cannot be exported or compiled.
        DeviceError: a half is too large for its device; says by how much and which layers hold it.
        VerificationError: a half computes something else than the unsplit network.
    """
    target = Path(directory)
    require_own_bundle(target)
    if sign_key is not None:
        read_private_key(sign_key)  # a mistake in it is better found now
    target.parent.mkdir(parents=True, exist_ok=True)
    with scratch_directory(target.parent, target.name) as work:
        manifest = _write(subnetwork, system, images, work, classes, pixels, predicted or {}, progress)
        write_manifest(manifest, work, sign_key)
        require_own_bundle(target)  # still: compiling takes a while
        _put_in_place(work, target)
    return load_bundle(target)


def reference_of(subnetwork: SubNetwork, images: NDArray[np.uint8]) -> Reference:
    """What the unsplit torch network computes on `images`, uint8 (frames, views, channels, size, size)."""
    network = subnetwork.eval()
    batch = torch.from_numpy(np.ascontiguousarray(images))
    with torch.no_grad():
        scores = network(batch)
        link = batch if network.sensor is None else network.sensor(batch.flatten(0, 1)).unflatten(0, batch.shape[:2])
    return Reference(images, link.numpy(), scores.numpy())


def _write(
    subnetwork: SubNetwork,
    system: System,
    images: NDArray[np.uint8],
    work: Path,
    classes: Sequence[str],
    pixels: str,
    predicted: Mapping[str, float],
    progress: Progress,
) -> Manifest:
    """Fill `work` with a verified bundle, all but its manifest."""
    network = describe(subnetwork.space, subnetwork.architecture)
    progress("exporting to ONNX")
    models = {side: model for side in SIDES if (model := export_half(subnetwork, side)) is not None}
    for side, model in models.items():
        onnx.save(model, str(work / f"{side}.onnx"))
    progress("compiling")
    artifacts = {side: _compile(model, side, system, work / side) for side, model in models.items()}
    progress("verifying")
    reference = reference_of(subnetwork, images)
    agreements = [_verify_onnxruntime(reference, models), _verify_compiled(reference, system, artifacts)]
    write_sample(work, images, reference.scores)
    manifest = Manifest(
        created_by=f"splitkit {version('splitkit')}",
        space=subnetwork.space,
        architecture=subnetwork.architecture,
        system=system,
        views=network.views,
        classes=tuple(classes),
        pixels=pixels,
        image=TensorRecord(name=IMAGE, shape=network.image.shape, dtype=network.image.dtype),
        link=_link_record(subnetwork, network),
        scores=TensorRecord(name="scores", shape=(1, reference.scores.shape[1]), dtype="float32"),
        sensor=_half_record("sensor", system, network, artifacts.get("sensor")),
        aggregator=_half_record("aggregator", system, network, artifacts.get("aggregator")),
        verification=tuple(agreements),
        predicted=predicted,
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
        halves = {side: half_of(artifact, exporter.load(artifact)) for side, artifact in artifacts.items()}
        agreement = verify(reference, REFERENCE_RUNTIME, halves.get("sensor"), halves.get("aggregator"))
    return VerificationRecord(**asdict(agreement))


def _verify_compiled(reference: Reference, system: System, artifacts: Mapping[Side, Artifact]) -> VerificationRecord:
    """The compiled halves, each run by its device: what is not for this machine cannot be loaded here."""
    halves = {side: half_of(a, get_device(system.device(side)).open(a)) for side, a in artifacts.items()}
    runtime = " + ".join(dict.fromkeys(f"{a.exporter} {a.version}" for a in artifacts.values()))
    agreement = verify(reference, runtime, halves.get("sensor"), halves.get("aggregator"))
    return VerificationRecord(**asdict(agreement))


def _link_record(subnetwork: SubNetwork, network: Network) -> LinkRecord:
    quantisation: dict[str, Any] = {}
    if subnetwork.quantisation is not None:
        quantisation["scale"] = float(subnetwork.quantisation.scale)
        quantisation["zero_point"] = round(float(subnetwork.quantisation.zero_point))
    link = network.link
    name = "link" if network.sensor and network.aggregator else "scores" if network.sensor else IMAGE
    return LinkRecord(
        name=name, shape=link.shape, dtype=link.dtype, payload_bytes=network.payload_bytes, **quantisation
    )


def _half_record(side: Side, system: System, network: Network, artifact: Artifact | None) -> HalfRecord | None:
    if artifact is None:
        return None
    (source,), (result,) = artifact.inputs, artifact.outputs
    return HalfRecord(
        onnx=f"{side}.onnx",
        artifact=side,
        input=TensorRecord(**asdict(source)),
        output=TensorRecord(**asdict(result)),
        exporter=artifact.exporter,
        exporter_version=artifact.version,
        device=system.device(side).name,
        macs=network.macs(side),
        arena_bytes=artifact.memory.arena_bytes,
        weight_bytes=artifact.memory.weight_bytes,
        receive_buffer_bytes=network.views * network.payload_bytes if side == "aggregator" else 0,
    )


def _put_in_place(work: Path, target: Path) -> None:
    """Make `work` the directory `target`; an older bundle takes the place of `work`."""
    if not target.exists() or not any(target.iterdir()):
        work.replace(target)
    else:
        exchange(work, target)
