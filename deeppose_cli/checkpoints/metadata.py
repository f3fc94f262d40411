"""Metadata of a weights file: one JSON document, whose every value is checked when it is read.

Numbers from a file decide what is built, so each has bounds here. Needs no torch.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from deeppose_cli.config.defaults import BOX_SOURCES
from deeppose_cli.config.schema import RefinementPreset, StagePreset, from_mapping, quote
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.models.confidence import Calibration
from deeppose_cli.models.displacement import Displacement
from deeppose_cli.models.spec import CascadeSpec, StageSpec

FORMAT = 2
"""Version of the document. A reader refuses any other."""
MAX_STAGES = 16
MAX_SIDE = 1024
"""px of a network's input; the paper's is 220."""
MAX_CHANNELS = 4096
MAX_DIAMETERS = 100.0
"""Bound of σ and of displacements, in units of diam."""
MAX_CURVE = 1000.0
"""Bound of a calibration's numbers."""
MAX_NUMBER = 1e12
MAX_TEXT = 10_000
"""Characters."""


@dataclass(frozen=True)
class TrainingRecord:
    """How a stage was trained. None: not recorded."""

    data: str
    """Data set."""
    preset: str | None = None
    command: str | None = None
    deeppose_version: str | None = None
    """Version of this toolkit."""
    commit: str | None = None
    """Of the toolkit's source code."""
    epochs: int | None = None
    num_train_images: int | None = None
    validation_pdj: float | None = None
    """Best PDJ@0.2 on the data set's validation images, all joints."""


@dataclass(frozen=True)
class ModelMetadata:
    """A cascade without its weights, and how it was trained."""

    spec: CascadeSpec
    initial_box: str
    """Source of b⁰ in evaluation, as stage 1 was trained."""
    records: tuple[TrainingRecord, ...]
    """One per stage."""

    @property
    def data_name(self) -> str:
        """The data set of stage 1."""
        return self.records[0].data


@dataclass(frozen=True)
class _Document:
    format: int
    skeleton: dict[str, Any]
    square_initial_box: bool
    initial_box: str
    stages: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class _InitialStage:
    settings: StagePreset
    training: TrainingRecord
    calibration: Calibration | None = None


@dataclass(frozen=True, kw_only=True)
class _RefinementStage(_InitialStage):
    settings: RefinementPreset
    sigma: float
    displacement: Displacement


def to_json(metadata: ModelMetadata) -> str:
    """Write the metadata as a JSON document."""
    spec = metadata.spec
    stages = []
    for stage, record in zip(spec.stages, metadata.records, strict=True):
        values: dict[str, Any] = {"settings": asdict(stage.settings), "training": asdict(record)}
        if stage.displacement is not None:
            values |= {"sigma": stage.sigma, "displacement": asdict(stage.displacement)}
        if stage.calibration is not None:
            values["calibration"] = asdict(stage.calibration)
        stages.append(values)
    document = {
        "format": FORMAT,
        "skeleton": spec.skeleton.to_mapping(),
        "square_initial_box": spec.square_initial_box,
        "initial_box": metadata.initial_box,
        "stages": stages,
    }
    return json.dumps(document, ensure_ascii=False, allow_nan=False)


def from_json(text: str) -> ModelMetadata:
    """Read a JSON document. Raises ValueError, one line, for one that `to_json` does not write."""
    try:
        values = json.loads(text)
        _check_values(values, "the document")
    except RecursionError:
        raise ValueError("nested too deep") from None
    if isinstance(values, dict) and type(values.get("format")) is int and values["format"] != FORMAT:
        raise ValueError(f"format {values['format']}; this version of deeppose reads {FORMAT}")
    document = from_mapping(_Document, values, "the document")
    if not isinstance(document.skeleton.get("name"), str):
        raise ValueError(f"skeleton's name is {quote(document.skeleton.get('name'))}")
    try:
        skeleton = Skeleton.from_mapping(document.skeleton)
    except ValueError as error:
        raise ValueError(f"skeleton: {str(error)[:200]}") from None
    if document.initial_box not in BOX_SOURCES:
        raise ValueError(f"initial_box '{document.initial_box[:40]}'; valid: {', '.join(BOX_SOURCES)}")
    if not 1 <= len(document.stages) <= MAX_STAGES:
        raise ValueError(f"{len(document.stages)} stages; valid: 1 to {MAX_STAGES}")
    stages, records = [], []
    for number, stage_values in enumerate(document.stages, start=1):
        try:
            stage = from_mapping(_InitialStage if number == 1 else _RefinementStage, stage_values, "it")
            spec = StageSpec(stage.settings, calibration=stage.calibration)
            if isinstance(stage, _RefinementStage):
                spec = replace(spec, sigma=stage.sigma, displacement=stage.displacement)
            _check_bounds(spec, stage.training, len(skeleton))
        except ValueError as error:
            raise ValueError(f"stage {number}: {error}") from None
        stages.append(spec)
        records.append(stage.training)
    cascade = CascadeSpec(skeleton, tuple(stages), document.square_initial_box)
    return ModelMetadata(cascade, document.initial_box, tuple(records))


def _check_values(value: Any, name: str) -> None:
    """Raise ValueError that names the field of a number or a text that is out of all bounds."""
    for key, item in value.items() if isinstance(value, dict) else ():
        _check_values(item, key)
    for item in value if isinstance(value, list) else ():
        _check_values(item, name)
    if isinstance(value, str):
        valid = len(value) <= MAX_TEXT and value.isprintable()
    else:
        valid = not isinstance(value, int | float) or abs(value) < MAX_NUMBER  # NaN is not
    if not valid:
        raise ValueError(f"{ascii(name)[1:-1][:40]} is {quote(value)}")


def _check_bounds(spec: StageSpec, record: TrainingRecord, num_joints: int) -> None:
    settings = spec.settings
    numbers: list[tuple[str, float | None, float, float]] = [
        ("input_size", settings.input_size, 0, MAX_SIDE),
        ("head_channels", settings.head_channels, 0, MAX_CHANNELS),
        ("dropout", settings.dropout, 0, 1),
        ("sigma", spec.sigma, 1e-6, MAX_DIAMETERS),
        ("epochs", record.epochs, 0, MAX_NUMBER),
        ("num_train_images", record.num_train_images, 0, MAX_NUMBER),
        ("validation_pdj", record.validation_pdj, 0, 1),
    ]
    if (curve := spec.calibration) is not None:
        if len(curve.offsets) != num_joints:
            raise ValueError(f"calibration has {len(curve.offsets)} offsets; valid: {num_joints}")
        values = (curve.slope, curve.doubt_slope, *curve.offsets)
        numbers += [("calibration's number", value, -MAX_CURVE, MAX_CURVE) for value in values]
    if spec.displacement is not None:
        for name, pairs, least in (("mean", spec.displacement.mean, -MAX_DIAMETERS), ("std", spec.displacement.std, 0)):
            if len(pairs) != num_joints:
                raise ValueError(f"displacement's {name} has {len(pairs)} pairs; valid: {num_joints}")
            numbers += [(f"displacement's {name}", value, least, MAX_DIAMETERS) for pair in pairs for value in pair]
    for name, value, least, most in numbers:
        if value is not None and not least <= value <= most:
            raise ValueError(f"{name} {value:.12g}; valid: {least:g} to {most:g}")
    if not record.data:
        raise ValueError("training record names no data set")
