"""One point of a search space: every choice made, the split included."""

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from splitkit.errors import ConfigError
from splitkit.space.genes import (
    at_a_splitting_module,
    gene,
    genes_of,
    over_a_link,
    phase_gene,
    where_views_are_fused,
)


@dataclass(frozen=True, slots=True)
class PhaseChoice:
    """The choices of one phase: `before` blocks at the incoming resolution, a strided block, `after` blocks.

    `expand` is the ratio of a block's inner channels to its input channels, `kernel` its window, `block` its kind:
    `inverted` (depthwise) or `fused` (dense).
    """

    width: int = field(metadata=gene("widths"))
    before: int = field(metadata=gene("before"))
    after: int = field(metadata=gene("after"))
    kernel: int = field(metadata=gene("kernels"))
    expand: int = field(metadata=gene("expands"))
    block: str = field(default="inverted", metadata=gene("blocks"))

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return self.before + 1 + self.after


@dataclass(frozen=True, slots=True)
class Architecture:
    """A sub-network and where it is cut.

    The network is a chain of units: the stem, the blocks, the head. `split` counts the leading units that run on the
    sensor: 0 sends the raw image (all on the aggregator), `units` sends the class scores (all on the sensor), and
    anything between cuts the chain there. `fuse` is the boundary of the splitting module, where the views are joined;
    it equals `split` unless the whole multi-view network runs on the aggregator. Use `SearchSpace.canonical` to fix
    the genes that cannot matter.

    Attributes:
        space: name of the search space.
        resolution: side of the square network input in pixels; the captured image is resized to it.
        reduce_ratio: channels sent over the link as a fraction of the channels at the split.
        link_dtype: `float32`, `float16` or `uint8` (affine, with scale and zero-point).
        fusion: how features of several views become one: `concat`, `sum`, `mean`, `max` or `attention`; see `Fuse`.
    """

    space: str
    resolution: int = field(metadata=gene("input.resolutions"))
    stem_width: int = field(metadata=gene("stem.widths"))
    phases: tuple[PhaseChoice, ...]
    head_width: int = field(metadata=gene("head.widths"))
    split: int = field(metadata=gene("splits"))
    fuse: int = field(metadata=gene("fuses"))
    reduce_ratio: float = field(metadata=gene("link.reduce_ratios", at_a_splitting_module))
    link_dtype: str = field(metadata=gene("link.dtypes", over_a_link, grows=False))
    fusion: str = field(default="concat", metadata=gene("fusions", where_views_are_fused, grows=False))

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return sum(phase.depth for phase in self.phases)

    @property
    def units(self) -> int:
        """Number of units: the stem, the blocks and the head."""
        return self.blocks + 2

    @property
    def placement(self) -> str:
        """`aggregator`, `sensor` (the degenerate ends) or `split`."""
        if self.split == 0:
            return "aggregator"
        return "sensor" if self.split == self.units else "split"

    @property
    def has_splitting_module(self) -> bool:
        """Whether a reduce -> recover (or fuse) pair stands in the network."""
        return 0 < self.fuse < self.units

    def values(self) -> dict[str, Any]:
        """The value of every gene, by name, in the order of the fields; a phase's are `phases[0].width` and so on."""
        found: dict[str, Any] = {}
        for part in fields(self):
            if part.name == "phases":
                found |= {
                    phase_gene(i, name): getattr(phase, name)
                    for i, phase in enumerate(self.phases)
                    for name in genes_of(type(phase))
                }
            elif "gene" in part.metadata:
                found[part.name] = getattr(self, part.name)
        return found

    def to_json(self) -> dict[str, Any]:
        """A JSON object with the same field names."""
        return asdict(self)

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Self:
        """Inverse of `to_json`.

        Raises:
            ConfigError: a field is missing, unknown or not of its type.
        """
        try:
            phases = tuple(PhaseChoice(**phase) for phase in body["phases"])
            return cls(**{**body, "phases": phases})
        except (TypeError, KeyError, ValueError) as error:
            raise ConfigError(f"not an architecture: {error}") from error

    def __str__(self) -> str:
        kinds = {"inverted": "", "fused": "f"}
        phases = " ".join(
            f"{p.width}x{p.before}+1+{p.after}k{p.kernel}e{p.expand}{kinds[p.block]}" for p in self.phases
        )
        link = f" /{1 / self.reduce_ratio:g} {self.link_dtype}" if self.has_splitting_module else ""
        link += f" {self.fusion}" if self.fusion != "concat" else ""
        return f"r{self.resolution} s{self.stem_width} {phases} cut {self.split}/{self.units}{link}"

    def digest(self) -> str:
        """Canonical JSON text, usable as a cache key."""
        return json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
