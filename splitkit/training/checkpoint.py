"""The checkpoint of a supernet: what is in it, and that all of it fits before any of it is used."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from splitkit.errors import CheckpointError
from splitkit.labels import class_difference
from splitkit.space.difference import space_difference
from splitkit.space.search_space import SearchSpace
from splitkit.supernet import Supernet
from splitkit.supernet.storage import check_tensor, fill, header_of, read_checkpoint, tensors_of, write_checkpoint
from splitkit.training.config import TrainConfig
from splitkit.training.optimise import pick_device

FORMAT = "splitkit supernet"

MOMENTS = {"adamw": ("step", "exp_avg", "exp_avg_sq"), "sgd": ("momentum_buffer",)}
"""What each optimiser keeps for a parameter that has had a gradient."""


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
    names: dict[Tensor, str] = {parameter: name for name, parameter in supernet.named_parameters()}
    state = {
        names[parameter]: {moment: kept[moment] for moment in MOMENTS[config.optimiser]}
        for parameter, kept in optimiser.state.items()
    }
    body = header.model_dump(mode="json") | {"weights": supernet.state_dict(), "optimiser": state}
    write_checkpoint(path, FORMAT, body)


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
    parameters = dict(supernet.named_parameters())
    for name, kept in body["optimiser"].items():
        parameter = parameters[name]
        state = {moment: _like(parameter, value) for moment, value in kept.items()}
        optimiser.state[parameter] = state
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
    _check_optimiser(path, body.get("optimiser"), dict(outline.named_parameters()), header)
    return body, header


def _check_optimiser(path: Path, found: Any, parameters: dict[str, torch.nn.Parameter], header: Header) -> None:
    """The optimisers' kernels trust what they are given: a moment of another shape would write past its end."""
    if not isinstance(found, dict):
        raise CheckpointError(f"{path}: optimiser: a table is wanted, found {type(found).__name__}")
    moments = MOMENTS[header.config.optimiser]
    for name, kept in found.items():
        if name not in parameters:
            raise CheckpointError(f"{path}: optimiser: {str(name)[:60]!r} is no parameter of the network")
        where = f"{path}: optimiser: {name}"
        if not isinstance(kept, dict) or set(kept) != set(moments):
            raise CheckpointError(f"{where}: a table of {', '.join(moments)} is wanted")
        for moment, value in kept.items():
            wanted = torch.empty((), device="meta") if moment == "step" else parameters[name].detach()
            check_tensor(f"{where}: {moment}", value, wanted)
        if "step" in kept and not (1 <= float(kept["step"]) <= header.step and float(kept["step"]).is_integer()):
            raise CheckpointError(
                f"{where}: step: {float(kept['step']):g}, a whole number in 1..{header.step} is wanted"
            )
        if "exp_avg_sq" in kept and bool((kept["exp_avg_sq"] < 0).any()):
            raise CheckpointError(f"{where}: exp_avg_sq: holds negative values, a mean of squares is wanted")


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


def _like(parameter: Tensor, value: Tensor) -> Tensor:
    """A moment on its parameter's device and, since kernels walk both in step, in its memory layout."""
    if value.shape != parameter.shape:  # a step count
        return value.to(parameter.device)
    return torch.empty_like(parameter, requires_grad=False).copy_(value)
