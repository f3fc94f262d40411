"""What a weights file says of itself: one JSON document, written and read back with every value checked.

Numbers from a file decide what is built, so each has bounds here. Needs no torch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, get_type_hints

from deeppose_cli.config.defaults import BOX_SOURCES
from deeppose_cli.config.schema import (
    Augmentation,
    RefinementPreset,
    StagePreset,
    initial_from_primitives,
    refinement_from_primitives,
    to_primitives,
)
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.skeleton import Skeleton, skeleton_by_name
from deeppose_cli.models.confidence import Calibration
from deeppose_cli.models.displacement import Displacement
from deeppose_cli.models.spec import CascadeSpec, StageSpec

FORMAT = 1
"""Version of the document. A reader refuses any other."""
MAX_STAGES = 16
MAX_SIDE = 1024
"""px of a network's input; the paper's is 220."""
MAX_WIDTH = 4096
"""Channels that settings may ask for."""
MAX_DIAMETERS = 100.0
"""Units of diam: no σ and no displacement is larger."""
MAX_CURVE = 1000.0
"""Slope and offset of a calibration are no larger."""
MAX_TEXT = 10_000
"""Characters of a text in the training record."""


@dataclass(frozen=True)
class TrainingRecord:
    """How a stage came metadata. None: not recorded."""

    data: str
    """Data set that it was trained on."""
    preset: str | None = None
    command: str | None = None
    deeppose_version: str | None = None
    """Version of this toolkit."""
    commit: str | None = None
    """Of the toolkit's source code."""
    epochs: int | None = None
    num_train_images: int | None = None
    """Training images."""
    validation_pdj: float | None = None
    """Best PDJ@0.2 on the data set's validation images, all joints."""


@dataclass(frozen=True)
class ModelMetadata:
    """A weights file's document."""

    spec: CascadeSpec
    initial_box: str
    """Where b⁰ comes from in evaluation, as stage 1 was trained."""
    records: tuple[TrainingRecord, ...]
    """One a stage."""

    @property
    def data_name(self) -> str:
        """The data set of stage 1."""
        return self.records[0].data


def to_text(metadata: ModelMetadata) -> str:
    """As JSON."""
    spec = metadata.spec
    stages = []
    for stage, record in zip(spec.stages, metadata.records, strict=True):
        said: dict[str, Any] = {"settings": to_primitives(stage.settings), "training": asdict(record)}
        if stage.displacement is not None:
            said |= {"sigma": stage.sigma, "displacement": asdict(stage.displacement)}
        if stage.calibration is not None:
            said["calibration"] = asdict(stage.calibration)
        stages.append(said)
    document = {
        "format": FORMAT,
        "skeleton": spec.skeleton.name,
        "joints": spec.skeleton.joints,
        "square_initial_box": spec.square_initial_box,
        "initial_box": metadata.initial_box,
        "stages": stages,
    }
    return json.dumps(document, ensure_ascii=False, allow_nan=False)


def from_text(text: str) -> ModelMetadata:
    """Raises ValueError, one line, for what `to_text` does not write."""
    document = _mapping(parse_json(text), "the document")
    version = _get(document, "format", int)
    if version != FORMAT:
        raise ValueError(f"format {version}; this version of deeppose reads {FORMAT}")
    skeleton = _skeleton(document)
    initial_box = _get(document, "initial_box", str)
    if initial_box not in BOX_SOURCES:
        raise ValueError(f"initial_box '{initial_box[:40]}'; valid: {', '.join(BOX_SOURCES)}")
    listed = _get(document, "stages", list)
    if not 1 <= len(listed) <= MAX_STAGES:
        raise ValueError(f"{len(listed)} stages; valid: 1 to {MAX_STAGES}")
    stages, records = [], []
    for number, said in enumerate(listed, start=1):
        try:
            said = _mapping(said, "it")
            stages.append(_stage(said, number, skeleton))
            records.append(_record(_get(said, "training", dict)))
        except (ValueError, DeepPoseError) as error:
            raise ValueError(f"stage {number}: {error}") from None
    spec = CascadeSpec(skeleton, tuple(stages), _get(document, "square_initial_box", bool))
    return ModelMetadata(spec, initial_box, tuple(records))


def parse_json(text: str) -> Any:
    """Strict JSON. Raises ValueError, also for a nesting too deep to read."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _skeleton(document: Mapping[str, Any]) -> Skeleton:
    name = _get(document, "skeleton", str)
    try:
        skeleton = skeleton_by_name(name)
    except DeepPoseError as error:
        raise ValueError(str(error)[:200]) from None
    joints = _get(document, "joints", list)
    if joints != list(skeleton.joints):
        same = all(isinstance(joint, str) for joint in joints) and sorted(joints) == sorted(skeleton.joints)
        raise ValueError(f"its joints are {'in another order than' if same else 'not'} those of skeleton '{name}'")
    return skeleton


def _calibration(said: Mapping[str, Any]) -> Calibration | None:
    if "calibration" not in said:
        return None
    values = _get(said, "calibration", dict)
    if values.keys() != {field.name for field in fields(Calibration)}:
        raise ValueError(f"calibration: valid: {', '.join(field.name for field in fields(Calibration))}")
    return Calibration(**{name: _number(value, f"calibration's {name}", MAX_CURVE) for name, value in values.items()})


def _stage(said: Mapping[str, Any], number: int, skeleton: Skeleton) -> StageSpec:
    calibration = _calibration(said)
    settings = _get(said, "settings", dict)
    if number == 1:
        _check_types(StagePreset, settings)
        initial = initial_from_primitives(settings)
        _check_sizes(initial)
        return StageSpec(initial, calibration=calibration)
    _check_types(RefinementPreset, settings)
    refinement = refinement_from_primitives(settings)
    _check_sizes(refinement)
    sigma = _number(said.get("sigma"), "sigma", MAX_DIAMETERS)
    if not sigma > 0:
        raise ValueError(f"sigma {sigma:g} is not positive")
    displacement = _get(said, "displacement", dict)
    mean, std = (_pairs(displacement.get(key), f"displacement's {key}", len(skeleton)) for key in ("mean", "std"))
    if any(value < 0 for pair in std for value in pair):
        raise ValueError("displacement's std is negative")
    return StageSpec(refinement, sigma, Displacement(mean, std), calibration)


def _check_types(kind: type[Any], values: Mapping[str, Any]) -> None:
    """Each value is of its field's type; numbers can be computed with. Unknown fields are left to the presets' own
    reader."""
    hints = get_type_hints(kind)
    for field in fields(kind):
        if field.name not in values:
            if field.default is MISSING and field.default_factory is MISSING:
                raise ValueError(f"{field.name} is missing")
            continue
        value, hint = values[field.name], hints[field.name]
        if hint is Augmentation:
            _check_types(Augmentation, _mapping(value, field.name))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            fitting = isinstance(value, hint) or (isinstance(value, int) and isinstance(0.0, hint))
            if not fitting or not abs(value) < 1e12 or not math.isfinite(value):
                raise ValueError(f"{field.name} is {_shown(value)}")
        elif not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
            raise ValueError(f"{field.name} is {_shown(value)}")


def _check_sizes(settings: StagePreset) -> None:
    for name, value, most in (
        ("input_size", settings.input_size, MAX_SIDE),
        ("head_channels", settings.head_channels, MAX_WIDTH),
    ):
        if not 0 <= value <= most:
            raise ValueError(f"{name} {value}; valid: at most {most}")
    if not 0 <= settings.dropout <= 1:
        raise ValueError(f"dropout {settings.dropout:g}; valid: 0 to 1")


def _record(said: Mapping[str, Any]) -> TrainingRecord:
    hints = get_type_hints(TrainingRecord)
    for name, value in said.items():
        if name not in hints or isinstance(value, bool) or not isinstance(value, hints[name]):
            raise ValueError(f"training record's {name[:40]!a} is {_shown(value)}")
        if isinstance(value, str) and (len(value) > MAX_TEXT or not value.isprintable()):
            raise ValueError(f"training record's {name} is no line of text")
        if isinstance(value, int | float) and not 0 <= value < 1e12:
            raise ValueError(f"training record's {name} is {_shown(value)}")
    if not said.get("data"):
        raise ValueError("training record names no data set")
    return TrainingRecord(**said)


def _pairs(value: Any, name: str, count: int) -> tuple[tuple[float, float], ...]:
    if not isinstance(value, list) or len(value) != count or any(not isinstance(p, list) or len(p) != 2 for p in value):
        raise ValueError(f"{name} is no list of {count} pairs")
    return tuple((_number(x, name, MAX_DIAMETERS), _number(y, name, MAX_DIAMETERS)) for x, y in value)


def _number(value: Any, name: str, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= most:
        raise ValueError(f"{name} is {_shown(value)}; valid: a number of at most {most:g}")
    return float(value)


def _get(said: Mapping[str, Any], key: str, kind: type[Any]) -> Any:
    value = said.get(key)
    if type(value) is not kind:
        raise ValueError(f"{key} is {_shown(value) if key in said else 'missing'}")
    return value


def _mapping(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} is {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    """Short, and safe to print."""
    if isinstance(value, int) and abs(value) >= 10**20:
        return "a huge number"
    return ascii(value)[:60] if isinstance(value, str | int | float | bool | None) else f"a {type(value).__name__}"
