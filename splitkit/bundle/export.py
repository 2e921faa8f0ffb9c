"""From a trained sub-network and a system to a bundle on disk."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from splitkit.bundle import Bundle, LinkRecord, Searched
from splitkit.bundle.build import Draft, Progress, build_bundle, require_place
from splitkit.bundle.quantise import Halves, quantised_halves
from splitkit.bundle.sample import SAMPLE_FRAMES
from splitkit.bundle.verify import Reference
from splitkit.graphs.export import IMAGE, export_half
from splitkit.profiles.schema import System
from splitkit.sides import SIDES, Side
from splitkit.space.network import Network, describe
from splitkit.space.tensor import TensorSpec
from splitkit.supernet.subnetwork import SubNetwork


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
    int8: Collection[Side] = (),
    measured: Callable[[Halves], Mapping[str, float]] = lambda halves: {},
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
        int8: sides whose half computes in integers (`bundle.quantise`).
        measured: figures of the halves as they are exported, kept beside `predicted`, which they overrule.
        progress: called with a few words before each step.

    Raises:
        BundleError: `directory` holds something that splitkit did not write there, or that was changed since.
        ConfigError: the key cannot be read.
        ModelError: a half cannot be exported or compiled.
        DeviceError: a half is too large for its device; says by how much and which layers hold it.
        VerificationError: a half computes something else than the unsplit network.
    """
    require_place(Path(directory), sign_key)
    progress("exporting to ONNX")
    network = describe(subnetwork.space, subnetwork.architecture)
    floats: Halves = {side: model for side in SIDES if (model := export_half(subnetwork, side)) is not None}
    if int8:
        progress("quantising")
    models, reference = quantised_halves(floats, reference_of(subnetwork, images), int8)
    draft = Draft(
        origin=Searched(space=subnetwork.space, architecture=subnetwork.architecture),
        models=models,
        reference=reference,
        image=TensorSpec(IMAGE, network.image.shape, network.image.dtype),
        links=(_link_record(subnetwork, network),),
        classes=tuple(classes),
        pixels=pixels,
        predicted={**(predicted or {}), **measured(models)},
        macs={side: network.macs(side) for side in SIDES},
        int8=frozenset(int8),
    )
    return build_bundle(draft, system, Path(directory), sign_key, progress)


def reference_of(subnetwork: SubNetwork, images: NDArray[np.uint8]) -> Reference:
    """What the unsplit torch network computes on `images`, uint8 (frames, views, channels, size, size).

    In a masked space some of the later ones lack views.
    """
    network = subnetwork.eval()
    batch = torch.from_numpy(np.ascontiguousarray(images))
    present = _present(*batch.shape[:2]) if subnetwork.space.input.masked else None
    with torch.no_grad():
        scores = network(batch, present)
        link = batch if network.sensor is None else network.sensor(batch.flatten(0, 1)).unflatten(0, batch.shape[:2])
    mask = None if present is None else present.numpy()
    return Reference(images, (link.numpy(),), scores.numpy(), "torch", mask)


def _present(frames: int, views: int) -> torch.Tensor:
    """All views in the frames that a bundle's sample holds, and in half of all; in the others any, but never none."""
    drawn = np.random.default_rng(0).random((frames, views))
    present = (drawn < 0.5) | (drawn == drawn.min(axis=1, keepdims=True))
    present[: max(SAMPLE_FRAMES, frames // 2)] = True
    return torch.from_numpy(present.astype(np.float32))


def _link_record(subnetwork: SubNetwork, network: Network) -> LinkRecord:
    quantisation: dict[str, Any] = {}
    if subnetwork.quantisation is not None:
        quantisation["scale"] = float(subnetwork.quantisation.scale)
        quantisation["zero_point"] = round(float(subnetwork.quantisation.zero_point))
    name = "link" if network.sensor and network.aggregator else "scores" if network.sensor else IMAGE
    return LinkRecord.sending(TensorSpec(name, network.link.shape, network.link.dtype), **quantisation)
