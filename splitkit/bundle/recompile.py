"""The same halves on other edge runtimes: a bundle's ONNX graphs compiled anew, nothing trained or cut again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from splitkit.bundle import Bundle, HalfRecord, TensorRecord, hash_files, load_bundle, write_manifest
from splitkit.devices.registry import get_device
from splitkit.errors import BundleError
from splitkit.exporters.registry import get_exporter
from splitkit.graphs.model import load_model
from splitkit.inside import file_inside, read_inside
from splitkit.profiles.schema import System
from splitkit.sides import Side


def recompile(bundle: Bundle, runtimes: Mapping[Side, str], directory: Path) -> Bundle:
    """A copy of `bundle` in `directory`, the named sides compiled by these exporters, without predictions for them.

    The copy holds what the manifest lists and nothing else. Its verification stays that of the ONNX graphs; running it
    compares with the unsplit network's scores anew. It is another bundle, so a signature does not go with it.

    Raises:
        BundleError: `directory` is not empty, or the bundle has changed since it was read.
        ConfigError: there is no such exporter.
        ModelError: it cannot compile the half.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise BundleError(f"{directory}: exists and is not empty", "name another directory")
    system = bundle.manifest.system.with_exporters(runtimes)
    halves = {side: half for side in runtimes if (half := bundle.half(side)) is not None}
    for name, record in bundle.manifest.files.items():
        if name.split("/")[0] not in halves:
            file = directory / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(read_inside(bundle.path, name, record.size_bytes))
    updated: dict[str, Any] = {s: _recompiled(bundle, s, half, system, directory) for s, half in halves.items()}
    lost = {f"{stage}_us" for stage in ("total", *runtimes)}
    manifest = bundle.manifest.model_copy(
        update={
            **updated,
            "system": system,
            "verification": tuple(r for r in bundle.manifest.verification if r.runtime == "onnxruntime"),
            "predicted": {name: value for name, value in bundle.manifest.predicted.items() if name not in lost},
        }
    )
    write_manifest(manifest.model_copy(update={"files": hash_files(directory)}), directory)
    return load_bundle(directory)


def _recompiled(bundle: Bundle, side: Side, record: HalfRecord, system: System, directory: Path) -> HalfRecord:
    device = get_device(system.device(side))
    model = load_model(file_inside(bundle.path, record.onnx), external_data=False)
    artifact = get_exporter(device.profile.exporter).compile(model, device.target(), directory / side)
    device.open(artifact)  # what a device adds to an artifact has to be there before its files are listed
    return record.model_copy(
        update={
            "inputs": tuple(TensorRecord.of(tensor) for tensor in artifact.inputs),
            "outputs": tuple(TensorRecord.of(tensor) for tensor in artifact.outputs),
            "exporter": artifact.exporter,
            "exporter_version": artifact.version,
            "arena_bytes": artifact.memory.arena_bytes,
            "weight_bytes": artifact.memory.weight_bytes,
        }
    )
