"""The folder that a run leaves behind, and who may write to it. Needs no torch.

<runs root>/<run>/stage<N>/config.yaml                  everything needed to repeat it
<runs root>/<run>/stage<N>/checkpoints/best.ckpt        weights with the best validation PDJ
<runs root>/<run>/stage<N>/checkpoints/last.ckpt        whole state of the training; --resume continues from it
<runs root>/<run>/stage<N>/metrics.csv                  a row for every validation
<runs root>/<run>/stage<N>/loggers.json                 the other loggers, with which --resume goes on
<runs root>/<run>/stage<N>/calibration.json             confidences from heatmap peaks, and the best.ckpt they belong to
<runs root>/<run>/stage<N>/previous_stage.npz           N > 1: errors and validation poses of the stage before
"""

from __future__ import annotations

import csv
import math
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import yaml

from deeppose_cli.config.run import StageRunConfig
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.files import lock, write_text

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_STAGE = re.compile(r"stage([1-9][0-9]*)")


@dataclass(frozen=True)
class StageFolder:
    """One stage of a run."""

    path: Path
    number: int

    @property
    def config_file(self) -> Path:
        return self.path / "config.yaml"

    @property
    def best(self) -> Path:
        return self.path / "checkpoints" / "best.ckpt"

    @property
    def last(self) -> Path:
        return self.path / "checkpoints" / "last.ckpt"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.csv"

    @property
    def loggers(self) -> Path:
        return self.path / "loggers.json"

    @property
    def calibration(self) -> Path:
        return self.path / "calibration.json"

    @property
    def previous_stage(self) -> Path:
        return self.path / "previous_stage.npz"

    def read_config(self) -> StageRunConfig:
        """Raises DeepPoseError that names the file, and the key that is unknown, missing or of another type."""
        try:
            return StageRunConfig.from_mapping(yaml.safe_load(self.config_file.read_text(encoding="utf-8")))
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise DeepPoseError(f"{self.config_file}: not readable ({str(error).splitlines()[0]})") from None
        except ValueError as error:
            raise DeepPoseError(f"{self.config_file}: not the configuration of a training ({error})") from None

    def write_config(self, config: StageRunConfig) -> None:
        (self.path / "checkpoints").mkdir(parents=True, exist_ok=True)
        write_text(self.config_file, yaml.safe_dump(config.to_mapping(), sort_keys=False, allow_unicode=True))

    def history(self) -> list[dict[str, str]]:
        """Rows of metrics.csv, oldest first; none where there is no such file."""
        if not self.metrics.is_file():
            return []
        with self.metrics.open(newline="") as file:
            return list(csv.DictReader(file))

    @property
    def epochs(self) -> int:
        """How many are done, by metrics.csv. Raises ValueError for a damaged one."""
        rows = self.history()
        return int(rows[-1]["epoch"]) if rows else 0

    @property
    def is_finished(self) -> bool:
        """Whether the training has done its last epoch; an imported stage has. Raises as `read_config` and `epochs`."""
        config = self.read_config()
        return self.best.is_file() and (config.imported is not None or self.epochs >= config.max_epochs)

    def best_pdj(self) -> float | None:
        """Of `best.ckpt`, on validation images: the highest at the input size of the last validation. None before
        the first. Raises ValueError for a damaged metrics.csv."""
        rows = self.history()
        sizes = [row.get("input_size") for row in rows]
        scores = [float(row["val_pdj"]) for row, size in zip(rows, sizes, strict=True) if size == sizes[-1]]
        return max((score for score in scores if not math.isnan(score)), default=None)

    def lock(self) -> AbstractContextManager[None]:
        """Hold the folder for one training.

        Raises DeepPoseError when another training holds it, or when the folder cannot be written.
        """
        in_use = f"{self.path}: in use by another training; wait for it, or give this one another name with --run"
        return lock(self.path / ".lock", in_use, hint="; --runs-root takes another")


@dataclass(frozen=True)
class RunFolder:
    """One run: the stages of one cascade."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    def stage(self, number: int) -> StageFolder:
        return StageFolder(self.path / f"stage{number}", number)

    @property
    def stages(self) -> list[StageFolder]:
        """Stages 1, 2, … that have weights, up to the first that has none."""
        found: list[StageFolder] = []
        while (stage := self.stage(len(found) + 1)).best.is_file():
            found.append(stage)
        return found

    @property
    def started(self) -> list[StageFolder]:
        """Every stage folder with a configuration, trained to its end or not."""
        if not self.path.is_dir():
            return []
        numbers = [int(match[1]) for entry in self.path.iterdir() if (match := _STAGE.fullmatch(entry.name))]
        return [stage for stage in map(self.stage, sorted(numbers)) if stage.config_file.is_file()]

    @property
    def data_name(self) -> str:
        return self.stage(1).read_config().data

    @property
    def initial_box(self) -> str:
        """Source of b⁰ in evaluation, as stage 1 was trained."""
        return self.stage(1).read_config().box

    @property
    def changed(self) -> float:
        """When a checkpoint was last written, seconds since the epoch."""
        files = [file for stage in self.started for file in (stage.best, stage.last, stage.config_file)]
        return max((file.stat().st_mtime for file in files if file.is_file()), default=0.0)


def run_folder(runs_root: Path, name: str) -> RunFolder:
    """The folder of a run, there or not. Raises UsageError for a name that would lead out of the root."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"--run {name}: a name of letters, digits, '.', '_' and '-' is valid")
    return RunFolder(runs_root / name)


def list_runs(runs_root: Path) -> list[RunFolder]:
    """Every run under the root, newest first."""
    if not runs_root.is_dir():
        return []
    runs = [RunFolder(entry) for entry in runs_root.iterdir() if entry.is_dir()]
    return sorted((run for run in runs if run.started), key=lambda run: -run.changed)


def resolve_run(runs_root: Path, name: str | None) -> RunFolder:
    """The run of that name, or the newest that has weights. Raises DeepPoseError that says what to type."""
    if name is not None:
        run = run_folder(runs_root, name)
        if not run.stages:
            known = ", ".join(other.name for other in list_runs(runs_root) if other.stages)
            raise DeepPoseError(
                f"--run {name}: no trained stage in {run.path}; "
                + (f"runs: {known}" if known else f"type: deeppose train --stage 1 --data NAME --run {name}")
            )
        return run
    trained = [run for run in list_runs(runs_root) if run.stages]
    if not trained:
        raise DeepPoseError(f"no trained run in {runs_root}; type: deeppose train --stage 1")
    return trained[0]
