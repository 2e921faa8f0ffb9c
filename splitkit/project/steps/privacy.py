"""What a bundle's link gives away of the images, beside JPEG files of the same size."""

from typing import TYPE_CHECKING

from splitkit.bundle import Bundle
from splitkit.errors import BundleError
from splitkit.inside import read_inside
from splitkit.project.config import Project
from splitkit.project.steps.data import Say, load_data, silent
from splitkit.report.privacy import PrivacyRow

if TYPE_CHECKING:
    from torch import Tensor

    from splitkit.training.inversion import Likeness

STEPS = 600
"""Of training the decoder."""

SEEN, HELD_BACK = 8000, 512
"""Training images that it may learn from, and of the search slice, that it is judged by; at most."""


def privacy_step(project: Project, bundle: Bundle, say: Say = silent, steps: int = STEPS) -> tuple[PrivacyRow, ...]:
    """Train a decoder on the training images and what the bundle's sensor makes of them; judge it by the search slice.

    Beside the link stands JPEG: at the quality whose files come nearest to the link's bytes, and at 90.

    Raises:
        BundleError: its images are not those of a search space, or the sensor sends the image itself.
        DataError: the project's data are not what the bundle was made for.
    """
    import torch

    from splitkit.bundle import Searched
    from splitkit.partition.codec import MODES
    from splitkit.training.inversion import likeness, train_decoder

    origin = bundle.manifest.origin
    if not isinstance(origin, Searched):
        raise BundleError(f"{bundle.path}: a partitioned model: nothing says what its images are", "search one instead")
    if bundle.half("sensor") is None:
        raise BundleError(f"{bundle.path}: its sensor sends the image as it is", "there is nothing to be found out")
    data = load_data(project, origin.space, say, bundle.manifest.classes or None)
    seen, held = (
        part.take(torch.arange(min(most, len(part)))).images[:, 0]
        for part, most in ((data.train, SEEN), (data.search, HELD_BACK))
    )
    say(f"what the sensor makes of {len(seen) + len(held)} images")
    links = [_sent(bundle, images) for images in (seen, held)]
    scale = float(links[0].std()) or 1.0
    say(f"training a decoder for {steps} steps")
    decoder = train_decoder(links[0] / scale, seen, steps, project.seed)
    wanted = held.float() / 255
    with torch.no_grad():
        drawn = torch.cat([decoder(part) for part in torch.split(links[1] / scale, 128)])
    payload = bundle.link.payload_bytes
    found = [
        PrivacyRow(f"link, {bundle.link.dtype} {list(bundle.link.shape)}", payload, **_figures(likeness(drawn, wanted)))
    ]
    if held.shape[1] not in MODES:
        return tuple(found)
    for quality, name in {_quality_of(held, payload): "JPEG, nearest in size", 90: "JPEG"}.items():
        decoded, size = _jpeg(held, quality)
        found.append(PrivacyRow(f"{name}, quality {quality}", size, **_figures(likeness(decoded, wanted))))
    return tuple(found)


def _figures(found: "Likeness") -> dict[str, float]:
    return {"psnr_db": found.psnr_db, "ssim": found.ssim}


def _sent(bundle: Bundle, images: "Tensor") -> "Tensor":
    """What arrives of every image, float32 (n, ...), by the half's graph: its device may be slow to emulate."""
    import numpy as np
    import onnxruntime
    import torch

    link, options = bundle.link, onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    graph = read_inside(bundle.path, "sensor.onnx", bundle.manifest.files["sensor.onnx"].size_bytes)
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    codes = np.concatenate([session.run(None, {name: image[None]})[0] for image in images.numpy()]).astype(np.float32)
    return torch.from_numpy((codes - link.zero_point) * np.float32(link.scale))


def _jpeg(images: "Tensor", quality: int) -> tuple["Tensor", float]:
    """Images as they are after JPEG, in [0, 1], and the mean size of the files."""
    import numpy as np
    import torch

    from splitkit.partition.codec import Codec

    decoded, sizes = Codec("JPEG", quality).through(list(images.numpy()))
    return torch.from_numpy(decoded.astype(np.float32) / 255), float(sizes.mean())


def _quality_of(images: "Tensor", payload_bytes: int) -> int:
    """The quality whose files are nearest to that size; sizes grow with it."""
    few = images[:64]
    low, high = 1, 95
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _jpeg(few, middle)[1] <= payload_bytes else (low, middle)
    return min((low, high), key=lambda quality: abs(_jpeg(few, quality)[1] - payload_bytes))
