"""The same halves on other edge runtimes: a bundle's ONNX graphs compiled anew, nothing trained or cut again."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx

from splitkit.bundle import MANIFEST, Bundle, HalfRecord, TensorRecord, hash_files, load_bundle
from splitkit.devices.registry import get_device
from splitkit.errors import ModelError
from splitkit.exporters.registry import get_exporter
from splitkit.profiles.schema import Side, System


def recompile(bundle: Bundle, runtimes: Mapping[Side, str], directory: Path) -> Bundle:
    """A copy of `bundle` in `directory`, the named sides compiled by these exporters, without predictions for them.

    Its verification stays that of the ONNX graphs; running it compares with the unsplit network's scores anew.

    Raises:
        ConfigError: there is no such exporter.
        ModelError: it cannot compile the half.
    """
    shutil.copytree(bundle.path, directory)
    system = bundle.manifest.system.with_exporters(runtimes)
    halves: dict[str, Any] = {s: _recompiled(bundle, s, system, directory) for s in runtimes if bundle.half(s)}
    lost = {f"{stage}_us" for stage in ("total", *runtimes)}
    manifest = bundle.manifest.model_copy(
        update={
            **halves,
            "system": system,
            "verification": tuple(r for r in bundle.manifest.verification if r.runtime == "onnxruntime"),
            "predicted": {name: value for name, value in bundle.manifest.predicted.items() if name not in lost},
        }
    )
    (directory / MANIFEST).unlink()
    manifest = manifest.model_copy(update={"files": hash_files(directory)}).identified()
    (directory / MANIFEST).write_text(manifest.text(), encoding="utf-8")
    return load_bundle(directory)


def _recompiled(bundle: Bundle, side: Side, system: System, directory: Path) -> HalfRecord:
    record = bundle.half(side)
    assert record is not None
    device = get_device(system.device(side))
    shutil.rmtree(directory / record.artifact)
    try:
        model = onnx.load(str(directory / record.onnx))
    except Exception as error:  # protobuf's errors share no public base class
        raise ModelError(f"{bundle.path / record.onnx}: not an ONNX graph: {error}") from error
    artifact = get_exporter(device.profile.exporter).compile(model, device.target(), directory / record.artifact)
    (source,), (result,) = artifact.inputs, artifact.outputs
    return record.model_copy(
        update={
            "input": TensorRecord(**asdict(source)),
            "output": TensorRecord(**asdict(result)),
            "exporter": artifact.exporter,
            "exporter_version": artifact.version,
            "arena_bytes": artifact.memory.arena_bytes,
            "weight_bytes": artifact.memory.weight_bytes,
        }
    )
