"""Training supernets and sub-networks, and scoring them."""

from splitkit.training.checkpoint import TrainedSupernet, load_supernet
from splitkit.training.config import (
    FineTuneConfig,
    OptimiserConfig,
    TrainConfig,
    default_fine_tune_config,
    default_train_config,
)
from splitkit.training.evaluation import SupernetEvaluator, calibration_images, score, score_subnetwork
from splitkit.training.finetune import FineTuning, fine_tune
from splitkit.training.loop import train
from splitkit.training.progress import Reporter, StepReport, progress_bar

__all__ = [
    "FineTuneConfig",
    "FineTuning",
    "OptimiserConfig",
    "Reporter",
    "StepReport",
    "SupernetEvaluator",
    "TrainConfig",
    "TrainedSupernet",
    "calibration_images",
    "default_fine_tune_config",
    "default_train_config",
    "fine_tune",
    "load_supernet",
    "progress_bar",
    "score",
    "score_subnetwork",
    "train",
]
