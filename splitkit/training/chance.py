"""Random numbers that depend on what they are for."""

import numpy as np
import torch

ORDER, AUGMENTATION, VIEWS, INVERSION = range(4)
"""What is drawn: the order of samples, how images are varied, which views are left out, what a decoder learns from."""


def generator_for(*numbers: int) -> torch.Generator:
    """A generator of its own for every tuple of non-negative numbers: a seed, a purpose, a step.

    torch's CPU generator looks at no more than the lower 32 bits of a seed, so the tuple is hashed to as many.
    """
    return torch.Generator().manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))
