"""Where a bundle's halves come from: a searched network, or a model that somebody else made, cut in two.

An origin says in words what it is, and refuses a manifest that contradicts it; nothing else depends on which it is.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from splitkit.errors import ConfigError
from splitkit.labels import code_name
from splitkit.space.architecture import Architecture
from splitkit.space.network import describe
from splitkit.space.search_space import SearchSpace

if TYPE_CHECKING:
    from splitkit.bundle.manifest import Manifest

Name = Annotated[str, Field(min_length=1, max_length=1024)]


class Searched(BaseModel):
    """A sub-network of a search space: shapes, dtypes, views and which halves there are follow from it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["searched"] = "searched"
    space: SearchSpace
    architecture: Architecture

    @property
    def masked(self) -> bool:
        """Whether frames may lack views: the aggregator then takes a mask."""
        return self.space.input.masked

    @property
    def title(self) -> str:
        """For people, what the bundle holds."""
        return f"Network of space `{self.space.name}`"

    @property
    def pixels_note(self) -> str:
        """For people, what need not be done to the sensor's pixels."""
        return "Resizing, normalisation and the link's quantisation are inside the graphs."

    def check(self, manifest: "Manifest") -> None:
        """Compare every tensor, the views and the halves with those of the architecture.

        Raises:
            ValueError: the space has no such architecture, or it is another one's manifest.
        """
        try:
            self.space.check(self.architecture)
        except ConfigError as error:
            raise ValueError(f"origin.architecture: {error}") from error
        network = describe(self.space, self.architecture)
        if len(manifest.links) != 1:
            raise ValueError("links: the architecture has one")
        found = {"image": manifest.image, "links": manifest.links[0], "scores": manifest.scores}
        image, link = network.image, network.link
        expected: dict[str, tuple[tuple[int, ...], str]] = {
            "image": (image.shape, image.dtype),
            "links": (link.shape, link.dtype),
            "scores": ((1, self.space.head.classes), "float32"),
        }
        for name, (shape, dtype) in expected.items():
            if (found[name].shape, found[name].dtype) != (shape, dtype):
                raise ValueError(f"{name}: the architecture has {dtype} {list(shape)}")
        if manifest.views != network.views:
            raise ValueError(f"views: the architecture has {network.views}")
        for side, units, half in (
            ("sensor", network.sensor, manifest.sensor),
            ("aggregator", network.aggregator, manifest.aggregator),
        ):
            if (half is not None) != bool(units):
                raise ValueError(f"{side}: the architecture has {'one' if units else 'none'}")


class Partitioned(BaseModel):
    """A model from outside, and where it was cut.

    Attributes:
        model: its file's name, without directories.
        sha256: of the file and, after it, of the files that hold its weights, if there are any
            (`splitkit.graphs.model.sha256_of_model`).
        cut: the tensors at which it was cut, by their names in the model (of several views in the first one's branch)
            or in what was made of it (such as those that are narrowed for the link). More may cross: see
            `Manifest.links`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["partitioned"] = "partitioned"
    model: Name
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    cut: tuple[Name, ...] = Field(min_length=1, max_length=256)

    @classmethod
    def of(cls, path: str | Path, *cut: str) -> Self:
        """The model in that file, cut at these tensors.

        Raises:
            ModelError: it cannot be read, or is no ONNX model.
        """
        from splitkit.graphs.model import sha256_of_model

        return cls(model=Path(path).name, sha256=sha256_of_model(path), cut=cut)

    @property
    def masked(self) -> bool:
        """All views are there."""
        return False

    @property
    def title(self) -> str:
        """For people, what the bundle holds."""
        return f"Model {code_name(self.model)}, cut at {', '.join(code_name(name) for name in self.cut)}"

    @property
    def pixels_note(self) -> str:
        """For people, what need not be done to the sensor's pixels."""
        return "The graphs are the model's own: what has to be done to an image before it, they do not do."

    def check(self, manifest: "Manifest") -> None:
        """Compare with the little that is known without the model; that its parts fit each other is seen to elsewhere.

        Raises:
            ValueError: views come together nowhere, or something that it was cut at does not cross.
        """
        if manifest.aggregator is None and manifest.views != 1:
            raise ValueError("views: a partitioned model without an aggregator has 1")
        crossing = {link.name for link in manifest.links}
        for name in self.cut:
            if name not in crossing:
                raise ValueError(f"origin.cut: {name!r} is not among the links")


Origin = Annotated[Searched | Partitioned, Field(discriminator="kind")]
