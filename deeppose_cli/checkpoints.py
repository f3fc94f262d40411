"""Reads checkpoints: the trained stages of a run as a cascade, without Lightning and without running a file's code."""

from __future__ import annotations

import hashlib
import pickle
import shlex
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeppose_cli.errors import DeepPoseError
from deeppose_cli.presets import RUNS_ROOT, initial_from_primitives, refinement_from_primitives
from deeppose_cli.run_folder import RunFolder, StageFolder
from deeppose_cli.skeleton import skeleton_by_name

if TYPE_CHECKING:
    from deeppose_cli.cascade import Cascade, Regressor


def load_cascade(run: RunFolder, stages: int | None = None, device: str | None = None) -> Cascade:
    """The trained stages of a run (the first `stages` of them) as a cascade in evaluation mode.

    Reads `best.ckpt` with `weights_only=True`: no code in a file is run. `device`: a GPU where there is one.
    """
    import torch

    from deeppose_cli.cascade import Cascade, Expected, Regressor, Stage

    found = run.stages
    if stages is not None and stages > len(found):
        raise DeepPoseError(f"{run.path}: has {len(found)} trained stage(s), not {stages}; {how_to_train(stages, run)}")
    if not found:
        raise DeepPoseError(f"{run.path}: no trained stage; {how_to_train(1, run)}")
    built, skeletons, square = [], [], False
    for folder in found[:stages]:
        checkpoint = read_checkpoint(folder.best)
        kept = checkpoint["hyper_parameters"]
        skeleton = skeleton_by_name(kept["skeleton"])
        if folder.number == 1:
            settings, kind, sigma, expected = initial_from_primitives(kept["settings"]), "shared", 1.0, None
            square = kept["square_first_box"]
        else:
            refinement = refinement_from_primitives(kept["settings"])
            settings, kind, sigma = refinement, refinement.regressor, kept["sigma"]
            expected = Expected(kept["displacement_mean"], kept["displacement_std"], sigma)
            _check_lineage(folder, found[folder.number - 2])
        regressor = Regressor(settings, len(skeleton), kind, expected)
        _load_weights(regressor, checkpoint["state_dict"], folder.best)
        built.append(Stage(regressor, settings.input_size, sigma))
        skeletons.append(skeleton)
        if skeleton != skeletons[0]:
            raise DeepPoseError(f"{folder.best}: has skeleton '{skeleton.name}', stage 1 '{skeletons[0].name}'")
    cascade = Cascade(skeletons[0], built, square_first_box=square)
    return cascade.to(device or ("cuda" if torch.cuda.is_available() else "cpu")).eval()


def how_to_train(stage: int, run: RunFolder, data: str | None = None) -> str:
    """The command for the user to type. `data`: the data set, where the run's own configuration does not tell it."""
    words = ["deeppose", "train" if stage == 1 else "refine", "--stage", str(stage)]
    if data is not None:
        words += ["--data", data]
    if run.name != data:
        words += ["--run", run.name]
    if run.path.parent != RUNS_ROOT:
        words += ["--runs-root", str(run.path.parent)]
    return f"type: {shlex.join(words)}"


def fingerprint(file: Path) -> str:
    """Tells one checkpoint from another."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def _check_lineage(stage: StageFolder, previous: StageFolder) -> None:
    """A stage corrects the very stage that it was trained after. Raises DeepPoseError where that one has changed."""
    known = stage.read_config().get("previous")
    if known is not None and known != fingerprint(previous.best):
        raise DeepPoseError(
            f"{stage.path}: was trained after another {previous.path.name} than the one that is there now; type: "
            f"deeppose refine --stage {stage.number} --run {stage.path.parent.name} --overwrite"
        )


def read_checkpoint(file: Path) -> dict[str, Any]:
    """Raises DeepPoseError that names a file which is missing, corrupt, or no checkpoint of this toolkit."""
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's remarks on a strange file; it is refused in one line
            checkpoint = torch.load(file, map_location="cpu", weights_only=True)
        if not {"hyper_parameters", "state_dict"} <= checkpoint.keys():
            raise KeyError("no hyper_parameters or state_dict")
    except (OSError, RuntimeError, EOFError, KeyError, ValueError, AttributeError, pickle.UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DeepPoseError(f"{file}: not a readable checkpoint ({reason[:120]})") from None
    return dict(checkpoint)


def _load_weights(regressor: Regressor, state: dict[str, Any], file: Path) -> None:
    prefix = "regressor."
    try:
        regressor.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
    except RuntimeError:
        raise DeepPoseError(f"{file}: its weights do not fit the network that its settings name") from None
