"""What can be chosen, as TOML says it and pydantic checks it."""

from collections.abc import Mapping
from dataclasses import fields, replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from splitkit.errors import ConfigError
from splitkit.reading import parse_toml, read_text
from splitkit.space.architecture import Architecture, PhaseChoice
from splitkit.space.explain import explain
from splitkit.space.genes import Gene, genes_of, phase_gene

Fusion = Literal["concat", "sum", "mean", "max", "attention"]
LinkDtype = Literal["float32", "float16", "uint8"]
Placement = Literal["aggregator", "split", "sensor"]
ActivationName = Literal["relu", "relu6", "hard_swish", "swish"]
BlockKind = Literal["inverted", "fused"]


def _odd(kernel: int) -> int:
    if kernel % 2 == 0:
        raise ValueError(f"{kernel}: odd sizes only, so that a window has a centre: {kernel - 1} or {kernel + 1}")
    return kernel


Count = Annotated[int, Field(ge=0, le=32)]
Width = Annotated[int, Field(ge=1, le=4096)]
Kernel = Annotated[int, Field(ge=1, le=11), AfterValidator(_odd)]
Ratio = Annotated[float, Field(gt=0, le=1)]

LINK_CHANNEL_STEP = 4
"""Link channels are a multiple of this: one 32-bit word of uint8, one NEON vector of float32."""

CHANNEL_STEP = 8
"""Inner channels of a block are a multiple of this, so that they fill vectors."""


def round_channels(value: float, step: int = CHANNEL_STEP) -> int:
    """Nearest multiple of `step`, at least `step`, and never more than a tenth below `value`."""
    rounded = max(step, int(value + step / 2) // step * step)
    return rounded + step if rounded < 0.9 * value else rounded


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputSpace(_Model):
    """The captured image, uint8: `channels` x `size` x `size`, and the sides it may be resized to.

    `masked`: frames may lack some of their views. The aggregator's graph is then told which are there, as a second
    input, `present`: float32 (views, 1, 1, 1), 1 or 0.
    """

    channels: Annotated[int, Field(ge=1, le=4)]
    size: Annotated[int, Field(ge=8, le=1024)]
    resolutions: tuple[Annotated[int, Field(ge=8, le=1024)], ...] = Field(min_length=1)
    views: Annotated[int, Field(ge=1, le=16)] = 1
    masked: bool = False

    @model_validator(mode="after")
    def _some_view_may_lack(self) -> Self:
        if self.masked and self.views == 1:
            raise ValueError("masked: with one view there is none that may lack")
        return self

    @model_serializer(mode="wrap")
    def _as_before_masks(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `masked` where it is false, so that bundles and runs of before are what they were."""
        found: dict[str, Any] = handler(self)
        return found if self.masked else {name: value for name, value in found.items() if name != "masked"}


class StemSpace(_Model):
    """The first convolution."""

    widths: tuple[Width, ...] = Field(min_length=1)
    kernel: Kernel = 3
    stride: Annotated[int, Field(ge=1, le=4)] = 2
    activation: ActivationName = "hard_swish"


class PhaseSpace(_Model):
    """Choices of one phase; `before` counts blocks ahead of the strided one, `after` blocks behind it."""

    widths: tuple[Width, ...] = Field(min_length=1)
    before: tuple[Count, ...] = Field(default=(0,), min_length=1)
    after: tuple[Count, ...] = Field(default=(0,), min_length=1)
    kernels: tuple[Kernel, ...] = Field(default=(3,), min_length=1)
    expands: tuple[Annotated[int, Field(ge=1, le=12)], ...] = Field(default=(4,), min_length=1)
    blocks: tuple[BlockKind, ...] = Field(default=("inverted",), min_length=1)
    stride: Annotated[int, Field(ge=1, le=3)] = 2
    squeeze_excite: bool = False
    activation: ActivationName = "hard_swish"

    @model_validator(mode="after")
    def _blocks_fit(self) -> Self:
        if len(self.blocks) > 1 and self.blocks != ("inverted", "fused"):
            raise ValueError(f'blocks: {list(self.blocks)}, wanted is one of them or ["inverted", "fused"]')
        if self.stride == 1 and self.before != (0,):
            raise ValueError("before: with stride 1 there is nothing to stand before; leave it out or use [0]")
        return self

    @property
    def max_depth(self) -> int:
        """Most blocks this phase can have."""
        return max(self.before) + 1 + max(self.after)


class HeadSpace(_Model):
    """1x1 convolution to `expand` times the channels, global average pool, features, classifier.

    A width of 0 leaves the feature layer out.
    """

    classes: Annotated[int, Field(ge=2, le=100_000)]
    expand: Annotated[int, Field(ge=1, le=12)] = 4
    widths: tuple[Annotated[int, Field(ge=0, le=8192)], ...] = Field(default=(0,), min_length=1)
    activation: ActivationName = "hard_swish"


class LinkSpace(_Model):
    """Choices of the splitting module; `fusions` are how several views are joined."""

    reduce_ratios: tuple[Ratio, ...] = Field(min_length=1)
    dtypes: tuple[LinkDtype, ...] = Field(default=("float32", "float16", "uint8"), min_length=1)
    fusions: tuple[Fusion, ...] = Field(default=("concat", "mean", "max", "attention"), min_length=1)


class SearchSpace(_Model):
    """Every sub-network that can be chosen, and every place it can be cut.

    Tuples are choices; they must be strictly increasing (dtypes, fusions: distinct) so that equal spaces are written
    equally.
    """

    architecture: ClassVar[type[Architecture]] = Architecture
    phase_choice: ClassVar[type[PhaseChoice]] = PhaseChoice

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")
    input: InputSpace
    stem: StemSpace
    phases: tuple[PhaseSpace, ...] = Field(min_length=1, max_length=16)
    head: HeadSpace
    link: LinkSpace
    placements: tuple[Placement, ...] = Field(default=("aggregator", "split", "sensor"), min_length=1)

    @model_validator(mode="after")
    def _choices_are_increasing(self) -> Self:
        sections = [("input", self.input), ("stem", self.stem), ("head", self.head), ("link", self.link)]
        sections += [(f"phases[{i}]", phase) for i, phase in enumerate(self.phases)]
        for where, section in sections:
            for field in type(section).model_fields:
                value = getattr(section, field)
                if (
                    isinstance(value, tuple)
                    and field not in ("dtypes", "blocks", "fusions")
                    and list(value) != sorted(set(value))
                ):
                    raise ValueError(f"{where}.{field}: choices must be strictly increasing, got {list(value)}")
        for name in ("dtypes", "fusions"):
            if len(set(getattr(self.link, name))) != len(getattr(self.link, name)):
                raise ValueError(f"link.{name}: choices must be distinct")
        if len(set(self.placements)) != len(self.placements):
            raise ValueError("placements: choices must be distinct")
        return self

    @property
    def views(self) -> int:
        """Number of sensors, one view each."""
        return self.input.views

    @property
    def max_units(self) -> int:
        """Units of the deepest sub-network: the stem, every block, the head."""
        return 2 + sum(phase.max_depth for phase in self.phases)

    @property
    def splits(self) -> tuple[int, ...]:
        """Values of the gene `split`: units on the sensor; the last means all of them, whatever the depth."""
        return tuple(range(self.max_units + 1))

    @property
    def fuses(self) -> tuple[int, ...]:
        """Values of the gene `fuse`, which is free only where several views are joined on the aggregator."""
        return tuple(range(1, self.max_units)) if self.views > 1 else (1,)

    @property
    def fusions(self) -> tuple[Fusion, ...]:
        """Values of the gene `fusion`, which is free only where there are several views."""
        return self.link.fusions if self.views > 1 else self.link.fusions[:1]

    @property
    def genes(self) -> Mapping[str, Gene]:
        """Genes of a network, by field of its architecture."""
        return genes_of(self.architecture)

    @property
    def phase_genes(self) -> Mapping[str, Gene]:
        """Genes of each phase, by field of its choice."""
        return genes_of(self.phase_choice)

    @property
    def choices(self) -> dict[str, tuple[Any, ...]]:
        """Every gene's choices, by name, in the order of an architecture's fields."""
        found: dict[str, tuple[Any, ...]] = {}
        genes, phase_genes = self.genes, self.phase_genes
        for part in fields(self.architecture):
            if part.name in genes:
                found[part.name] = genes[part.name].of(self)
            elif part.name == "phases":
                found |= {
                    phase_gene(i, name): gene.of(phase)
                    for i, phase in enumerate(self.phases)
                    for name, gene in phase_genes.items()
                }
        return found

    def restricted(self, *placements: Placement) -> Self:
        """The same space with the split confined to `placements`."""
        return self.model_copy(update={"placements": placements})

    def link_channels(self, width: int, ratio: float) -> int:
        """Channels sent over the link where the network is `width` wide."""
        return min(round_channels(width * ratio, LINK_CHANNEL_STEP), max(width, LINK_CHANNEL_STEP))

    def distinct_ratios(self, width: int) -> tuple[float, ...]:
        """The reduce ratios that lead to different channel counts at `width`, the smallest of each kept."""
        first: dict[int, float] = {}
        for ratio in self.link.reduce_ratios:
            first.setdefault(self.link_channels(width, ratio), ratio)
        return tuple(first.values())

    def width_at(self, architecture: Architecture, boundary: int) -> int:
        """Channels at a boundary: after the stem (1) up to after the last block (units - 1)."""
        if boundary == 1:
            return architecture.stem_width
        left = boundary - 1
        for phase in architecture.phases:
            if left <= phase.depth:
                return phase.width
            left -= phase.depth
        raise ValueError(f"no boundary {boundary} in {architecture.units} units")

    def canonical(self, architecture: Architecture) -> Architecture:
        """The same network with every gene that cannot matter fixed to its first choice."""
        a = architecture
        settled: dict[str, Any] = {
            name: gene.of(self)[0] for name, gene in self.genes.items() if not gene.matters(self.views, a.placement)
        }
        settled["fuse"] = fuse = a.fuse if self.views > 1 and a.split == 0 else a.split
        if 0 < fuse < a.units:
            ratios, width = self.link.reduce_ratios, self.width_at(a, fuse)
            channels = self.link_channels(width, a.reduce_ratio)
            settled["reduce_ratio"] = next(r for r in ratios if self.link_channels(width, r) == channels)
        return replace(a, space=self.name, **settled)

    def check(self, architecture: Architecture) -> None:
        """Raise unless `architecture` is a canonical member of this space.

        Raises:
            ConfigError: it belongs to another space, or the named field is not one of this space's choices.
        """
        a = architecture
        if a.space != self.name:
            raise ConfigError(f"architecture of space {a.space!r}, expected {self.name!r}")
        if len(a.phases) != len(self.phases):
            raise ConfigError(f"phases: {len(a.phases)} given, space {self.name!r} has {len(self.phases)}")
        choices: dict[str, tuple[Any, ...]] = self.choices | {"placement": self.placements}
        values = a.values() | {"placement": a.placement}
        if not 0 <= a.split <= a.units:
            raise ConfigError(f"split: {a.split} is outside 0..{a.units}")
        if self.views > 1 and a.split == 0 and not 0 < a.fuse < a.units:
            raise ConfigError(f"fuse: {a.fuse} is outside 1..{a.units - 1}")
        for name, value in values.items():
            if name not in ("split", "fuse") and value not in choices[name]:
                raise ConfigError(f"{name}: {value!r} is not one of {list(choices[name])} of space {self.name!r}")
        if self.canonical(a) != a:
            raise ConfigError(f"architecture is not in canonical form: {a}", "use SearchSpace.canonical")

    def _extreme(self, last: bool, split: int) -> Architecture:
        phases = tuple(
            self.phase_choice(**{name: gene.extreme(phase, last) for name, gene in self.phase_genes.items()})
            for phase in self.phases
        )
        units = 2 + sum(phase.depth for phase in phases)
        values = {name: gene.extreme(self, last) for name, gene in self.genes.items()}
        values |= {"split": min(split, units), "fuse": units // 2}
        return self.canonical(self.architecture(space=self.name, phases=phases, **values))

    def smallest(self, split: int = 0) -> Architecture:
        """Every choice at its least, cut after `split` units."""
        return self._extreme(False, split)

    def largest(self, split: int = 0) -> Architecture:
        """Every choice at its most, cut after `split` units."""
        return self._extreme(True, split)


def preset_names() -> list[str]:
    """Names of the spaces that come with splitkit."""
    folder = resources.files("splitkit.space") / "presets"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_space(name_or_path: str | Path) -> SearchSpace:
    """A preset by name, or a space from a TOML file (anything with a suffix or a path separator).

    Raises:
        ConfigError: no such preset or file, not TOML, or a field that is missing, unknown or out of range.
    """
    text = str(name_or_path)
    if text in preset_names():
        source = resources.files("splitkit.space") / "presets" / f"{text}.toml"
        return parse_space(source.read_text(encoding="utf-8"), f"preset {text}")
    path = Path(text)
    if not path.suffix and path.name == text:
        raise ConfigError(
            f"no search space is called {text!r}", f"presets: {', '.join(preset_names())}; or a .toml file"
        )
    return parse_space(read_text(path), str(path))


def parse_space(text: str, source: str) -> SearchSpace:
    """A space from TOML text; `source` is named in errors."""
    try:
        return SearchSpace.model_validate(parse_toml(text, source))
    except ValidationError as error:
        raise explain(error, source, SearchSpace) from error


def space_template() -> str:
    """A commented space to copy and change, as TOML."""
    return (resources.files("splitkit.space") / "template.toml").read_text(encoding="utf-8")
