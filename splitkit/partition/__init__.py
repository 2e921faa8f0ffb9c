"""The best place to cut a model that somebody else made."""

from splitkit.partition.chain import Chain, Stage, partition_chain
from splitkit.partition.options import Option, Partition
from splitkit.partition.partition import partition

__all__ = ["Chain", "Option", "Partition", "Stage", "partition", "partition_chain"]
