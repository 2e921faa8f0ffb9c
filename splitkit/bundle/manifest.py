"""What a bundle's `manifest.json` says, and when it contradicts itself. Reading one imports neither torch nor tvm."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, computed_field, model_validator

from splitkit.bundle.origin import Origin
from splitkit.bundle.sample import SAMPLE
from splitkit.exporters.protocol import ARTIFACT_FILE, LARGEST_BYTES
from splitkit.inside import checked_name
from splitkit.profiles.schema import System
from splitkit.sides import Side
from splitkit.space.tensor import TensorSpec
from splitkit.space.units import PRESENT

SCHEMA_VERSION = 3

Bytes = Annotated[int, Field(ge=0, le=LARGEST_BYTES)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Dtype = Literal["uint8", "float16", "float32"]
"""What a half takes and gives: what the wire format has a number for, and what a proof has a tolerance for."""

MAX_RANK = 8


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileRecord(_Record):
    """One file of the bundle, named by its path relative to the bundle."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: Bytes


class TensorRecord(_Record):
    """A tensor with its static shape (NCHW) and numpy dtype."""

    name: str
    shape: tuple[Annotated[int, Field(ge=1, le=1 << 31)], ...] = Field(min_length=1, max_length=MAX_RANK)
    dtype: Dtype

    @classmethod
    def of(cls, tensor: TensorSpec) -> Self:
        """The record of a tensor of a graph, which must be of one of the dtypes above."""
        return cls(**asdict(tensor))

    @property
    def spec(self) -> TensorSpec:
        """The same as the rest of splitkit has it."""
        return TensorSpec(self.name, self.shape, self.dtype)

    @model_validator(mode="after")
    def _is_of_a_size_that_can_be(self) -> Self:
        if self.spec.bytes > LARGEST_BYTES:
            raise ValueError(f"shape: {self.spec.bytes} bytes are too many")
        return self


class LinkRecord(TensorRecord):
    """What one sensor sends per frame. A uint8 feature stands for (value - zero_point) * scale; else 1 and 0."""

    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    zero_point: Annotated[int, Field(ge=-(1 << 31), lt=1 << 31)] = 0
    payload_bytes: Bytes

    @classmethod
    def sending(cls, tensor: TensorSpec, scale: float = 1.0, zero_point: int = 0) -> Self:
        """That tensor once per frame, of a dtype above."""
        return cls(**asdict(tensor), scale=scale, zero_point=zero_point, payload_bytes=tensor.bytes)


class HalfRecord(_Record):
    """One half: its graph, what it was compiled with, and the memory the compiled form needs, in bytes.

    Attributes:
        inputs, outputs: in the order in which the graph has them.
        macs: multiply-accumulates of one frame; None where nobody counted them.
        precision: of what it computes; written only where it is not float32.
    """

    onnx: str
    artifact: str
    inputs: tuple[TensorRecord, ...]
    outputs: tuple[TensorRecord, ...]
    exporter: str
    exporter_version: str
    device: str
    macs: Annotated[int, Field(ge=0, le=1 << 62)] | None
    arena_bytes: Bytes
    weight_bytes: Bytes
    receive_buffer_bytes: Bytes = 0
    precision: Annotated[Literal["float32", "int8"], Field(exclude_if=lambda value: value == "float32")] = "float32"


class VerificationRecord(_Record):
    """One runtime's agreement with the unsplit network; fields as in `splitkit.bundle.verify.Agreement`."""

    runtime: str
    reference: Literal["torch", "onnxruntime"]
    frames: Annotated[int, Field(ge=0, le=1 << 31)]
    link_error: Finite | None
    link_tolerance: Finite | None
    aggregator_error: Finite | None
    scores_error: Finite
    scores_tolerance: Finite | None
    top1_agreement: Finite


class Manifest(_Record):
    """Everything about a bundle but its files' contents.

    Attributes:
        id: SHA-256 of what both halves compute, for which system and with which compilers: of the graphs and of all
            that is said here but the figures (`predicted`, `verification`). One network exported twice has one id,
            though a runtime's own files may differ by the order of a hash table. Both halves name it on the wire.
        checksum: SHA-256 of everything here but itself, and so of every file: tells a changed bundle from a whole one.
        origin: what was cut in two, and where.
        classes: what each score stands for; empty where nothing was said.
        pixels: what the images' values stand for: a sensor has to deliver the same.
        image: what a sensor captures, (1, ...).
        links: what crosses the cut, in the order in which the aggregator takes it: all that the sensor's half computes,
            then the image itself where the aggregator needs that as well. A searched network has one.
        scores: what the aggregator gives, (1, ...).
        predicted: figures that were expected of it, such as `total_us`.
        files: every file that may be used, by its path relative to the bundle.
    """

    schema_version: Literal[3] = 3
    id: str = ""
    checksum: str = ""
    created_by: str
    origin: Origin
    system: System
    views: Annotated[int, Field(ge=1, le=65535)]
    classes: tuple[str, ...] = ()
    pixels: str = "uint8 as captured"
    image: TensorRecord
    links: tuple[LinkRecord, ...] = Field(min_length=1, max_length=256)
    scores: TensorRecord
    sensor: HalfRecord | None
    aggregator: HalfRecord | None
    verification: tuple[VerificationRecord, ...]
    predicted: Mapping[str, Finite]
    files: Mapping[Annotated[str, AfterValidator(checked_name)], FileRecord]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def link(self) -> LinkRecord | None:
        """The one tensor that a view sends; None where several cross, which the wire format cannot carry.

        Written as well: peers that know no more of a bundle than the wire, such as the C++ runner, read it.
        """
        return self.links[0] if len(self.links) == 1 else None

    @model_validator(mode="before")
    @classmethod
    def _without_what_follows(cls, body: Any) -> Any:
        """`link` is not read but made again; that it was written as it should be shows when the text is compared."""
        return {name: value for name, value in body.items() if name != "link"} if isinstance(body, dict) else body

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        """Tensors, views and halves are those of the origin and fit each other: nothing larger has to be believed."""
        self.origin.check(self)
        if self.classes and len(self.classes) != self.scores.shape[-1]:
            raise ValueError(f"classes: {len(self.classes)} names for {self.scores.shape[-1]} scores")
        for name, tensor in (("image", self.image), ("scores", self.scores)):
            if tensor.shape[0] != 1:
                raise ValueError(f"{name}: shape: the first extent must be 1")
        for link in self.links:
            if link.payload_bytes != link.spec.bytes:
                raise ValueError(f"links: payload_bytes: {link.name!r} has {link.spec.bytes}")
        self._check_sensor()
        self._check_aggregator()
        if self.files and SAMPLE not in self.files:
            raise ValueError(f"files: {SAMPLE} is not listed")
        return self

    def _check_sensor(self) -> None:
        computed: Sequence[TensorRecord] = () if self.sensor is None else self.sensor.outputs
        sent = [*computed, *[self.image] * (len(self.links) - len(computed))]
        if self.sensor is None:
            if len(self.links) != 1:
                raise ValueError("links: a sensor that computes nothing sends its image")
        else:
            self._check_files("sensor", self.sensor)
            if _types(self.sensor.inputs) != _types([self.image]) or not computed:
                raise ValueError(f"sensor: inputs, outputs: must be {_text([self.image])} and the links")
        if _types(sent) != _types(self.links):
            raise ValueError(f"links, sensor: outputs: {_text(self.links)} sent, {_text(sent)} there to be sent")

    def _check_aggregator(self) -> None:
        if self.aggregator is None:
            if self.sensor is None or _types(self.links) != _types([self.scores]):
                raise ValueError("aggregator: there is none, and the sensor does not give the scores")
            return
        self._check_files("aggregator", self.aggregator)
        taken, given = [*(self.received(link) for link in self.links), *self.masks], [self.scores]
        half = self.aggregator
        if (_types(half.inputs), _types(half.outputs)) != (_types(taken), _types(given)):
            raise ValueError(f"aggregator: inputs, outputs: must be {_text(taken)} and {_text(given)}")

    def _check_files(self, side: Side, half: HalfRecord) -> None:
        if (half.onnx, half.artifact) != (f"{side}.onnx", side):
            raise ValueError(f"{side}: onnx, artifact: must be '{side}.onnx' and '{side}'")
        for name in (half.onnx, f"{half.artifact}/{ARTIFACT_FILE}"):
            if self.files and name not in self.files:
                raise ValueError(f"files: {name} is not listed")

    @property
    def masks(self) -> tuple[TensorSpec, ...]:
        """The mask that the aggregator takes behind what is received, where frames may lack views."""
        return (TensorSpec(PRESENT, (self.views, 1, 1, 1)),) if self.origin.masked else ()

    def received(self, link: TensorRecord) -> TensorSpec:
        """A link tensor as the aggregator takes it, all views one after the other."""
        shape = link.shape if self.views == 1 else (self.views, *link.shape[1:])
        return TensorSpec(link.name, shape, link.dtype)

    def class_name(self, label: int) -> str:
        """What the score at `label` stands for; the number itself where the bundle holds no names."""
        return self.classes[label] if self.classes else str(label)

    def text(self) -> str:
        """The one way this manifest is written."""
        return json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True) + "\n"

    def identified(self) -> "Manifest":
        """The same manifest with its `id` and `checksum` filled in."""
        body = self.model_dump(mode="json", exclude={"id", "checksum", "predicted", "verification", "files"})
        halves = [half for half in (self.sensor, self.aggregator) if half is not None]
        identity = _digest(body | {"graphs": {half.onnx: self.files[half.onnx].sha256 for half in halves}})
        named = self.model_copy(update={"id": identity})
        return named.model_copy(update={"checksum": _digest(named.model_dump(mode="json", exclude={"checksum"}))})


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _types(tensors: Sequence[TensorRecord | TensorSpec]) -> list[tuple[tuple[int, ...], str]]:
    return [(tensor.shape, tensor.dtype) for tensor in tensors]


def _text(tensors: Sequence[TensorRecord | TensorSpec]) -> str:
    return ", ".join(f"{dtype} {list(shape)}" for shape, dtype in _types(tensors))
