"""Metadata of a weights file: one JSON document, whose every value is checked when it is read.

Numbers from a file decide what is built, so each has bounds here. Needs no torch.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from deeppose_cli.config.defaults import BOX_SOURCES
from deeppose_cli.config.schema import RefinementPreset, StagePreset
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.models.confidence import Calibration
from deeppose_cli.models.displacement import Displacement
from deeppose_cli.models.spec import CascadeSpec, StageSpec

FORMAT = 1
"""Version of the document. A reader refuses any other."""
MAX_STAGES = 16
MAX_SIDE = 1024
"""px of a network's input; the paper's is 220."""
MAX_CHANNELS = 4096
MAX_DIAMETERS = 100.0
"""Bound of σ and of displacements, in units of diam."""
MAX_CURVE = 1000.0
"""Bound of a calibration's slope and offset."""
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
    skeleton: Any
    square_initial_box: bool
    initial_box: str
    stages: tuple[Any, ...]


@dataclass(frozen=True)
class _InitialStage:
    settings: StagePreset
    training: TrainingRecord
    calibration: Calibration | None = None


@dataclass(frozen=True)
class _RefinementStage:
    settings: RefinementPreset
    training: TrainingRecord
    sigma: float
    displacement: Displacement
    calibration: Calibration | None = None


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
    except RecursionError:
        raise ValueError("nested too deep") from None
    if isinstance(values, dict) and type(values.get("format")) is int and values["format"] != FORMAT:
        raise ValueError(f"format {_short(values['format'])}; this version of deeppose reads {FORMAT}")
    document: _Document = _restore(_Document, values, "the document")
    skeleton = _read_skeleton(document.skeleton)
    if document.initial_box not in BOX_SOURCES:
        raise ValueError(f"initial_box '{document.initial_box[:40]}'; valid: {', '.join(BOX_SOURCES)}")
    if not 1 <= len(document.stages) <= MAX_STAGES:
        raise ValueError(f"{len(document.stages)} stages; valid: 1 to {MAX_STAGES}")
    stages, records = [], []
    for number, stage_values in enumerate(document.stages, start=1):
        try:
            if number == 1:
                first: _InitialStage = _restore(_InitialStage, stage_values, "it")
                spec, record = StageSpec(first.settings, calibration=first.calibration), first.training
            else:
                later: _RefinementStage = _restore(_RefinementStage, stage_values, "it")
                spec = StageSpec(later.settings, later.sigma, later.displacement, later.calibration)
                record = later.training
            _check_bounds(spec, record, len(skeleton))
        except ValueError as error:
            raise ValueError(f"stage {number}: {error}") from None
        stages.append(spec)
        records.append(record)
    cascade = CascadeSpec(skeleton, tuple(stages), document.square_initial_box)
    return ModelMetadata(cascade, document.initial_box, tuple(records))


def _read_skeleton(values: Any) -> Skeleton:
    if not isinstance(values, dict):
        raise ValueError(f"skeleton is {_short(values)}")
    _restore(str, values.get("name"), "skeleton's name")
    try:
        return Skeleton.from_mapping(values)
    except ValueError as error:
        raise ValueError(f"skeleton: {str(error)[:200]}") from None


def _restore(hint: Any, value: Any, name: str) -> Any:
    """Convert JSON to the hinted type: a dataclass, a tuple, an optional value, a number, text, or a truth value.

    Raises ValueError that names a field which is missing, unknown, of another type, or out of all bounds.
    """
    arguments = get_args(hint)
    if hint is Any:
        return value
    if isinstance(hint, UnionType):  # X | None
        return None if value is None else _restore(arguments[0], value, name)
    if is_dataclass(hint) and isinstance(value, dict):
        hints = get_type_hints(hint)
        if unknown := sorted(value.keys() - hints.keys()):
            raise ValueError(f"{name} has an unknown field {unknown[0][:40]!a}")
        for field in fields(hint):
            if field.name not in value and field.default is MISSING and field.default_factory is MISSING:
                raise ValueError(f"{field.name} is missing")
        return hint(**{key: _restore(hints[key], item, key) for key, item in value.items()})  # type: ignore[operator]
    if get_origin(hint) is tuple and isinstance(value, list):
        kinds = arguments[:1] * len(value) if arguments[-1] is ... else arguments
        if len(kinds) == len(value):
            return tuple(_restore(kind, item, name) for kind, item in zip(kinds, value, strict=True))
    if type(value) in (int, float):
        valid = abs(value) < MAX_NUMBER  # not for NaN
        value = float(value) if valid and hint is float else value
    else:
        valid = not isinstance(value, str) or (len(value) <= MAX_TEXT and value.isprintable())
    if type(value) is not hint or not valid:
        raise ValueError(f"{name} is {_short(value)}")
    return value


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
    if spec.calibration is not None:
        numbers += [(name, value, -MAX_CURVE, MAX_CURVE) for name, value in asdict(spec.calibration).items()]
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


def _short(value: Any) -> str:
    """Short, and safe to print."""
    if isinstance(value, int) and abs(value) >= 10**20:
        return "a huge number"
    return ascii(value)[:60] if isinstance(value, str | int | float | bool | None) else f"a {type(value).__name__}"
