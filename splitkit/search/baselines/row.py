"""One way to do what a found split does, with every figure it is compared by."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any, Literal, Self

from splitkit.reading import typed
from splitkit.scores import ImageScores
from splitkit.space import Architecture
from splitkit.space.plain_cut import PlainCut

Name = Literal[
    "split", "all_on_sensor", "all_on_aggregator", "jpeg", "webp", "fixed_cut", "fixed_bottleneck", "random_search",
    "unaware_search",
]  # fmt: skip

TITLES: dict[Name, str] = {
    "split": "the found split",
    "all_on_sensor": "all on sensor",
    "all_on_aggregator": "all on aggregator, raw pixels",
    "jpeg": "all on aggregator, JPEG",
    "webp": "all on aggregator, WebP",
    "fixed_cut": "fixed network, best cut",
    "fixed_bottleneck": "fixed network, injected bottleneck",
    "random_search": "random search",
    "unaware_search": "search unaware of the split, best cut",
}
"""The ways, as readers see them, in the order of the table."""

NAMES: tuple[Name, ...] = tuple(TITLES)

Weights = Literal["shared", "fixed", "injected"]
FileFormat = Literal["", "JPEG", "WEBP"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a way deploys: enough to make its network again.

    Attributes:
        architecture: of the run's space, or of the fixed network's (`space.mobilenet`).
        weights: where training begins: at the supernet's (`shared`), at random (`fixed`), or at those of the fixed
            network with a bottleneck put in (`injected`).
        cut: where the network is cut without a splitting module; None where the architecture says all.
        codec, quality, effort: what the picture is sent as, `JPEG` or `WEBP`, and its encoder's settings; empty and 0
            where it is not a file.
    """

    architecture: Architecture
    weights: Weights = "shared"
    cut: PlainCut | None = None
    codec: FileFormat = ""
    quality: int = 0
    effort: int = 0

    @property
    def placement(self) -> str:
        """`sensor`, `aggregator` or `split`."""
        if self.cut is None:
            return self.architecture.placement
        ends = {0: "aggregator", self.architecture.units: "sensor"}
        return ends.get(self.cut.boundary, "split")

    def trained(self) -> str:
        """Names the network that is trained for it: equal where only the way it is sent differs."""
        text = json.dumps([self.architecture.to_json(), self.weights], sort_keys=True)
        return sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way. Times are predictions of one frame in us, but for what `labels` says of them.

    Attributes:
        accuracy: in [0, 1], of the network trained on images outside the search slice, on the search slice.
        scores: the same image by image, as `ImageScores.to_json` has them.
        sensor_us: of one sensor. `missing` is what is not in it nor in `aggregator_us`, since nobody knows it.
        payload_bytes: what one sensor sends a frame; of files the mean over the search slice, and
            `payload_p99_bytes` the 99th percentile.
        energy_uj: of one frame, where every profile has the figures and nothing is encoded.
        measured_fraction: share of the kernels' predicted time that rests on measured ones (or a device's own model).
        obtained: how, in a sentence.
        labels: what each stage's time is, by part.
        considered: networks, cuts or qualities that were looked at.
        test_accuracy: on the test set, once that was opened for this frozen choice.
    """

    name: Name
    recipe: Recipe
    accuracy: float
    scores: Mapping[str, Any] = field(repr=False)
    sensor_us: float
    link_us: float
    aggregator_us: float
    payload_bytes: float
    payload_p99_bytes: float | None = None
    energy_uj: float | None = None
    measured_fraction: float
    obtained: str
    labels: Mapping[str, str]
    considered: int = 1
    missing: str = ""
    test_accuracy: float | None = None

    @property
    def total_us(self) -> float:
        """Of one frame, without what is missing."""
        return self.sensor_us + self.link_us + self.aggregator_us

    @property
    def title(self) -> str:
        """As readers see it."""
        return TITLES[self.name]

    @property
    def images(self) -> ImageScores:
        """The scores."""
        return ImageScores.from_json(self.scores)

    def to_json(self) -> dict[str, Any]:
        """A JSON object with the same field names, title, placement and total."""
        more = {"title": self.title, "placement": self.recipe.placement, "total_us": self.total_us}
        return asdict(self) | more

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`.

        Raises:
            ValueError: a field is missing, unknown or wrong.
        """
        row = typed(
            cls, {name: value for name, value in body.items() if name not in ("title", "placement", "total_us")}
        )
        _ = row.images
        return row
