"""The checkpoint of a supernet: what is in it, and that all of it fits before any of it is used."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

from splitkit.errors import CheckpointError
from splitkit.labels import class_difference
from splitkit.space.difference import space_difference
from splitkit.space.search_space import SearchSpace
from splitkit.supernet import Supernet
from splitkit.supernet.storage import fill, header_of, read_checkpoint, tensors_of, write_checkpoint
from splitkit.training.config import TrainConfig
from splitkit.training.moments import check_moments, moments_of, restore_moments
from splitkit.training.optimise import pick_device

FORMAT = "splitkit supernet"


class Header(BaseModel):
    """The plain values of a checkpoint.

    Attributes:
        space: whose supernet it is.
        config: the schedule.
        classes: names of the data set's classes, by label.
        step: steps that are behind it.
        threads: how many threads of a rank trained it; sums of floats depend on that.
        ranks: how many ranks did, last; likewise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    space: SearchSpace
    config: TrainConfig
    classes: tuple[Annotated[str, Field(min_length=1)], ...]
    step: Annotated[int, Field(ge=0, strict=True)]
    threads: Annotated[int, Field(ge=1, le=4096, strict=True)]
    ranks: Annotated[int, Field(ge=1, le=2**16, strict=True)] = 1

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        if self.step > self.config.steps:
            raise ValueError(f"step: {self.step} is behind the schedule's end, config.steps = {self.config.steps}")
        if len(self.classes) != self.space.head.classes:
            wanted = self.space.head.classes
            raise ValueError(f"classes: {len(self.classes)} names, the space's head.classes is {wanted}")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes: two have the same name")
        return self


@dataclass(frozen=True, slots=True)
class TrainedSupernet:
    """A supernet out of a checkpoint, with how it was trained.

    Attributes:
        supernet: on the device that was asked for.
        config: its schedule.
        step: short of `config.steps` if training was interrupted.
        classes: names of the classes it tells apart, by label.
    """

    supernet: Supernet
    config: TrainConfig
    step: int
    classes: tuple[str, ...]


def save_supernet(
    path: Path,
    supernet: Supernet,
    optimiser: torch.optim.Optimizer,
    config: TrainConfig,
    classes: tuple[str, ...],
    step: int,
    threads: int,
    ranks: int = 1,
) -> None:
    """Leave everything that training needs to go on in `path`, whole or not at all.

    Raises:
        CheckpointError: it cannot be written.
    """
    header = Header(
        space=supernet.space, config=config, classes=classes, step=step, threads=threads, ranks=ranks
    )  # fmt: skip
    state = {"weights": supernet.state_dict(), "optimiser": moments_of(supernet, optimiser, config)}
    write_checkpoint(path, FORMAT, header.model_dump(mode="json") | state)


def load_supernet(checkpoint: Path, space: SearchSpace | None = None, device: str = "cpu") -> TrainedSupernet:
    """The supernet in a checkpoint of `train`.

    Raises:
        CheckpointError: the file is missing, truncated or foreign, holds the supernet of another space than `space`,
            or a field in it does not fit, which is named.
    """
    body, header = _checked(checkpoint, space)
    supernet = Supernet(header.space, sides=header.config.sides)
    fill(supernet.state_dict(), body["weights"])
    return TrainedSupernet(supernet.to(pick_device(device)), header.config, header.step, header.classes)


def restore_supernet(
    checkpoint: Path,
    supernet: Supernet,
    optimiser: torch.optim.Optimizer,
    config: TrainConfig,
    classes: tuple[str, ...],
) -> Header:
    """Fill a fresh supernet and its optimiser from a checkpoint, to go on where it ended.

    Raises:
        CheckpointError: as `load_supernet`, or it was trained with other settings or classes.
    """
    body, header = _checked(checkpoint, supernet.space)
    _check_settings(checkpoint, header, config, classes)
    fill(supernet.state_dict(), body["weights"])
    restore_moments(supernet, optimiser, body["optimiser"])
    return header


def _checked(path: Path, space: SearchSpace | None) -> tuple[dict[str, Any], Header]:
    """A checkpoint's fields and its header, all of them fit to be used."""
    body = read_checkpoint(path, FORMAT)
    header = header_of(path, body, Header, tensors=("weights", "optimiser"))
    if space is not None:
        _check_space(path, header.space, space)
    weights = body.get("weights")
    if isinstance(weights, dict) and len(weights) < header.space.max_units:
        raise CheckpointError(f"{path}: weights: {len(weights)} tensors are too few for the space {header.space.name}")
    with torch.device("meta"):  # shapes alone: the space in a damaged file may be larger than memory
        outline = Supernet(header.space, sides=header.config.sides)
    tensors_of(path, "weights", weights, outline.state_dict())
    check_moments(path, body.get("optimiser"), outline, header.config, header.step)
    return body, header


def _check_settings(path: Path, header: Header, config: TrainConfig, classes: tuple[str, ...]) -> None:
    for field in type(config).model_fields:
        then, now = getattr(header.config, field), getattr(config, field)
        if then != now and field != "checkpoint_every_s":
            raise CheckpointError(
                f"{path}: trained with {field} = {then}, now {now}",
                "resume with the same settings, or start afresh",
            )
    check_classes(path, header.classes, classes)


def check_classes(path: Path, then: Sequence[str], now: Sequence[str]) -> None:
    """Refuse a data set whose classes are not those that a checkpoint was trained on: names belong to labels.

    Raises:
        CheckpointError: a class was renamed, added, removed or moved; it is named.
    """
    if difference := class_difference(then, now):
        raise CheckpointError(
            f"{path}: trained on other classes: {difference}", "use the data it was trained on, or train another --run"
        )


def _check_space(path: Path, stored: SearchSpace, wanted: SearchSpace) -> None:
    # Placements bound what is searched; the weights behind them may be there all the same.
    kept = {"placements": stored.placements} if set(wanted.placements) <= set(stored.placements) else {}
    if difference := space_difference(stored, wanted.model_copy(update=kept)):
        raise CheckpointError(
            f"{path}: holds the supernet of another space: {difference}",
            "train again, or use the space it was trained with",
        )
