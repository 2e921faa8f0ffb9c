"""How a supernet is trained, and what suits the spaces that come with splitkit."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from splitkit.space.network import describe
from splitkit.space.search_space import SearchSpace

Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Precision = Literal["float32", "bfloat16"]


class OptimiserConfig(BaseModel):
    """Optimiser and learning-rate schedule: linear warm-up, then a half cosine down to zero.

    Attributes:
        learning_rate: of `muon` it is the share of a weight's norm that one step moves.
        weight_decay: not of `muon`, which holds norms where they are.
        precision: of convolutions and products; see `training.precision`.
        view_dropout: probability that a view is left out of a frame, in spaces whose frames may lack views.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    steps: Annotated[int, Field(ge=0)]
    batch: Positive
    optimiser: Literal["adamw", "sgd", "muon"] = "adamw"
    learning_rate: Annotated[float, Field(gt=0, le=1000)]
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    clip_norm: Rate = 5.0
    label_smoothing: Share = 0.0
    precision: Precision = "float32"
    view_dropout: Share = 0.25
    seed: Annotated[int, Field(ge=0, lt=2**30)] = 0


class TrainConfig(OptimiserConfig):
    """One step trains `random_subnetworks` on one batch, and every `sandwich_every`-th also the largest and smallest.

    Where the largest network takes part, the others learn from its answers, else from the labels. In large spaces it
    should always take part; in small ones its time is better spent on more steps.

    Attributes:
        largest_alone: share of the steps, the first ones, in which only the largest network is trained.
        coarse: share of the steps, the first ones, in which images have the space's lowest resolution.
        sides: whether sensor and aggregator share their chain's weights; see `Supernet`.
    """

    random_subnetworks: Annotated[int, Field(ge=1, le=16)] = 2
    sandwich_every: Positive = 1
    largest_alone: Share = 0.0
    coarse: Share = 0.0
    sides: Literal["shared", "separate"] = "shared"
    checkpoint_every_s: Rate = 60.0


class FineTuneConfig(OptimiserConfig):
    """The training of one sub-network's own weights.

    Attributes:
        distillation: share of the loss that is the cross entropy against a teacher's answers, where there is one.
    """

    distillation: Annotated[float, Field(ge=0, le=1)] = 0.0


SMALL_MACS, MEDIUM_MACS = 20e6, 300e6
"""Multiply-accumulates of the largest network up to which a space counts as small (`tiny`), medium (`cifar`)."""


def default_train_config(space: SearchSpace) -> TrainConfig:
    """A schedule that suits the size of the space: a minute for `tiny`, hours for the largest.

    That of `cifar` takes an hour and a quarter of two cores that multiply bfloat16; of 11,669 steps the largest network
    was right on 88 % of CIFAR-10's test images, the median of random ones on 78 % (docs/guides/cifar10.md).

    `tiny` was tuned on the search slice of `digits`. At the same processor time, small batches with four random
    sub-networks and a sandwich every sixteenth step gave random sub-networks 93 % where the plain sandwich rule gave
    72 % (batch 128) to 87 % (batch 64): the largest network costs ten times an average one, and what such a short
    schedule lacks is updates. Muon, with half of the steps at the lowest resolution, gives the 97.2 % in 450 steps for
    which AdamW took 800 (one seed).

    `cifar` was studied on schedules of minutes (`benchmarks/recipe.py`, docs/guides/cifar10.md): in the same time Muon
    brought random sub-networks to 59 % (one seed) where SGD with momentum brought them to 41 and 42 %. The last are the
    usual settings for spaces of their size, not tuned.
    """
    macs = largest_macs(space)
    if macs <= SMALL_MACS:
        return TrainConfig(
            steps=450, batch=32, optimiser="muon", learning_rate=0.07, warmup_steps=40,
            random_subnetworks=4, sandwich_every=16, coarse=0.5,
        )  # fmt: skip
    if macs <= MEDIUM_MACS:
        return TrainConfig(
            steps=12_000, batch=128, optimiser="muon", learning_rate=0.05, warmup_steps=600,
            random_subnetworks=2, label_smoothing=0.1, coarse=0.5, largest_alone=0.1,
        )  # fmt: skip
    return TrainConfig(steps=200_000, batch=64, learning_rate=1e-3, weight_decay=0.05, warmup_steps=2_000)


def largest_macs(space: SearchSpace) -> int:
    """Multiply-accumulates of the largest network of a space, without a splitting module."""
    whole = space.restricted("sensor").largest(space.max_units)
    network = describe(space, whole)
    return network.macs("sensor")


def default_fine_tune_config(space: SearchSpace) -> FineTuneConfig:
    """A short second training of one extracted sub-network, starting from its shared weights.

    That of `cifar` keeps what shared weights know and adds little: nine minutes at 0.005 took a network from 86.1 % of
    the search slice to 86.9 % of the test images; 1,760 steps at 0.03 made another worse by five points.
    """
    macs = largest_macs(space)
    if macs <= SMALL_MACS:
        return FineTuneConfig(
            steps=320, batch=64, optimiser="muon", learning_rate=0.05, warmup_steps=20, label_smoothing=0.1
        )
    if macs <= MEDIUM_MACS:
        return FineTuneConfig(
            steps=2_000, batch=64, optimiser="muon", learning_rate=0.005, warmup_steps=100,
            label_smoothing=0.1, distillation=0.5,
        )  # fmt: skip
    return FineTuneConfig(steps=20_000, batch=64, learning_rate=5e-4, weight_decay=0.05, warmup_steps=500)
