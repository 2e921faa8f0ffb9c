"""Data sets: captured images as tensors, cut into training, search and test."""

from splitkit.data.dataset import Augmentation, Dataset, Samples
from splitkit.data.load import load_dataset

__all__ = ["Augmentation", "Dataset", "Samples", "load_dataset"]
