"""The best place to cut a model that somebody else made."""

from splitkit.partition.options import Option, Partition
from splitkit.partition.partition import partition

__all__ = ["Option", "Partition", "partition"]
