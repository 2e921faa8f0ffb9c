"""Tuning: the search of register tiles for a network's kernels, and the file that keeps what it found."""
