"""Several views of one image, for systems with several sensors and data sets with one camera."""

import torch
import torch.nn.functional as F
from torch import Tensor

CROP_FRACTION = 0.75
"""Side of each view's crop as a fraction of the image's."""


def crop_views(images: Tensor, views: int) -> Tensor:
    """Overlapping crops of every image, scaled back to its size: what cameras side by side would see of a flat scene.

    The crops go from the left edge to the right; even ones sit at the top, odd ones at the bottom.

    Args:
        images: uint8 (n, channels, size, size).
        views: number of crops; 1 leaves the image whole.

    Returns:
        uint8 (n, views, channels, size, size).
    """
    if views == 1:
        return images[:, None]
    size = images.shape[-1]
    side = max(1, round(CROP_FRACTION * size))
    crops = []
    for view in range(views):
        left = round(view * (size - side) / (views - 1))
        top = (size - side) * (view % 2)
        crop = images[:, :, top : top + side, left : left + side]
        crops.append(resize(crop, size))
    return torch.stack(crops, dim=1)


def resize(images: Tensor, size: int) -> Tensor:
    """uint8 (n, channels, h, w) -> uint8 (n, channels, size, size), bilinear with half-pixel centres."""
    scaled = F.interpolate(images.float(), size=(size, size), mode="bilinear", align_corners=False)
    return scaled.round().clamp(0, 255).to(torch.uint8)
