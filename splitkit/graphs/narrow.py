"""Tensors sent in fewer bits than they were computed in: the pair of operators around a link."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto

from splitkit.errors import ModelError
from splitkit.graphs.quantisation import state_quantisation
from splitkit.graphs.seam import Seam

LinkDtype = Literal["float16", "uint8"]

OLDEST = {"float16": 6, "uint8": 10}
"""Opset that has the operators."""


@dataclass(frozen=True)
class Altered:
    """A model with something else crossing where it is cut.

    Attributes:
        model: the altered copy.
        sent: name of what crosses, by that of the tensor in the original; of those that were computed as float32.
    """

    model: onnx.ModelProto
    sent: Mapping[str, str]

    def at(self, tensors: Sequence[str]) -> tuple[str, ...]:
        """Where to cut it for what a cut of the original at these tensors does: at all that was altered, since the
        operators that alter what crosses as well belong to the first side, too."""
        return (*self.sent.values(), *(name for name in tensors if name not in self.sent))


def affine(low: float, high: float) -> tuple[float, int]:
    """Scale and zero point of uint8 codes that hold this range, widened to hold 0: real = (code - zero point) * scale.

    As Jacob et al. (CVPR 2018, section 2.1).
    """
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / 255, float(np.finfo(np.float32).tiny))
    return scale, int(np.clip(np.rint(-low / scale), 0, 255))


def narrowed(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    dtype: LinkDtype,
    ranges: Mapping[str, tuple[float, float]] | None = None,
) -> Altered:
    """A copy of a model in which every computed float32 tensor that crosses a cut there is sent as `dtype`.

    What is computed ahead of the cut reads a tensor as it was, everything behind it reads what comes out of the link:
    the cut of the copy (`Altered.at`) has the same nodes on either side as that of the model at `tensors`.

    Args:
        tensors: where to cut; what else crosses is narrowed as well.
        ranges: lowest and highest value of each, for uint8; where there is none, -1 to 1 stands in: the time of a
            model does not depend on it.

    Raises:
        ModelError: it cannot be cut there, or its opset has no such operators.
    """
    seam = Seam(model, tensors)
    if seam.opset < OLDEST[dtype]:
        raise ModelError(f"the model is of opset {seam.opset}", f"{dtype} over the link takes {OLDEST[dtype]} or later")
    sent = {}
    for name in seam.computed:
        if dtype == "float16":
            sent[name] = seam.put("Cast", [name], f"{name}_float16", to=TensorProto.FLOAT16)
            received = seam.put("Cast", [sent[name]], f"{name}_received", to=TensorProto.FLOAT)
            seam.state(sent[name], TensorProto.FLOAT16, seam.shapes[name])
        else:
            scale, zero_point = affine(*(ranges or {}).get(name, (-1.0, 1.0)))
            constants = [
                seam.constant(f"{name}_scale", np.array(scale, np.float32)),
                seam.constant(f"{name}_zero_point", np.array(zero_point, np.uint8)),
            ]
            sent[name] = seam.put("QuantizeLinear", [name, *constants], f"{name}_uint8")
            received = seam.put("DequantizeLinear", [sent[name], *constants], f"{name}_received")
            seam.state(sent[name], TensorProto.UINT8, seam.shapes[name])
            state_quantisation(seam.model, sent[name], float(np.float32(scale)), zero_point)
        seam.lead(name, received)
    return Altered(seam.close(), sent)
