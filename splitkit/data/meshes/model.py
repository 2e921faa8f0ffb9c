"""A 3D model: triangles in space, z up."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """Triangles; no property but their places is used.

    Attributes:
        vertices: float64 (n, 3), z up.
        faces: int64 (m, 3), indices of vertices.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]

    def centred(self) -> "Model":
        """The same within the unit sphere, without vertices that no face uses: the middle of its bounding box at the
        origin, its farthest corner at 1.
        """
        names, faces = np.unique(self.faces, return_inverse=True)
        used = self.vertices[names]
        middle = (used.min(0) + used.max(0)) / 2
        radius = float(np.linalg.norm(used - middle, axis=1).max())
        return Model((used - middle) / radius, faces.reshape(self.faces.shape))

    def normals(self) -> NDArray[np.float64]:
        """Of each face, float64 (m, 3); zero for one without an area."""
        a, b, c = (self.vertices[self.faces[:, i]] for i in range(3))
        across = np.cross(b - a, c - a)
        length = np.linalg.norm(across, axis=1, keepdims=True)
        found: NDArray[np.float64] = np.divide(across, length, out=np.zeros_like(across), where=length > 0)
        return found
