"""Data sets: captured images as tensors, cut into training, search and test."""

from splitkit.data.ahead import ReadAhead, batches_of
from splitkit.data.dataset import Augmentation, Dataset, Samples, SampleSource
from splitkit.data.load import load_dataset

__all__ = ["Augmentation", "Dataset", "ReadAhead", "SampleSource", "Samples", "batches_of", "load_dataset"]
