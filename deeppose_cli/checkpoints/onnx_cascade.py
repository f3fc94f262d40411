"""A cascade run by ONNX Runtime: the same crops and the same order of stages, without torch.

The file (`onnx_export.py` writes it) is one ONNX model for the whole cascade:

- inputs: `images` (M, side, side, 3) uint8 RGB; with more than one stage also `stage` (), int64, from 1, and
  `joint_index` (M) int64, each crop's own, which stage 1 does not look at;
- outputs, J = K in stage 1 and 1 later: `keypoints` (M, J, 2) norm; from networks with maps also `peak_mass` (M, J) and
  `heatmaps` (M, J, H, H);
- metadata `deeppose`: the document of a weights file (`weights_document.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.checkpoints.metadata import ModelMetadata, from_text
from deeppose_cli.checkpoints.weights_header import KEY, MAX_FILE, MAX_SAID
from deeppose_cli.config.defaults import PEAK_REACH
from deeppose_cli.core.errors import DeepPoseError, one_line
from deeppose_cli.core.geometry import FloatArray
from deeppose_cli.models.cascade import Cascade, CropBatch, Stage, StageOutput

SUFFIX = ".onnx"
INSTALL = "pip install 'deeppose-cli[onnx]'"


class OnnxStage:
    """ψ of one stage."""

    def __init__(self, session: Any, stage: int) -> None:
        self.session, self.stage = session, stage
        self.inputs = {each.name for each in session.get_inputs()}
        self.has_heatmaps = any(each.name == "peak_mass" for each in session.get_outputs())

    def answer(self, cut: CropBatch) -> StageOutput:
        said = self._run(cut, ["keypoints", *(["peak_mass"] if self.has_heatmaps else [])])
        return self._told(said[0], said[1] if self.has_heatmaps else None, cut)

    def predict_flipped(self, cut: CropBatch, mirrored: CropBatch, mirror: Sequence[int]) -> StageOutput:
        """As Psi says; where there are maps, by the mean of both distributions, as `Regressor.predict_flipped`."""
        wanted = "heatmaps" if self.has_heatmaps else "keypoints"
        (one,), (other,) = self._run(cut, [wanted]), self._run(mirrored, [wanted])
        if cut.joints is None:
            other = other[:, list(mirror)]
        if not self.has_heatmaps:
            return self._told((one + other * np.array([-1, 1], other.dtype)) / 2, None, cut)
        return self._told(*peak((_shares(one) + _shares(other[..., ::-1])) / 2), cut)

    def single_threaded(self) -> AbstractContextManager[int]:
        return nullcontext(1)  # ONNX Runtime has threads of its own

    def _run(self, cut: CropBatch, wanted: list[str]) -> list[NDArray[np.float32]]:
        joints = np.zeros(len(cut.pixels), np.int64) if cut.joints is None else cut.joints
        given = {
            "images": np.ascontiguousarray(cut.pixels),
            "joint_index": joints,
            "stage": np.array(self.stage, np.int64),
        }
        found: list[NDArray[np.float32]] = self.session.run(
            wanted, {name: value for name, value in given.items() if name in self.inputs}
        )
        return found

    @staticmethod
    def _told(coordinates: NDArray[Any], peak_mass: NDArray[Any] | None, cut: CropBatch) -> StageOutput:
        own = slice(None) if cut.joints is None else 0
        return StageOutput(
            coordinates[:, own].astype(np.float64), None if peak_mass is None else peak_mass[:, own].astype(np.float64)
        )


def peak(share: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(M, J, H, H) shares of 1 → (M, J, 2) norm and (M, J): the mean around each map's peak, and what lies there; as
    `heads.peak_answer`."""
    side = share.shape[-1]
    padded = np.pad(share, ((0, 0), (0, 0), (1, 1), (1, 1)))
    smooth = sum(padded[..., y : y + side, x : x + side] for y in range(3) for x in range(3))
    place = np.asarray(smooth).reshape(*share.shape[:2], -1).argmax(-1)
    steps = np.arange(side)
    rows, columns = (np.abs(steps - at[..., None]) <= PEAK_REACH for at in (place // side, place % side))
    near = share * rows[..., :, None] * columns[..., None, :]
    peak_mass = near.sum((2, 3))
    near = near / peak_mass[..., None, None]
    cells = ((steps + 0.5) / side - 0.5).astype(share.dtype)
    return np.stack([(near.sum(2) * cells).sum(-1), (near.sum(3) * cells).sum(-1)], axis=-1), peak_mass


def _shares(logits: FloatArray) -> FloatArray:
    weights = np.exp(logits - logits.max((2, 3), keepdims=True))
    return np.asarray(weights / weights.sum((2, 3), keepdims=True))


def open_onnx(file: Path) -> tuple[Any, ModelMetadata]:
    """The session, and what the file says of itself. Raises DeepPoseError, one line, for a file that is damaged, is
    none of this toolkit, or where ONNX Runtime is not installed."""
    try:
        import onnxruntime as ort
    except ImportError:
        raise DeepPoseError(f"{file}: needs ONNX Runtime; to have it, type: {INSTALL}") from None
    refused = partial(_refused, file)
    try:
        if file.stat().st_size > MAX_FILE:
            raise refused(f"larger than {MAX_FILE} bytes")
        data = file.read_bytes()  # from bytes, so that it cannot name other files to be read
    except OSError as error:
        raise DeepPoseError(f"{file}: cannot be read ({error.strerror or error})") from None
    options = ort.SessionOptions()
    options.log_severity_level = 4
    there = ort.get_available_providers()
    wanted = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in there]
    try:
        session = ort.InferenceSession(data, options, providers=wanted)
        text = session.get_modelmeta().custom_metadata_map.get(KEY)
    except Exception as error:  # its own types are those of its C++ library
        raise refused(str(error)) from None
    if text is None:
        raise refused(f"its metadata has no '{KEY}'")
    try:
        about = from_text(text)
    except ValueError as error:
        raise refused(str(error)) from None
    names = {each.name for each in session.get_inputs()}
    expected = {"images"} if len(about.records) == 1 else {"images", "joint_index", "stage"}
    if names != expected or "keypoints" not in {each.name for each in session.get_outputs()}:
        raise refused("its inputs or outputs are not those of a cascade")
    return session, about


def cascade_of(session: Any, about: ModelMetadata, stages: int | None = None) -> Cascade:
    """The first `stages` stages of an opened file."""
    plan = about.plan
    found = [
        Stage(OnnxStage(session, number), stage.settings.input_size, stage.sigma, stage.calibration)
        for number, stage in enumerate(plan.stages[:stages], start=1)
    ]
    return Cascade(plan.skeleton, found, square_initial_box=plan.square_initial_box)


def _refused(file: Path, reason: str) -> DeepPoseError:
    said = one_line(" ".join(reason.split()))[:MAX_SAID]
    return DeepPoseError(f"{file}: not an ONNX file of deeppose, or damaged ({said})")
