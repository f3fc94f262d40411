"""Trained models that can predict (a run, a weights file, an ONNX file), and which of them a command uses.

A model that is not there is reported before NumPy is imported.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeppose_cli.checkpoints import pretrained
from deeppose_cli.checkpoints.pretrained import ONNX_SUFFIX, SUFFIX
from deeppose_cli.checkpoints.run_folder import RunFolder, list_runs, resolve_run
from deeppose_cli.core.errors import DeepPoseError, UsageError

if TYPE_CHECKING:
    from deeppose_cli.checkpoints.metadata import ModelMetadata
    from deeppose_cli.models.cascade import Cascade

ENGINES = TORCH, ONNX = ("torch", "onnx")
"""What runs the networks."""
SYNTHETIC_DATA = ("demo",)
"""Data sets without real images: a run that was trained on one is used only where its name is given."""


class DefaultModel(StrEnum):
    """Which model is used where neither a run nor weights are named; the pretrained weights where there is no run."""

    FINISHED_RUN = "the newest finished run that was trained on real images"
    NEWEST_RUN = "the newest run"
    PRETRAINED = "the pretrained weights"


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A trained cascade that is not loaded yet."""

    name: str
    kind: str
    """`run` or `weights`: the word for it in messages."""
    origin: str
    """What it is and where it comes from, for the first line of a command."""
    folder: str
    """Name of the folder under the runs root for its scores."""
    data_name: str
    """The data set that it was trained on."""
    initial_box: str
    """Source of the initial box in evaluation, as stage 1 was trained."""
    num_stages: int
    files: tuple[Path, ...]
    """One for each stage of a run, or one for all stages."""
    run: RunFolder | None = None
    onnx: tuple[Any, ModelMetadata] | None = None
    """Session and metadata of an ONNX file."""

    def fingerprint(self, stages: int) -> str:
        """Hash of the weights of the first `stages` stages; the same in every folder."""
        digest = hashlib.sha256()
        for file in self.files[:stages]:
            with file.open("rb") as opened:
                hashlib.file_digest(opened, lambda: digest)
        return digest.hexdigest()[:16]

    def load(self, stages: int | None = None) -> Cascade:
        """Load the first `stages` stages; an ONNX file loads without torch.

        Raises DeepPoseError where there are fewer stages, or a file is bad.
        """
        if self.onnx is not None:
            from deeppose_cli.checkpoints.onnx_cascade import build_onnx_cascade

            return build_onnx_cascade(*self.onnx, stages)
        if self.run is not None:
            from deeppose_cli.checkpoints.lightning import load_cascade

            return load_cascade(self.run, stages)
        from deeppose_cli.checkpoints.weights_file import load_weights

        return load_weights(self.files[0], stages)


def check_model_flags(run: str | None, weights: str | None, engine: str | None = None) -> None:
    """Raises UsageError where both are given, or the weights are not there."""
    if run is not None and weights is not None:
        raise UsageError(f"--run {run} and --weights {weights} exclude each other; give one of them")
    if weights is not None:
        pretrained.weights_path(weights, suffix=_suffix(engine))


def resolve_model(
    runs_root: Path,
    run: str | None = None,
    weights: str | None = None,
    engine: str | None = None,
    *,
    default: DefaultModel = DefaultModel.NEWEST_RUN,
    prefer_onnx: bool = False,
) -> TrainedModel:
    """Choose the model: the named run or weights, else what `default` says, else the pretrained weights.

    engine: one of ENGINES; None: that of the file. prefer_onnx: None is ONNX for pretrained weights, where ONNX Runtime
    is installed; importing torch takes seconds. Raises DeepPoseError, one line that says what to type, where there
    is no model or its file is bad.
    """
    check_model_flags(run, weights, engine)
    found = None if weights is not None else _find_run(runs_root, run, default)
    if found is None:
        name = weights or pretrained.DEFAULT
        if weights is None and name not in pretrained.pretrained_files(_suffix(engine)):
            wanted = "finished run on real images" if default is DefaultModel.FINISHED_RUN else "trained run"
            raise DeepPoseError(
                f"no {wanted} in {runs_root}, and no {name} weights in this installation; give --run NAME or "
                "--weights FILE, or type: deeppose train --stage 1"
            )
        if engine is None and prefer_onnx and name in pretrained.pretrained_files(ONNX_SUFFIX):
            engine = ONNX if find_spec("onnxruntime") else None
        return _weights_model(name, engine)
    if engine == ONNX:
        raise UsageError(
            f"--engine {ONNX}: run {found.name} is not an ONNX file; type: deeppose export --format onnx --run "
            f"{found.name}; then --weights {found.name}{ONNX_SUFFIX}"
        )
    return run_model(found)


def _suffix(engine: str | None) -> str:
    return ONNX_SUFFIX if engine == ONNX else SUFFIX


def model_line(model: TrainedModel, stages: int | None = None) -> str:
    """The first line of a command: the model, where it comes from, and the flag for another one. `stages`: those that
    are used."""
    used = model.num_stages if stages is None else stages
    count = f"{used}{f' of {model.num_stages}' if used < model.num_stages else ''} stage{'s'[: model.num_stages > 1]}"
    other = "pretrained weights: --weights NAME" if model.kind == "run" else "a run: --run NAME"
    return f"model: {model.origin} ({count}); {other}"


def check_stage(model: TrainedModel, stage: int | None) -> int:
    """How many stages are used: up to `stage`, or all. Raises UsageError where the model has fewer."""
    count = model.num_stages
    if stage is not None and not 1 <= stage <= count:
        raise UsageError(
            f"--stage {stage}: {model.kind} {model.name} has {count} trained stage(s); valid: 1 to {count}"
        )
    return stage or count


def _find_run(runs_root: Path, name: str | None, default: DefaultModel) -> RunFolder | None:
    """None: no run is to be used. Raises DeepPoseError for a name that no run has."""
    if name is not None:
        return resolve_run(runs_root, name)
    if default is DefaultModel.PRETRAINED:
        return None
    finished = default is DefaultModel.FINISHED_RUN
    runs = (run for run in list_runs(runs_root) if run.stages)
    return next((run for run in runs if not finished or _is_finished_on_real_images(run)), None)


def _is_finished_on_real_images(run: RunFolder) -> bool:
    try:
        return all(stage.is_finished for stage in run.started) and run.data_name not in SYNTHETIC_DATA
    except (DeepPoseError, OSError, KeyError, TypeError, ValueError):  # a damaged run is not chosen by itself
        return False


def run_model(run: RunFolder) -> TrainedModel:
    """The best checkpoints of a run. Raises DeepPoseError where its configuration cannot be read."""
    files = tuple(stage.best for stage in run.stages)
    return TrainedModel(
        name=run.name,
        kind="run",
        origin=f"run {run.name} in {run.path.parent}",
        folder=run.name,
        data_name=run.data_name,
        initial_box=run.initial_box,
        num_stages=len(files),
        files=files,
        run=run,
    )


def _weights_model(name: str, engine: str | None) -> TrainedModel:
    path = pretrained.weights_path(name, suffix=_suffix(engine))
    is_onnx = path.suffix == ONNX_SUFFIX
    if engine == ONNX and not is_onnx:
        raise UsageError(
            f"--engine {ONNX}: {name} is not an ONNX file; type: deeppose export --format onnx --weights {name}"
        )
    if engine == TORCH and is_onnx:
        raise UsageError(f"--engine {TORCH}: {name} is for --engine {ONNX}")
    onnx = None
    if is_onnx:
        from deeppose_cli.checkpoints.onnx_cascade import open_onnx

        onnx = open_onnx(path)
        metadata = onnx[1]
    else:
        from deeppose_cli.checkpoints.weights_file import read_header

        metadata = read_header(path).metadata
    is_pretrained = path.parent == pretrained.FOLDER
    return TrainedModel(
        name=path.stem,
        kind="weights",
        origin=f"pretrained weights {path.stem}" if is_pretrained else f"weights {path}",
        folder=f"weights-{path.stem}",
        data_name=metadata.data_name,
        initial_box=metadata.initial_box,
        num_stages=len(metadata.records),
        files=(path,),
        onnx=onnx,
    )
