"""The networks of all ways, trained alike: on the training images outside the search slice, which then judges them."""

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from splitkit.data import Dataset, Samples, SampleSource
from splitkit.partition.codec import Codec
from splitkit.project.config import Project
from splitkit.project.run import Run
from splitkit.project.steps.data import Say
from splitkit.project.steps.fine_tune import fine_tune_config, trained_alone
from splitkit.project.steps.standalone import train_from_nothing
from splitkit.scores import ImageScores
from splitkit.search.baselines import Recipe
from splitkit.search.baselines.row import Weights
from splitkit.space import Architecture, SearchSpace
from splitkit.space.mobilenet import mobilenet_like
from splitkit.space.plain_cut import uncut
from splitkit.supernet import CutNetwork, SubNetwork, Supernet, extract, with_bottleneck
from splitkit.training import FineTuneConfig, load_supernet
from splitkit.training.budget import of_steps
from splitkit.training.config import OptimiserConfig
from splitkit.training.evaluation import calibration_images, score_subnetwork
from splitkit.training.finetune import Teacher, largest_network

SEEN = 128
"""Training images that a plain link's range and a bottleneck are made from."""


class Networks:
    """Makes the network of a recipe, or reads it where the run has it already.

    Args:
        supernet: of the run; left as it is.
        data: its test set is opened only by whoever asks for scores on it.
    """

    def __init__(self, project: Project, supernet: Supernet, data: Dataset, say: Say) -> None:
        self.project, self.supernet, self.data, self.say = project, supernet, data, say
        self.space = project.load_space()
        self.fixed_space, self.fixed = mobilenet_like(self.space)
        self.calibration = calibration_images(data.train, seed=project.seed)
        self._made: dict[str, SubNetwork] = {}

    def space_of(self, recipe: Recipe) -> SearchSpace:
        """The space that a recipe's architecture is of."""
        return self.space if recipe.weights == "shared" else self.fixed_space

    def trained(self, recipe: Recipe) -> SubNetwork:
        """The network, trained; a plain cut and a file format are not in it.

        Raises:
            TrainingError: it diverged.
            CheckpointError: what the run has of it is damaged.
        """
        name, kept = recipe.trained(), Run.of(self.project).baseline(recipe.trained())
        if name not in self._made:
            if kept.exists():
                self._made[name] = SubNetwork.load(kept)
            else:
                network = self._train(recipe.architecture, recipe.weights)
                kept.parent.mkdir(parents=True, exist_ok=True)
                network.save(kept)
                self._made[name] = network
        return self._made[name]

    def scores(self, recipe: Recipe, samples: SampleSource) -> ImageScores:
        """What a recipe says of each image, as it would be deployed: over its link, through its file format."""
        network = self.trained(recipe)
        if recipe.codec:
            samples, _ = self.through(recipe, samples)
        if recipe.cut is None:
            return score_subnetwork(network, samples)
        return score_subnetwork(CutNetwork(network, recipe.cut, self.calibration[:SEEN]), samples)

    def through(self, recipe: Recipe, samples: SampleSource) -> tuple[Samples, NDArray[np.int64]]:
        """The samples as they are after the recipe's file format, and bytes of every view's file (n * views,)."""
        assert recipe.codec
        taken = samples.take(torch.arange(len(samples)))
        pictures = taken.images.flatten(0, 1).cpu().numpy()
        decoded, sizes = Codec(recipe.codec, recipe.quality, recipe.effort).through(list(pictures))
        return Samples(torch.from_numpy(decoded).reshape(taken.images.shape), taken.labels), sizes

    def _train(self, architecture: Architecture, weights: Weights) -> SubNetwork:
        data, config = self.data, fine_tune_config(self.project)
        if weights == "fixed":
            self.say(f"training the fixed network {architecture} from random weights")
            schedule, budget_s = self._fixed_schedule()
            return train_from_nothing(
                self.project, self.fixed_space, architecture, data, schedule, budget_s, data.train
            )
        self.say(f"fine-tuning {architecture}")
        if weights == "injected":
            whole = self.trained(Recipe(uncut(self.fixed_space, architecture), "fixed"))
            network = with_bottleneck(whole, architecture, self.calibration[:SEEN])
            return trained_alone(self.project, network, data, config, samples=data.train)
        network = extract(self.supernet, architecture, self.calibration)
        teacher = self._teacher if config.distillation else None
        return trained_alone(self.project, network, data, config, teacher, samples=data.train)

    @property
    def fixed_training(self) -> str:
        """How long the fixed network trains, in words."""
        config, budget_s = self._fixed_schedule()
        return f"for {budget_s:.0f} s" if budget_s else f"for {config.steps} steps of {config.batch} images"

    def _fixed_schedule(self) -> tuple[FineTuneConfig, float | None]:
        """How the fixed network trains: as the supernet did, for as long as that and fine-tuning together.

        As long is the time that was given for them; without one, as many images through a network, forward and back.
        """
        train, tuning = self.project.train, fine_tune_config(self.project)
        own = load_supernet(Run.of(self.project).supernet, self.space).config
        config = FineTuneConfig(**own.model_dump(include=set(OptimiserConfig.model_fields)))
        alone = own.largest_alone * own.steps
        passes = alone + (own.steps - alone) * (own.random_subnetworks + 2 / own.sandwich_every)
        steps = round(passes + tuning.steps * tuning.batch / own.batch)
        budget_s = None if train.budget is None else train.budget + (train.fine_tune_budget or 0.0)
        return of_steps(config, max(1, steps)), budget_s

    @cached_property
    def _teacher(self) -> Teacher:
        return largest_network(self.supernet, self.calibration)
