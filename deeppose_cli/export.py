"""A run's stages as one file that needs no run folder."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from deeppose_cli.checkpoints import read_stages
from deeppose_cli.plans import CascadePlan, StagePlan
from deeppose_cli.run_folder import RunFolder, StageFolder
from deeppose_cli.weights import write_weights
from deeppose_cli.weights_document import Description, TrainingRecord
from deeppose_cli.weights_file import WeightsHeader


def save_cascade(
    run: RunFolder, file: Path, stages: int | None = None, *, commit: str | None = None, overwrite: bool = False
) -> WeightsHeader:
    """Writes the best checkpoints of a run (its first `stages` stages) as a weights file; returns its header.

    The header tells how each stage was trained, without the names of this machine's folders: files are for others.
    `commit`: of the source code that trained them, for the record; of imported stages it is known. Raises DeepPoseError
    where a stage is missing, or the file is there already or cannot be written.
    """
    plan, values = read_stages(run, stages)
    records = tuple(_record(run.stage(number), commit) for number in range(1, len(values) + 1))
    return write_weights(file, Description(_placeless(plan), run.first_box, records), values, overwrite=overwrite)


_FOLDER_FLAGS = ("--data-root", "--runs-root")


def _placeless(plan: CascadePlan) -> CascadePlan:
    def stage(of: StagePlan) -> StagePlan:
        return replace(of, settings=replace(of.settings, start=Path(of.settings.start).name))

    return replace(plan, stages=tuple(map(stage, plan.stages)))


def _placeless_command(command: str) -> str:
    """The command as someone else would type it: files without their folders, no roots."""
    kept: list[str] = []
    words = iter(shlex.split(command))
    for word in words:
        if word in _FOLDER_FLAGS:
            next(words, None)
        elif not word.startswith(tuple(f"{flag}=" for flag in _FOLDER_FLAGS)):
            flag, equals, value = word.rpartition("=") if word.startswith("--") else ("", "", word)
            kept.append(f"{flag}{equals}{Path(value).name if '/' in value else value}")
    return shlex.join(kept)


def _record(stage: StageFolder, commit: str | None) -> TrainingRecord:
    config = stage.read_config()
    best = stage.best_pdj()

    def text(key: str) -> str | None:
        value: Any = config.get(key)
        return None if value is None else str(value)

    return TrainingRecord(
        data=str(config["data"]),
        preset=text("preset"),
        command=None if config.get("command") is None else _placeless_command(str(config["command"])),
        deeppose=text("deeppose"),
        commit=text("commit") or commit,
        epochs=stage.epochs or None,
        pictures=config.get("pictures"),
        validation_pdj=None if best is None else round(best, 4),
    )
