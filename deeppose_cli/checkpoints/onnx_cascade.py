"""A cascade run by ONNX Runtime: the same crops and the same order of stages, without torch.

The file (`exporting/onnx.py` writes it) is one ONNX model for the whole cascade. Shape letters: M crops, K joints,
J = K in stages that see the whole person, as stage 1 does, and 1 in others (the joint of each crop).

- inputs: `images` (M, side, side, 3) uint8 RGB; with more than one stage also `stage` (), int64, from 1, and
  `joint_index` (M) int64, the joint of each crop, without effect where J = K;
- outputs: `keypoints` (M, J, 2) normalized coordinates; from networks with heatmaps also `peak_mass` (M, J) and
  `heatmaps` (M, J, H, H), logits;
- metadata `deeppose`: that of a weights file (`metadata.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.checkpoints.metadata import ModelMetadata, from_json
from deeppose_cli.checkpoints.weights_file import KEY, MAX_MESSAGE
from deeppose_cli.config.defaults import PEAK_REACH
from deeppose_cli.core.errors import DeepPoseError, one_line
from deeppose_cli.core.geometry import FloatArray
from deeppose_cli.models.cascade import Cascade, CropBatch, Stage, StageModel, StageOutput

MAX_FILE = 4 * 2**30
"""Bytes."""
INSTALL = "pip install onnxruntime"


class OnnxStage(StageModel):
    """ψ of one stage, run by ONNX Runtime."""

    def __init__(self, session: Any, stage: int) -> None:
        self.session, self.stage = session, stage
        self.inputs = {value.name for value in session.get_inputs()}
        self.has_heatmaps = any(value.name == "peak_mass" for value in session.get_outputs())

    def predict(self, crops: CropBatch) -> StageOutput:
        outputs = self._forward(crops, ["keypoints", *(["peak_mass"] if self.has_heatmaps else [])])
        return StageOutput(*(_own_joint(values, crops).astype(np.float64) for values in outputs))

    def predict_flipped(self, crops: CropBatch, mirrored: CropBatch, mirror: Sequence[int]) -> StageOutput:
        """As `Regressor.predict_flipped`."""
        if not self.has_heatmaps:
            return super().predict_flipped(crops, mirrored, mirror)
        (heatmaps,), (flipped,) = (self._forward(batch, ["heatmaps"]) for batch in (crops, mirrored))
        if crops.joint_index is None:
            flipped = flipped[:, list(mirror)]
        outputs = peak_coordinates((_to_shares(heatmaps) + _to_shares(flipped[..., ::-1])) / 2)
        return StageOutput(*(_own_joint(values, crops).astype(np.float64) for values in outputs))

    def _forward(self, crops: CropBatch, outputs: list[str]) -> list[NDArray[np.float32]]:
        joint_index = np.zeros(len(crops.pixels), np.int64) if crops.joint_index is None else crops.joint_index
        feed = {
            "images": np.ascontiguousarray(crops.pixels),
            "joint_index": joint_index,
            "stage": np.array(self.stage, np.int64),
        }
        values: list[NDArray[np.float32]] = self.session.run(
            outputs, {name: value for name, value in feed.items() if name in self.inputs}
        )
        return values


def _own_joint(values: FloatArray, crops: CropBatch) -> FloatArray:
    """(M, 1, …) of each crop's own joint → (M, …); stage 1 keeps all joints."""
    return values if crops.joint_index is None else values[:, 0]


def peak_coordinates(shares: FloatArray) -> tuple[FloatArray, FloatArray]:
    """`heads.peak_coordinates` in NumPy: (M, J, H, H) shares of 1 → coordinates (M, J, 2) and peak masses (M, J)."""
    side = shares.shape[-1]
    padded = np.pad(shares, ((0, 0), (0, 0), (1, 1), (1, 1)))
    smooth = np.asarray(sum(padded[..., y : y + side, x : x + side] for y in range(3) for x in range(3)))
    peak = smooth.reshape(*shares.shape[:2], -1).argmax(-1)
    cells = np.arange(side)
    rows, columns = (np.abs(cells - at[..., None]) <= PEAK_REACH for at in (peak // side, peak % side))
    near = shares * rows[..., :, None] * columns[..., None, :]
    peak_mass = near.sum((2, 3))
    near = near / peak_mass[..., None, None]
    centres = ((cells + 0.5) / side - 0.5).astype(shares.dtype)
    return np.stack([(near.sum(2) * centres).sum(-1), (near.sum(3) * centres).sum(-1)], axis=-1), peak_mass


def _to_shares(logits: FloatArray) -> FloatArray:
    weights = np.exp(logits - logits.max((2, 3), keepdims=True))
    return np.asarray(weights / weights.sum((2, 3), keepdims=True))


def open_onnx(file: Path) -> tuple[Any, ModelMetadata]:
    """Open a session, and read the metadata. Raises DeepPoseError, one line, for a file that is damaged or not of this
    toolkit, or where ONNX Runtime is not installed."""
    try:
        import onnxruntime as ort
    except ImportError:
        raise DeepPoseError(f"{file}: needs ONNX Runtime; to install it, type: {INSTALL}") from None
    refused = partial(_refused, file)
    try:
        if file.stat().st_size > MAX_FILE:
            raise refused(f"larger than {MAX_FILE} bytes")
        data = file.read_bytes()  # from bytes, so that it cannot name other files to be read
    except OSError as error:
        raise DeepPoseError(f"{file}: cannot be read ({error.strerror or error})") from None
    options = ort.SessionOptions()
    options.log_severity_level = 4
    available = ort.get_available_providers()
    providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in available]
    try:
        session = ort.InferenceSession(data, options, providers=providers)
        text = session.get_modelmeta().custom_metadata_map.get(KEY)
    except Exception as error:  # its own types are those of its C++ library
        raise refused(str(error)) from None
    if text is None:
        raise refused(f"its metadata has no '{KEY}'")
    try:
        metadata = from_json(text)
    except ValueError as error:
        raise refused(str(error)) from None
    inputs = {value.name for value in session.get_inputs()}
    expected = {"images"} if len(metadata.records) == 1 else {"images", "joint_index", "stage"}
    if inputs != expected or "keypoints" not in {value.name for value in session.get_outputs()}:
        raise refused("its inputs or outputs are not those of a cascade")
    return session, metadata


def build_onnx_cascade(session: Any, metadata: ModelMetadata, stages: int | None = None) -> Cascade:
    """Build the cascade of an open file (its first `stages` stages)."""
    spec = metadata.spec
    chosen = [
        Stage(OnnxStage(session, number), stage.settings.input_size, stage.sigma, stage.view, stage.calibration)
        for number, stage in enumerate(spec.stages[:stages], start=1)
    ]
    return Cascade(spec.skeleton, chosen, square_initial_box=spec.square_initial_box)


def _refused(file: Path, reason: str) -> DeepPoseError:
    reason = one_line(" ".join(reason.split()))[:MAX_MESSAGE]
    return DeepPoseError(f"{file}: not an ONNX file of deeppose, or damaged ({reason})")
