"""A trained cascade for others: from a run's folder or a weights file to one file that needs no run folder."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from deeppose_cli.checkpoints.lightning import read_run_stages
from deeppose_cli.checkpoints.metadata import ModelMetadata, TrainingRecord
from deeppose_cli.checkpoints.run_folder import RunFolder, StageFolder
from deeppose_cli.checkpoints.weights_file import as_stored, read_file_stages, write_weights
from deeppose_cli.checkpoints.weights_header import WeightsHeader
from deeppose_cli.core.geometry import Box, FloatArray
from deeppose_cli.data.datasets import registry
from deeppose_cli.data.synthetic.generator import draw_person
from deeppose_cli.detection.initial_boxes import initial_boxes
from deeppose_cli.exporting.onnx import ParityReport, write_onnx
from deeppose_cli.media.images import Image, read_image
from deeppose_cli.models.build import build_stage, load_stage_weights
from deeppose_cli.models.regressor import Regressor
from deeppose_cli.models.spec import CascadeSpec, StageSpec

CHECKED_ON = 100
"""Validation images that an ONNX file is compared with torch on, where the data set is here."""
DRAWN = 20
"""And drawn people, where it is not."""


@dataclass(frozen=True, eq=False)
class ExportableCascade:
    """A cascade as it is written: its weights are those that the file will hold."""

    metadata: ModelMetadata
    regressors: list[Regressor]

    @classmethod
    def from_run(cls, run: RunFolder, stages: int | None = None, *, commit: str | None = None) -> ExportableCascade:
        """Read the best checkpoints of a run (its first `stages` stages), in half precision where the loss is small.

        The metadata describe how each stage was trained, without the names of this machine's folders. `commit`: of the
        source code that trained them, for the record; imported stages have theirs. Raises DeepPoseError where a stage
        is missing.
        """
        spec, values = read_run_stages(run, stages)
        records = tuple(_record(run.stage(number), commit) for number in range(1, len(values) + 1))
        regressors = []
        for number, (stage, own) in enumerate(zip(spec.stages, values, strict=True), start=1):
            source = f"{run.path}: stage {number}"
            stored = {
                name: value if name.endswith("num_batches_tracked") else as_stored(value, name, source).float()
                for name, value in own.items()
            }
            regressors.append(load_stage_weights(build_stage(stage, len(spec.skeleton)), stored, source))
        return cls(ModelMetadata(_placeless(spec), run.initial_box, records), regressors)

    @classmethod
    def from_file(cls, file: Path, stages: int | None = None) -> ExportableCascade:
        """A weights file's first `stages` stages. Raises DeepPoseError for a bad file."""
        header, regressors = read_file_stages(file)
        metadata = header.metadata
        spec = replace(metadata.spec, stages=metadata.spec.stages[:stages])
        return cls(replace(metadata, spec=spec, records=metadata.records[:stages]), regressors[:stages])

    def save(self, file: Path, *, overwrite: bool = False) -> WeightsHeader:
        """As a weights file. Raises DeepPoseError where it is there already or cannot be written."""
        return write_weights(file, self.metadata, [each.state_dict() for each in self.regressors], overwrite=overwrite)

    def save_onnx(self, file: Path, data_root: Path, *, overwrite: bool = False) -> tuple[ParityReport, str]:
        """As an ONNX file, compared with torch on validation images of its data set, if these lie in `data_root`,
        else on drawn people; and which of the two. Raises DeepPoseError as `write_onnx` does."""
        images, boxes, said = self._parity_images(data_root)
        return write_onnx(file, self.metadata, self.regressors, images, boxes, overwrite=overwrite), said

    def _parity_images(self, data_root: Path) -> tuple[list[Image], FloatArray, str]:
        name = self.metadata.data_name
        if name in registry.DATASETS and registry.is_prepared(name, data_root):
            held_back = registry.get_dataset(name).read(data_root)["validation"]
            held_back = held_back.take(np.unique(np.linspace(0, len(held_back) - 1, CHECKED_ON).astype(int)))
            boxes = initial_boxes(held_back, self.metadata.initial_box, data_root / name).boxes
            return [read_image(file) for file in held_back.files], boxes, f"validation images of {name}"
        drawn = [draw_person(np.random.default_rng(seed)).image for seed in range(DRAWN)]
        boxes = np.array([Box.of_image(image.shape[1], image.shape[0]) for image in drawn])
        return drawn, boxes, f"drawn people, as {name} is not in {data_root}"


_FOLDER_FLAGS = ("--data-root", "--runs-root")


def _placeless(spec: CascadeSpec) -> CascadeSpec:
    def stage(of: StageSpec) -> StageSpec:
        return replace(of, settings=replace(of.settings, init_weights=Path(of.settings.init_weights).name))

    return replace(spec, stages=tuple(map(stage, spec.stages)))


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

    return TrainingRecord(
        data=config.data,
        preset=config.preset,
        command=None if config.command is None else _placeless_command(config.command),
        deeppose_version=config.deeppose_version,
        commit=config.commit or commit,
        epochs=stage.epochs or None,
        num_train_images=config.num_train_images,
        validation_pdj=None if best is None else round(best, 4),
    )
