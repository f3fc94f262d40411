"""Read Lightning checkpoints: the trained stages of a run as a cascade, without Lightning and without pickled code."""

from __future__ import annotations

import hashlib
import json
import pickle
import shlex
import warnings
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeppose_cli.checkpoints.run_folder import RunFolder, StageFolder
from deeppose_cli.config.defaults import RUNS_ROOT
from deeppose_cli.config.schema import RefinementPreset, StagePreset, from_primitives
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.files import write_text
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.models.confidence import Calibration
from deeppose_cli.models.displacement import Displacement
from deeppose_cli.models.spec import CascadeSpec, StageSpec

if TYPE_CHECKING:
    from torch import Tensor

    from deeppose_cli.models.cascade import Cascade


def load_cascade(run: RunFolder, stages: int | None = None, device: str | None = None) -> Cascade:
    """Load the trained stages of a run (the first `stages`) as a cascade in evaluation mode, from `best.ckpt`.

    device: by default a GPU where there is one.
    """
    from deeppose_cli.models.regressor import build_cascade, build_stage, load_stage_weights

    spec, values = read_run_stages(run, stages)
    joints = len(spec.skeleton)
    return build_cascade(
        spec,
        [
            load_stage_weights(build_stage(stage, joints), state, str(run.stage(number).best))
            for number, (stage, state) in enumerate(zip(spec.stages, values, strict=True), start=1)
        ],
        device,
    )


def read_run_stages(run: RunFolder, stages: int | None = None) -> tuple[CascadeSpec, list[dict[str, Tensor]]]:
    """Read the trained stages of a run (the first `stages`): their specification, and the weights of each."""
    found = run.stages
    if stages is not None and stages > len(found):
        raise DeepPoseError(f"{run.path}: has {len(found)} trained stage(s), not {stages}; {how_to_train(stages, run)}")
    if not found:
        raise DeepPoseError(f"{run.path}: no trained stage; {how_to_train(1, run)}")
    specs, values, skeletons, square = [], [], [], False
    for folder in found[:stages]:
        checkpoint = read_checkpoint(folder.best)
        kept = checkpoint["hyper_parameters"]
        skeletons.append(stored_skeleton(folder.best, kept))
        if skeletons[-1].joints != skeletons[0].joints:
            raise DeepPoseError(f"{folder.best}: has skeleton '{skeletons[-1].name}', stage 1 '{skeletons[0].name}'")
        if folder.number == 1:
            initial = from_primitives(StagePreset, kept["settings"])
            # A network whose training stopped while its inputs were small predicts well at that size only.
            size = checkpoint.get("input_size", initial.input_size)
            if size != initial.input_size:
                initial = replace(initial, input_size=size, progressive_size="")
            specs.append(StageSpec(initial, calibration=read_calibration(folder)))
            square = kept["square_initial_box"]
        else:
            displacement = Displacement.from_pairs(kept["displacement_mean"], kept["displacement_std"])
            settings = from_primitives(RefinementPreset, kept["settings"])
            specs.append(StageSpec(settings, kept["sigma"], displacement, read_calibration(folder)))
            _check_lineage(folder, found[folder.number - 2])
        values.append(regressor_values(checkpoint))
    return CascadeSpec(skeletons[0], tuple(specs), square), values


def stored_skeleton(file: Path, hyper_parameters: Mapping[str, Any]) -> Skeleton:
    """The skeleton of a checkpoint. Raises DeepPoseError that names the file."""
    stored = hyper_parameters.get("skeleton")
    if not isinstance(stored, Mapping):
        raise DeepPoseError(f"{file}: holds no skeleton; this version reads checkpoints that hold one")
    try:
        return Skeleton.from_mapping(stored)
    except ValueError as error:
        raise DeepPoseError(f"{file}: {error}") from None


def read_calibration(folder: StageFolder) -> Calibration | None:
    """Read the calibration of best.ckpt; None where there is none. Raises DeepPoseError for a damaged file."""
    try:
        kept = json.loads(folder.calibration.read_text(encoding="utf-8"))
        offsets = tuple(map(float, kept["offsets"]))
        found = Calibration(float(kept["slope"]), float(kept["doubt_slope"]), offsets)
        return found if kept["checkpoint"] == fingerprint(folder.best) else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DeepPoseError(f"{folder.calibration}: not readable ({error}); may be deleted") from None


def write_calibration(folder: StageFolder, found: Calibration | None) -> None:
    """Write the calibration of best.ckpt, or delete it (None)."""
    if found is None:
        folder.calibration.unlink(missing_ok=True)
        return
    write_text(folder.calibration, json.dumps({**asdict(found), "checkpoint": fingerprint(folder.best)}) + "\n")


def regressor_values(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    """The weights of ψ in a checkpoint, by their names in `Regressor`."""
    prefix = "regressor."
    return {key.removeprefix(prefix): v for key, v in checkpoint["state_dict"].items() if key.startswith(prefix)}


def how_to_train(stage: int, run: RunFolder, data: str | None = None) -> str:
    """The command that trains a stage, for messages. data: the data set, where the run has no configuration yet."""
    words = ["deeppose", "train" if stage == 1 else "refine", "--stage", str(stage)]
    if data is not None:
        words += ["--data", data]
    if run.name != data:
        words += ["--run", run.name]
    if run.path.parent != RUNS_ROOT:
        words += ["--runs-root", str(run.path.parent)]
    return f"type: {shlex.join(words)}"


def fingerprint(file: Path) -> str:
    """Hash of a checkpoint's content."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def _check_lineage(stage: StageFolder, previous: StageFolder) -> None:
    """Raises DeepPoseError where the previous stage is not the one that this stage was trained after."""
    known = stage.read_config().previous_stage_sha256
    if known is not None and known != fingerprint(previous.best):
        raise DeepPoseError(
            f"{stage.path}: was trained after another {previous.path.name} than the one that is there now; type: "
            f"deeppose refine --stage {stage.number} --run {stage.path.parent.name} --overwrite"
        )


def read_checkpoint(file: Path) -> dict[str, Any]:
    """Read a checkpoint. Raises DeepPoseError for one that is missing, damaged, or not of this toolkit."""
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's warnings about a strange file; it is refused in one line
            checkpoint = torch.load(file, map_location="cpu", weights_only=True)
        if not {"hyper_parameters", "state_dict"} <= checkpoint.keys():
            raise KeyError("no hyper_parameters or state_dict")
    except (OSError, RuntimeError, EOFError, KeyError, ValueError, AttributeError, pickle.UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DeepPoseError(f"{file}: not a readable checkpoint ({reason[:120]})") from None
    return dict(checkpoint)
