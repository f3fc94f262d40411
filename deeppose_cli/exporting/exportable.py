"""A cascade that can be exported: from a run folder or a weights file to one file that needs no run folder."""

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
from deeppose_cli.exporting.onnx import write_onnx
from deeppose_cli.media.images import Image, read_image
from deeppose_cli.models.regressor import Regressor, build_stage, load_stage_weights

PARITY_IMAGES = 100
"""Validation images on which an ONNX file is compared with torch, where the data set is prepared …"""
PARITY_SYNTHETIC = 20
"""… and synthetic people, where it is not."""


@dataclass(frozen=True, eq=False)
class ExportableCascade:
    """A cascade with the weights that the file will hold."""

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
        # The file of the initial weights goes without its folder.
        stages_of_file = tuple(
            replace(stage, settings=replace(stage.settings, init_weights=Path(stage.settings.init_weights).name))
            for stage in spec.stages
        )
        return cls(ModelMetadata(replace(spec, stages=stages_of_file), run.initial_box, records), regressors)

    @classmethod
    def from_file(cls, file: Path, stages: int | None = None) -> ExportableCascade:
        """Read a weights file (its first `stages` stages). Raises DeepPoseError for a bad file."""
        header, regressors = read_file_stages(file)
        metadata = header.metadata
        spec = replace(metadata.spec, stages=metadata.spec.stages[:stages])
        return cls(replace(metadata, spec=spec, records=metadata.records[:stages]), regressors[:stages])

    def save(self, file: Path, *, overwrite: bool = False) -> WeightsHeader:
        """Write a weights file. Raises DeepPoseError where it is there already or cannot be written."""
        return write_weights(
            file, self.metadata, [regressor.state_dict() for regressor in self.regressors], overwrite=overwrite
        )

    def save_onnx(self, file: Path, data_root: Path, *, overwrite: bool = False) -> str:
        """Write an ONNX file; returns how far its poses are from torch's. Raises DeepPoseError as `write_onnx`."""
        images, boxes, source = self._parity_images(data_root)
        largest = write_onnx(file, self.metadata, self.regressors, images, boxes, overwrite=overwrite)
        return f"largest distance from torch's poses: {largest:.5f} px, on {len(images)} {source}"

    def _parity_images(self, data_root: Path) -> tuple[list[Image], FloatArray, str]:
        name = self.metadata.data_name
        if registry.is_prepared(name, data_root):
            validation = registry.get_dataset(name, data_root).read(data_root)["validation"]
            rows = np.unique(np.linspace(0, len(validation) - 1, PARITY_IMAGES).astype(int))
            validation = validation.take(rows)
            boxes = initial_boxes(validation, self.metadata.initial_box, data_root / name).boxes
            return [read_image(file) for file in validation.files], boxes, f"validation images of {name}"
        people = [draw_person(np.random.default_rng(seed)).image for seed in range(PARITY_SYNTHETIC)]
        boxes = np.array([Box.of_image(image.shape[1], image.shape[0]) for image in people])
        return people, boxes, f"synthetic people, as {name} is not in {data_root}"


_FOLDER_FLAGS = ("--data-root", "--runs-root")


def _placeless_command(command: str) -> str:
    """The command without the folders of this machine."""
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
