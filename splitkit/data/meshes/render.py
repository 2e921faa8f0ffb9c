"""What a camera sees of a model: rays traced by Embree, on the processor, without a screen or a GPU.

A camera stands at a distance at which a sphere of radius 1 fills its image (field of view `FIELD` degrees). A surface
is lit from the camera and from above, both sides alike:

    grey = 255 (AMBIENT + HEADLIGHT |n v| + OVERHEAD (1 + |n_z|) / 2)

with n the face's normal and v the direction to the camera; nothing is 0. Every pixel is the mean of `SAMPLES` squared
rays. Rendered twice, pixels are the same.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from splitkit.data.meshes.model import Model
from splitkit.errors import DataError

if TYPE_CHECKING:
    from trimesh.ray.ray_pyembree import RayMeshIntersector

FIELD = 40.0
SAMPLES = 2
AMBIENT, HEADLIGHT, OVERHEAD = 0.15, 0.6, 0.25

VERSION = 1
"""To be raised with every change of what is seen: rendered images are kept."""


def render(model: Model, cameras: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
    """Grey images of a model.

    Args:
        model: any size, anywhere: it is centred and scaled.
        cameras: directions to them, float64 (n, 3).
        size: side of an image in pixels.

    Returns:
        uint8 (n, size, size).

    Raises:
        DataError: Embree is not installed.
    """
    import trimesh

    try:
        from trimesh.ray.ray_pyembree import RayMeshIntersector
    except ImportError as error:
        raise DataError(
            "3D models are rendered by embreex, which is not installed: PyPI has it for x86-64 alone",
            "render elsewhere (runs/NAME/renders holds pictures), or give pictures named OBJECT_VIEW.png",
        ) from error

    model = model.centred()
    scene = RayMeshIntersector(trimesh.Trimesh(model.vertices, model.faces, process=False))
    normals = model.normals()
    return np.stack([_seen(scene, normals, camera, size) for camera in cameras])


def _seen(
    scene: "RayMeshIntersector", normals: NDArray[np.float64], camera: NDArray[np.float64], size: int
) -> NDArray[np.uint8]:
    away = 1 / np.sin(np.radians(FIELD / 2))
    across = np.cross(camera, [0.0, 0.0, 1.0])
    right = -across / np.linalg.norm(across)
    upwards = np.cross(camera, right)
    fine = size * SAMPLES
    steps = ((np.arange(fine) + 0.5) / fine * 2 - 1) * np.tan(np.radians(FIELD / 2))
    rays = -camera + steps[None, :, None] * right - steps[:, None, None] * upwards
    rays = (rays / np.linalg.norm(rays, axis=2, keepdims=True)).reshape(-1, 3)
    faces = scene.intersects_first(np.broadcast_to(away * camera, rays.shape), rays)
    normal = normals[faces]
    facing = np.abs((normal * rays).sum(1))
    light = AMBIENT + HEADLIGHT * facing + OVERHEAD * (1 + np.abs(normal[:, 2])) / 2
    grey = np.where(faces >= 0, 255 * light, 0).reshape(size, SAMPLES, size, SAMPLES).mean((1, 3))
    pixels: NDArray[np.uint8] = grey.round().astype(np.uint8)
    return pixels
