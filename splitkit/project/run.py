"""Where a run keeps its results."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

RUN_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"


class NamesRun(Protocol):
    """A project: the directory it is in, and the name of its run."""

    @property
    def root(self) -> Path: ...

    @property
    def run(self) -> str: ...


@dataclass(frozen=True)
class Run:
    """Files of `runs/NAME`. The latency table is beside the runs, since measurements serve all of them."""

    directory: Path

    @classmethod
    def of(cls, project: NamesRun) -> "Run":
        """The run a project names."""
        return cls(project.root / "runs" / project.run)

    @property
    def supernet(self) -> Path:
        """Checkpoint of `splitkit train`."""
        return self.directory / "supernet.pt"

    @property
    def pictures(self) -> Path:
        """What is known of a large data set's files: train, search and export open it with this. It outlives `forget`,
        since it is checked against the files each time.
        """
        return self.directory / "pictures.db"

    @property
    def renders(self) -> Path:
        """Images rendered of 3D models; it outlives `forget`, since each is checked against its model."""
        return self.directory / "renders"

    @property
    def pareto(self) -> Path:
        """Result of `splitkit search`."""
        return self.directory / "pareto.json"

    @property
    def journal(self) -> Path:
        """What the search asked and was answered."""
        return self.directory / "search.jsonl"

    @property
    def snapshot(self) -> Path:
        """The latency table as it was when the search began: a resumed or replayed search sees the same one."""
        return self.directory / "search-lut.db"

    @property
    def unfinished(self) -> Path:
        """Exists while a search has begun and not ended."""
        return self.directory / "search-unfinished"

    @property
    def corrections(self) -> Path:
        """What measured candidates taught the predictor."""
        return self.directory / "corrections.json"

    @property
    def lut(self) -> Path:
        """The latency table."""
        return self.directory.parent / "lut.db"

    @property
    def tuning(self) -> Path:
        """Parameters of kernels that `bench --tune` found: like the table, they serve all runs."""
        return self.directory.parent / "tuning.json"

    @property
    def export_tuning(self) -> Path:
        """Those that `export --tune` found: bundles of this run have them, its search and its table do not."""
        return self.directory / "tuning.json"

    @property
    def summary(self) -> Path:
        """What `splitkit demo` found."""
        return self.directory / "summary.json"

    @property
    def baselines(self) -> Path:
        """What the found split is worth beside other ways."""
        return self.directory / "baselines.json"

    @property
    def baselines_journal(self) -> Path:
        """What the searches among those ways asked and were answered."""
        return self.directory / "baselines.jsonl"

    @property
    def baselines_lut(self) -> Path:
        """The latency table those ways are predicted from: the search's, and what their own networks measured."""
        return self.directory / "baselines-lut.db"

    def baseline(self, identity: str) -> Path:
        """Checkpoint of a network that one of those ways deploys, trained on images outside the search slice."""
        return self.directory / "baselines" / f"{identity}.pt"

    def forget(self) -> None:
        """Take away the files that a run which ended has written, so that it is begun anew; all else stays."""
        tables = (self.snapshot, self.baselines_lut)
        logs = [table.with_name(table.name + end) for table in tables for end in ("", "-wal", "-shm")]
        for file in (
            self.summary, self.supernet, self.pareto, self.journal, *logs, self.unfinished,
            self.corrections, self.export_tuning, self.baselines, self.baselines_journal,
        ):  # fmt: skip
            file.unlink(missing_ok=True)
        for kept in (self.fine_tuned(""), self.baseline("")):
            shutil.rmtree(kept.parent, ignore_errors=True)

    def bundle(self, name: str) -> Path:
        """Directory of an exported bundle."""
        return self.directory / "bundles" / name

    def subnetwork(self, name: str) -> Path:
        """Checkpoint of an extracted, fine-tuned network."""
        return self.directory / "networks" / f"{name}.pt"

    def fine_tuned(self, identity: str) -> Path:
        """Checkpoint of a fine-tuning, done or under way; what it began with and how is in `identity`."""
        return self.directory / "fine-tuned" / f"{identity}.pt"

    def standalone(self, index: int) -> Path:
        """Checkpoint of a point of the search that was trained by itself."""
        return self.directory / "standalone" / f"{index}.pt"
