"""One rank of a small training, for torchrun to start.

    python -m tests.training.rank DIRECTORY [STEP]

Leaves its weights in DIRECTORY/RANK.pt, and what `fit_training` found beside them. With STEP rank 1 is killed after
that step of the first attempt.
"""

import os
import signal
import sys
from pathlib import Path

import torch

from splitkit.data import load_dataset
from splitkit.training import StepReport, TrainConfig, train
from splitkit.training.budget import fit_training
from splitkit.training.joining import joined
from tests.reliability.checkpoints import small_space

SPACE = small_space()
CONFIG = TrainConfig(
    steps=7, batch=64, learning_rate=5e-3, warmup_steps=2, random_subnetworks=3, sandwich_every=3,
)  # fmt: skip


def main() -> None:
    """Train; see above."""
    directory, kill_at = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None
    data = load_dataset("digits", SPACE)
    reports: list[StepReport] = []
    with joined("cpu") as ranks:

        def note(report: StepReport) -> None:
            reports.append(report)
            if report.step == kill_at and ranks.rank == 1 and not ranks.restarted:
                os.kill(os.getpid(), signal.SIGKILL)

        supernet = train(
            SPACE, data, CONFIG, directory / "supernet.pt",
            resume=ranks.restarted, device="cpu", report=note, ranks=ranks,
        )  # fmt: skip
        fitted = fit_training(1.0, SPACE, data, CONFIG, "cpu", ranks).steps
        body = {"weights": supernet.state_dict(), "losses": [r.loss for r in reports], "fitted": fitted}
        torch.save(body, directory / f"{ranks.rank}.pt")


if __name__ == "__main__":
    main()
