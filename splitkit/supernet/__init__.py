"""Weight-sharing networks, one per side, and the sub-networks taken out of them."""

from splitkit.supernet.extract import extract, extract_calibrated
from splitkit.supernet.link import Quantisation
from splitkit.supernet.plain_cut import CutNetwork, with_bottleneck
from splitkit.supernet.statistics import Calibration
from splitkit.supernet.subnetwork import SubNetwork
from splitkit.supernet.supernet import Supernet, calibrate, evaluation_batch

__all__ = [
    "Calibration",
    "CutNetwork",
    "Quantisation",
    "SubNetwork",
    "Supernet",
    "calibrate",
    "evaluation_batch",
    "extract",
    "extract_calibrated",
    "with_bottleneck",
]
