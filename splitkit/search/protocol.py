"""What a search needs of others: latencies of many architectures at once, and how well they classify."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from splitkit.scores import Score
from splitkit.space import Architecture
from splitkit.space.encoding import IntArray

FIGURES = (
    "sensor_us", "link_us", "aggregator_us", "total_us", "payload_bytes", "sensor_peak_bytes", "sensor_macs",
    "aggregator_macs", "measured_fraction",
)  # fmt: skip
"""The arrays of a prediction."""


class PredictionArrays(Protocol):
    """Predicted figures of n architectures; every array has shape (n,). `latency.Prediction` is one."""

    @property
    def sensor_us(self) -> NDArray[Any]: ...
    @property
    def link_us(self) -> NDArray[Any]: ...
    @property
    def aggregator_us(self) -> NDArray[Any]: ...
    @property
    def total_us(self) -> NDArray[Any]: ...
    @property
    def payload_bytes(self) -> NDArray[Any]: ...
    @property
    def sensor_peak_bytes(self) -> NDArray[Any]: ...
    @property
    def sensor_macs(self) -> NDArray[Any]: ...
    @property
    def aggregator_macs(self) -> NDArray[Any]: ...
    @property
    def measured_fraction(self) -> NDArray[Any]: ...


class Predictor(Protocol):
    """Predicts canonical architectures, given as gene vectors (n, genes) of the whole space's `Encoding`."""

    def predict(self, genes: IntArray) -> PredictionArrays:
        """Figures of every row."""
        ...


class Evaluator(Protocol):
    """Says how well architectures classify; never on the test set.

    One that estimates on images may say on how many, in an attribute `images`; the result then keeps it.
    """

    def score(self, architectures: Sequence[Architecture]) -> Sequence[Score]:
        """The score of each. The same architecture must always get the same answer."""
        ...


class Measurement(Protocol):
    """A candidate compiled and timed on the system's devices. `latency.Measurement` is one."""

    @property
    def architecture(self) -> Architecture: ...
    @property
    def total_us(self) -> float:
        """Sensor, link and aggregator together."""
        ...

    def to_json(self) -> Mapping[str, Any]:
        """A JSON object from which the measurement can be restored."""
        ...
