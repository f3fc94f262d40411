"""What can be scored or asked for poses: a run, a weights file or an ONNX file. Which one a command means."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from deeppose_cli.checkpoints.metadata import ModelMetadata
from deeppose_cli.checkpoints.onnx_cascade import SUFFIX as ONNX_SUFFIX
from deeppose_cli.checkpoints.onnx_cascade import cascade_of, open_onnx
from deeppose_cli.checkpoints.pretrained import fitting, in_the_box, weights_path
from deeppose_cli.checkpoints.run_folder import RunFolder, list_runs, resolve_run
from deeppose_cli.checkpoints.weights_header import SUFFIX, read_header
from deeppose_cli.core.errors import DeepPoseError, UsageError

if TYPE_CHECKING:
    from deeppose_cli.models.cascade import Cascade

ENGINES = TORCH, ONNX = ("torch", "onnx")
"""What runs the networks."""


class Model(Protocol):
    """A trained cascade, before it is loaded."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str:
        """`run` or `weights`: the word for it in messages."""

    @property
    def folder(self) -> str:
        """Name of the folder, under the runs root, for what is written about it."""

    @property
    def data_name(self) -> str:
        """The data set that it was trained on."""

    @property
    def initial_box(self) -> str:
        """Where b⁰ comes from in evaluation, as stage 1 was trained."""

    @property
    def num_stages(self) -> int: ...
    def fingerprint(self, stages: int) -> str:
        """Of the weights of the first `stages` stages: the same wherever they lie."""

    def load(self, stages: int | None = None) -> Cascade:
        """The first `stages` stages. Raises DeepPoseError where there are fewer, or a file is bad."""


@dataclass(frozen=True)
class RunModel:
    """A run's best checkpoints."""

    run: RunFolder
    kind = "run"

    @property
    def name(self) -> str:
        return self.run.name

    @property
    def folder(self) -> str:
        return self.run.name

    @property
    def data_name(self) -> str:
        return self.run.data_name

    @property
    def initial_box(self) -> str:
        return self.run.initial_box

    @cached_property
    def num_stages(self) -> int:
        return len(self.run.stages)

    def fingerprint(self, stages: int) -> str:
        return _digest([stage.best for stage in self.run.stages[:stages]])

    def load(self, stages: int | None = None) -> Cascade:
        from deeppose_cli.checkpoints.lightning import load_cascade

        return load_cascade(self.run, stages)


@dataclass(frozen=True)
class _FileModel:
    """A file that holds a whole cascade, from the box or the user's."""

    name: str
    file: Path
    about: ModelMetadata
    kind = "weights"

    @property
    def folder(self) -> str:
        return f"weights-{self.name}"

    @property
    def data_name(self) -> str:
        return self.about.data_name

    @property
    def initial_box(self) -> str:
        return self.about.initial_box

    @property
    def num_stages(self) -> int:
        return len(self.about.records)

    def fingerprint(self, stages: int) -> str:
        return _digest([self.file])


@dataclass(frozen=True)
class WeightsModel(_FileModel):
    """A weights file."""

    def load(self, stages: int | None = None) -> Cascade:
        from deeppose_cli.checkpoints.weights_file import load_weights

        return load_weights(self.file, stages)


@dataclass(frozen=True)
class OnnxModel(_FileModel):
    """An ONNX file: no torch is imported for it."""

    session: Any

    def load(self, stages: int | None = None) -> Cascade:
        return cascade_of(self.session, self.about, stages)


def _digest(files: Sequence[Path]) -> str:
    found = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            while block := opened.read(2**20):
                found.update(block)
    return found.hexdigest()[:16]


def check_model_flags(run: str | None, weights: str | None) -> None:
    """Raises UsageError where both are given."""
    if run is not None and weights is not None:
        raise UsageError(f"--run {run} and --weights {weights} exclude each other; give one of them")


def resolve_model(
    runs_root: Path, run: str | None, weights: str | None, skeleton: str | None = None, engine: str | None = None
) -> Model:
    """What the flags mean; with neither, the newest run; where there is none, the weights in the box that fit the
    skeleton. `engine`: one of ENGINES; None: as the file is.

    Raises DeepPoseError, one line that says what to type, where nothing is there, or the file is bad.
    """
    check_model_flags(run, weights)
    if weights is not None:
        return _from_file(weights, engine)
    if run is None and not any(other.stages for other in list_runs(runs_root)):
        name = fitting(skeleton)
        if name in in_the_box(ONNX_SUFFIX if engine == ONNX else SUFFIX):
            return _from_file(name, engine)
        raise DeepPoseError(
            f"no trained run in {runs_root}; type: deeppose train --stage 1; or give weights with --weights FILE (this "
            f"installation has no {name} weights)"
        )
    found = resolve_run(runs_root, run)
    if engine == ONNX:
        raise UsageError(
            f"--engine {ONNX}: run {found.name} is none of its files; type: deeppose export --format onnx --run "
            f"{found.name}; then --weights {found.name}{ONNX_SUFFIX}"
        )
    return RunModel(found)


def _from_file(said: str, engine: str | None) -> Model:
    path = weights_path(said, suffix=ONNX_SUFFIX if engine == ONNX else SUFFIX)
    is_onnx = path.suffix == ONNX_SUFFIX
    if engine == ONNX and not is_onnx:
        raise UsageError(
            f"--engine {ONNX}: {said} is none of its files; type: deeppose export --format onnx --weights {said}"
        )
    if engine == TORCH and is_onnx:
        raise UsageError(f"--engine {TORCH}: {said} is for --engine {ONNX}")
    if is_onnx:
        session, about = open_onnx(path)
        return OnnxModel(path.stem, path, about, session)
    return WeightsModel(path.stem, path, read_header(path).description)
