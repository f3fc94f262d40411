"""`export()`: a trained cascade as one file that needs no run folder and runs no code."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from deeppose_cli.checkpoints.model_source import check_model_flags, check_stage, resolve_model, run_model
from deeppose_cli.checkpoints.run_folder import RunFolder, StageFolder, resolve_run
from deeppose_cli.config.defaults import DATA_ROOT, RUNS_ROOT
from deeppose_cli.core.errors import UsageError

if TYPE_CHECKING:
    from deeppose_cli.checkpoints.metadata import ModelMetadata, TrainingRecord
    from deeppose_cli.core.geometry import FloatArray
    from deeppose_cli.media.images import Image
    from deeppose_cli.models.regressor import Regressor

PARITY_IMAGES = 100
"""Validation images on which an ONNX file is compared with torch, where the data set is prepared …"""
PARITY_SYNTHETIC = 20
"""… and synthetic people, where it is not."""
FORMATS = SAFETENSORS, ONNX = ("safetensors", "onnx")


@dataclass(frozen=True)
class ExportedFile:
    """The file that an export has written."""

    path: Path
    metadata: ModelMetadata
    """What the file holds besides the weights."""
    parity: str = ""
    """ONNX only: how far its poses are from torch's."""


def export(
    *,
    run: str | None = None,
    weights: str | None = None,
    out: Path | str | None = None,
    format: str = SAFETENSORS,
    stages: int | None = None,
    commit: str | None = None,
    overwrite: bool = False,
    data_root: Path = DATA_ROOT,
    runs_root: Path = RUNS_ROOT,
) -> ExportedFile:
    """Write a cascade, in half precision, to one file.

    run, weights: the cascade, by the name of a run or as pretrained weights or a weights file; by default the newest
        run.
    out: by default the name of the run or the weights, in the current folder.
    format: `safetensors` or `onnx`. An ONNX file is compared with torch before it is kept: on validation images where
        its data set is prepared in `data_root`, else on synthetic people.
    stages: stages 1 to N only.
    commit: of the source code that trained the run, for the record.
    Raises UsageError for arguments that are not valid together, DeepPoseError for files that cannot be read or written.
    """
    check_model_flags(run, weights)
    if format not in FORMATS:
        raise UsageError(f"--format {format}: valid: {', '.join(FORMATS)}")
    model = run_model(resolve_run(runs_root, run)) if weights is None else resolve_model(runs_root, None, weights)
    check_stage(model, stages)
    file = Path(out or f"{model.name}.{format}")
    if file.suffix != f".{format}":
        raise UsageError(f"--out {file}: a name that ends in .{format} is valid")
    if file.exists() and not overwrite:
        raise UsageError(f"--out {file}: is there already; --overwrite replaces it")
    if commit is not None and not (commit.isprintable() and commit):
        raise UsageError("--commit: a commit's id is valid")
    if commit is not None and weights is not None:
        raise UsageError("--commit: not valid with --weights, whose commit is in the file")
    if model.onnx is not None:
        raise UsageError(f"--weights {weights}: is an ONNX file already; valid: a run, or a .{SAFETENSORS} file")

    from deeppose_cli.checkpoints.weights_file import read_file_stages, write_weights

    if model.run is not None:
        metadata, regressors = _read_run(model.run, stages, commit)
    else:
        header, regressors = read_file_stages(model.files[0])
        spec, records = header.metadata.spec, header.metadata.records
        cut = replace(spec, stages=spec.stages[:stages])
        metadata, regressors = replace(header.metadata, spec=cut, records=records[:stages]), regressors[:stages]
    if format == SAFETENSORS:
        write_weights(file, metadata, [regressor.state_dict() for regressor in regressors])
        return ExportedFile(file, metadata)

    from deeppose_cli.exporting.onnx import write_onnx

    images, boxes, source = _parity_images(metadata, data_root)
    largest = write_onnx(file, metadata, regressors, images, boxes)
    parity = f"largest distance from torch's poses: {largest:.5f} px, on {len(images)} {source}"
    return ExportedFile(file, metadata, parity)


def _read_run(run: RunFolder, stages: int | None, commit: str | None) -> tuple[ModelMetadata, list[Regressor]]:
    """The best checkpoints of a run (its first `stages` stages), in half precision where the loss is small.

    The metadata describe how each stage was trained, without the names of this machine's folders. `commit`: of the
    source code that trained them; imported stages have theirs. Raises DeepPoseError where a stage is missing.
    """
    from deeppose_cli.checkpoints.lightning import read_run_stages
    from deeppose_cli.checkpoints.metadata import ModelMetadata
    from deeppose_cli.checkpoints.weights_file import as_stored
    from deeppose_cli.models.regressor import build_stage, load_stage_weights

    spec, values = read_run_stages(run, stages)
    records, regressors, placeless = [], [], []
    for number, (stage, own) in enumerate(zip(spec.stages, values, strict=True), start=1):
        source = f"{run.path}: stage {number}"
        stored = {
            name: value if name.endswith("num_batches_tracked") else as_stored(value, name, source).float()
            for name, value in own.items()
        }
        regressors.append(load_stage_weights(build_stage(stage, len(spec.skeleton)), stored, source))
        records.append(_record(run.stage(number), commit))
        # The file of the initial weights goes without its folder.
        settings = replace(stage.settings, init_weights=Path(stage.settings.init_weights).name)
        placeless.append(replace(stage, settings=settings))
    return ModelMetadata(replace(spec, stages=tuple(placeless)), run.initial_box, tuple(records)), regressors


def _parity_images(metadata: ModelMetadata, data_root: Path) -> tuple[list[Image], FloatArray, str]:
    """Images with initial boxes (N, 4), and what they are."""
    import numpy as np

    from deeppose_cli.core.geometry import Box
    from deeppose_cli.data.datasets import registry
    from deeppose_cli.data.synthetic.generator import draw_person
    from deeppose_cli.detection.initial_boxes import initial_boxes
    from deeppose_cli.media.images import read_image

    name = metadata.data_name
    if registry.is_prepared(name, data_root):
        validation = registry.get_dataset(name, data_root).read(data_root)["validation"]
        rows = np.unique(np.linspace(0, len(validation) - 1, PARITY_IMAGES).astype(int))
        validation = validation.take(rows)
        boxes = initial_boxes(validation, metadata.initial_box, data_root / name).boxes
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
    from deeppose_cli.checkpoints.metadata import TrainingRecord

    config = stage.read_config()
    best = stage.best_pdj()
    return TrainingRecord(
        data=config.data,
        preset=config.preset,
        command=None if config.command is None else _placeless_command(config.command),
        deeppose_version=config.deeppose_version,
        commit=config.commit or (commit if config.imported is None else None),
        epochs=stage.epochs or None,
        num_train_images=config.num_train_images,
        validation_pdj=None if best is None else round(best, 4),
    )
