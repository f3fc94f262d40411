"""Settings of a stage, of its augmentation and of a preset, as dataclasses, and their checks. Needs no torch.

Help, limits and default of each setting, and of its flag of `deeppose train` and `refine`, are stated here only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass, replace
from itertools import pairwise
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from deeppose_cli.config.defaults import (
    BACKBONES,
    COORDINATE_LOSSES,
    HEADS,
    NETWORKS,
    OPTIMIZERS,
    PERSON_SIGMA,
    SCHEDULES,
    TIMM,
    TORCHVISION_BACKBONES,
    VIEWS,
)
from deeppose_cli.core.errors import DeepPoseError, UsageError

T = TypeVar("T")


@dataclass(frozen=True)
class Setting:
    """Limits of a field, and its flag."""

    help: str
    panel: str
    metavar: str = "N"
    choices: tuple[str, ...] = ()
    zero: bool = False
    """Whether a number may be 0; else it is positive."""
    most: float = math.inf
    """Largest valid number."""
    flag: str = ""
    """Spelling of the flag where it is not the field's name."""
    initial_only: bool = False
    """Whether only stage 1 has the setting."""
    is_flag: bool = True


def setting(default: Any, help: str, panel: str = "Training", **more: Any) -> Any:
    """Field of a settings dataclass; `more`: fields of its `Setting`."""
    return field(default=default, metadata={"setting": Setting(help, panel, **more)})


def _model(default: Any, help: str, **more: Any) -> Any:
    return setting(default, help, "Model", **more)


def _random(default: float, help: str, metavar: str = "X", most: float = 1.0, initial_only: bool = False) -> Any:
    return setting(default, help, "Augmentation", metavar=metavar, zero=True, most=most, initial_only=initial_only)


@dataclass(frozen=True)
class Augmentation:
    """Random changes of training images. Every draw is a function of (seed, epoch, row) alone.

    The first six move the crop, the others change its colors; `data/loading/augmentation.py` applies them. 0 is off.
    """

    flip: float = _random(0.5, "Share of images that are mirrored.", "P")
    """Left and right joints change places (paper, section 3.2)."""
    translate: float = _random(0.0, "Standard deviation of the initial box's shift, in units of its side.")
    """"Translated crops" (paper, section 4)."""
    scale: float = _random(0.0, "Standard deviation of the logarithm of the crop's size.")
    rotate: float = _random(0.0, "Largest rotation, degrees either way.", "DEG", 180.0)
    any_angle: float = _random(0.0, "Share of images that are turned by any angle instead.", "P")
    label_box: float = _random(
        0.0, "Share of initial boxes that are drawn around the labels instead.", "P", initial_only=True
    )
    """1 to 1.7 times as large as the tight box: so the network is not tied to one source of boxes."""
    color: float = _random(0.0, "Strength of brightness, contrast, saturation and hue changes.")
    gray: float = _random(0.0, "Share of images that are made gray.", "P")
    gamma: float = _random(0.0, "Strength of gamma changes: the exponent is between 1 / (1 + X) and 1 + X.")
    blur: float = _random(0.0, "Share of crops with a Gaussian blur.", "P")
    noise: float = _random(0.0, "Share of crops with Gaussian noise.", "P")
    jpeg: float = _random(0.0, "Share of crops that are compressed as JPEG.", "P")
    erase: float = _random(0.0, "Share of crops with a patch filled with the mean color.", "P")
    """Random erasing: Zhong et al., AAAI 2020."""


@dataclass(frozen=True)
class StagePreset:
    """All that one stage's training needs besides its data."""

    network: str = _model("deeppose", "Kind of network.", choices=NETWORKS, is_flag=False)
    """`deeppose`: the paper's network, fully connected head. `integral`: small residual network whose K heatmaps are
    read by their expected coordinate. `backbone`: one made for ImageNet, with a head of choice."""
    backbone: str = _model("", "Network made for ImageNet under the head; with --preset modern.", metavar="NAME")
    """One of `BACKBONES` (network `backbone` only)."""
    head: str = _model("integral", "integral or pyramid (heatmaps), or regression.", metavar="NAME", choices=HEADS)
    """`integral`: K heatmaps, each joint its heatmap's expected coordinate. `pyramid`: the same with MoveNet's layers.
    `regression`: averaged features, one fully connected layer. The last two for network `backbone` only."""
    freeze_blocks: int = _model(0, "Keep the weights of the backbone's first N blocks.", zero=True)
    init_weights: str = _model(
        "random",
        "Initial weights: random; pretrained (published for the backbone); previous (the stage before; in refine "
        "only); people, people-fast or a file of deeppose export; a file for the backbone.",
        metavar="FROM",
    )
    input_size: int = _model(220, "Side of the network's square input, px.", metavar="PX")
    progressive_size: str = _model(
        "",
        "Smaller inputs in early epochs: 96:0.4,128:0.8 is 96 px until 0.4 of the epochs are done, 128 px until 0.8.",
        metavar="LIST",
        initial_only=True,
    )
    """Progressive resizing (Tan & Le, EfficientNetV2, ICML 2021, section 4): early epochs need no detail, and at 96 px
    they take a third of the time that they do at 160. Not with the paper's network, which is made for one size."""
    head_channels: int = _model(0, "Channels in which the head merges the features.")
    """For network `integral` the channels of its first stride-4 block."""
    dropout: float = _model(0.6, "Probability of dropping.", zero=True, most=1.0, is_flag=False)
    batch_size: int = setting(128, "Crops per step, over all devices together.")
    max_epochs: int = setting(100, "Epochs to train.")
    optimizer: str = setting("adagrad", f"{' or '.join(OPTIMIZERS)}.", metavar="NAME", choices=OPTIMIZERS)
    learning_rate: float = setting(0.0005, "Peak learning rate.", metavar="X")
    weight_decay: float = setting(0.0, "Weight decay of the optimizer.", metavar="X", zero=True)
    schedule: str = setting("constant", "constant, or cosine (with a warm-up).", metavar="NAME", choices=SCHEDULES)
    """`cosine`: linear warm-up over the first 3 % of the steps, then half a cosine down to 1 %."""
    coordinate_loss: str = setting("l2", f"{', '.join(COORDINATE_LOSSES)}.", metavar="NAME", choices=COORDINATE_LOSSES)
    """`l2`: squared distance (paper, eq. 3); `l1`; `wing`: Feng et al., CVPR 2018."""
    heatmap_weight: float = setting(0.0, "Weight of the loss of the heatmaps.", metavar="X", zero=True)
    """Of the cross-entropy between a head's heatmaps, where it has any, and a Gaussian around the label."""
    distill_weight: float = setting(
        0.0,
        "Weight of the initial network's heatmaps as labels of joints without one.",
        metavar="X",
        zero=True,
        initial_only=True,
    )
    """Knowledge distillation (Hinton et al., 2015): what the initial weights can and no data set here labels is kept.
    Each joint counts by the initial network's peak mass."""
    augmentation: Augmentation = field(default_factory=Augmentation)

    def input_size_at(self, epoch: int) -> int:
        """Side of the input in an epoch, counted from 0. The last epoch has `input_size`, however few there are."""
        done = (epoch + 1) / self.max_epochs
        smaller = (size for size, until in parse_schedule(self.progressive_size) if done <= until)
        return next(smaller, self.input_size)


@dataclass(frozen=True)
class RefinementPreset(StagePreset):
    """Settings of a stage s ≥ 2."""

    per_joint: bool = _model(False, "A network for each joint, or one for all.", flag="--per-joint/--shared")
    view: str = _model(
        "joint",
        "joint: a crop around each joint. person: one upright crop of the whole person, merged with the stage before.",
        metavar="NAME",
        choices=VIEWS,
    )
    """`joint`: the paper. `person`: `models/person_view.py`."""
    sigma: float | None = _model(
        None, "Side of the crops in units of the pose's diameter; with --view person, of its box.", metavar="X"
    )
    """σ; None: the data set's (paper, section 4.1), or `PERSON_SIGMA`."""
    crops_per_joint: int = setting(40, "Displaced crops per image and joint in one epoch.")
    """Paper, section 3.2."""
    crops_per_visit: int = setting(2, "Crops of a joint that are cut when an image is decoded.", is_flag=False)
    displacement_split: str = setting(
        "train",
        "Crops are displaced like the errors of the stage before on this split: train or validation.",
        metavar="SPLIT",
        choices=("train", "validation"),
    )
    """The paper takes `train` (section 3.2). On images that it has learned by heart a stage errs less: FLIC's wrists
    .067 diam on training images, .157 on others, after 84 epochs."""

    def sigma_on(self, of_data: float) -> float:
        """σ on a data set whose own is `of_data`."""
        return self.sigma or (PERSON_SIGMA if self.view == "person" else of_data)


@dataclass(frozen=True)
class Preset:
    """A named way to train the cascade."""

    name: str
    title: str
    initial: StagePreset
    refinement: RefinementPreset
    square_initial_box: bool = False
    """Widen b⁰ to a square, so that the person is not distorted. The paper resizes the box as it is."""
    cost: str = "not measured"
    """Duration of stage 1, and on which machine."""
    data: str = ""
    """Of a recipe: the data set that it trains on without --data."""
    box: str = ""
    """Of a recipe: source of the initial box on that set without --box; empty: the set's own."""

    def box_on(self, data: str) -> str | None:
        """Source of the recipe's initial box on a data set; None: the set's own, as on every set but the recipe's."""
        return self.box or None if data == self.data else None


_AUGMENTATION = {field.name for field in fields(Augmentation)}


def stage_settings(kind: type[StagePreset]) -> dict[str, tuple[type, Setting]]:
    """Type and `Setting` of each field of a stage's settings and of its augmentation, by name."""
    found = {}
    for owner in (kind, Augmentation):
        hints = get_type_hints(owner)
        for each in fields(owner):
            limits = each.metadata.get("setting")
            if limits is not None and (kind is StagePreset or not limits.initial_only):
                hint = hints[each.name]
                found[each.name] = (get_args(hint)[0] if isinstance(hint, UnionType) else hint, limits)
    return found


def check_settings(kind: type[StagePreset], changes: Mapping[str, Any]) -> None:
    """Raise UsageError, naming the flag, for a change that no stage of this kind can have."""
    known = stage_settings(kind)
    for name, value in changes.items():
        flag = f"--{name.replace('_', '-')}"
        if name not in known:
            stage = "stage 1" if kind is StagePreset else "a refinement stage"
            raise UsageError(f"{flag}: no setting of {stage}; valid: {', '.join(sorted(known))}")
        expected, limits = known[name]
        if not _is_a(value, expected):
            raise UsageError(f"{flag} {value}: must be {_ARTICLES[expected]}")
        if limits.choices and value not in limits.choices:
            raise UsageError(f"{flag} {value}: unknown; valid: {', '.join(limits.choices)}")
        if expected not in (int, float):
            continue
        if math.isinf(value):
            raise UsageError(f"{flag} {value}: must be finite")
        if limits.zero and not 0 <= value <= limits.most:
            valid = "0 or more" if math.isinf(limits.most) else f"0 to {limits.most:g}"
            raise UsageError(f"{flag} {value}: valid: {valid}")
        if not limits.zero and not value > 0:
            raise UsageError(f"{flag} {value}: must be positive")


_SCHEDULE = "valid: PX:SHARE with commas between, both rising, shares below 1, as in 96:0.4,128:0.8"


def parse_schedule(text: str) -> list[tuple[int, float]]:
    """`96:0.4,128:0.8` → [(96, 0.4), (128, 0.8)]: the input's side, and until which share of the epochs.

    Raises UsageError, with what is valid, for anything else.
    """
    found: list[tuple[int, float]] = []
    for part in text.split(",") if text else ():
        size, _, until = part.partition(":")
        try:
            found.append((int(size), float(until)))
        except ValueError:
            raise UsageError(f"--progressive-size {text}: {_SCHEDULE}") from None
    sides, shares = [0, *(size for size, _ in found)], [0.0, *(share for _, share in found), 1.0]
    if not all(a < b for row in (shares, sides) for a, b in pairwise(row)):
        raise UsageError(f"--progressive-size {text}: {_SCHEDULE}")
    return found


DEEPPOSE_LEAST_SIDE = 79
"""px; of a smaller input the paper's network leaves nothing after its last pooling."""
LEAST_HEAD_CHANNELS = 2


def check_network(settings: StagePreset) -> None:
    """Raise UsageError, naming the flag, where no network has these settings."""
    if isinstance(settings, RefinementPreset) and settings.view not in VIEWS:
        raise UsageError(f"--view {settings.view}: unknown; valid: {', '.join(VIEWS)}")
    network, backbone, head, side = settings.network, settings.backbone, settings.head, settings.input_size
    if network not in NETWORKS:
        raise UsageError(f"network '{network}' is unknown; valid: {', '.join(NETWORKS)}")
    if head not in HEADS:
        raise UsageError(f"--head {head}: unknown; valid: {', '.join(HEADS)}")
    if network != "backbone" and head != "integral":
        raise UsageError(f"--head {head}: needs a backbone, such as --preset modern has; valid: integral")
    of_timm = backbone.startswith(TIMM)
    if network == "backbone" and backbone not in BACKBONES and not of_timm:
        raise UsageError(f"--backbone {backbone or 'none'}: unknown; valid: {', '.join(BACKBONES)}, {TIMM}MODEL")
    if settings.init_weights == "pretrained" and not of_timm and backbone not in ("", *TORCHVISION_BACKBONES):
        raise UsageError(f"--init-weights pretrained: there are none of {backbone}; valid: random, or a file")
    smaller = [size for size, _ in parse_schedule(settings.progressive_size)]
    if smaller and smaller[-1] >= side:
        raise UsageError(f"--progressive-size {settings.progressive_size}: valid: sizes below the input's, {side} px")
    if network == "deeppose":
        if side < DEEPPOSE_LEAST_SIDE:
            raise UsageError(
                f"--input-size {side}: the paper's network needs at least {DEEPPOSE_LEAST_SIDE} px; its own is 220"
            )
        return
    for size in (*smaller, side):
        if size % 32 or size <= 0:
            nearest = max(32, round(size / 32) * 32)
            raise UsageError(f"--input-size {size}: this network takes multiples of 32, such as {nearest}")
    if head == "integral" and settings.head_channels < LEAST_HEAD_CHANNELS:
        raise UsageError(f"--head-channels {settings.head_channels}: valid: {LEAST_HEAD_CHANNELS} or more")


def with_changes(stage: StagePreset, changes: Mapping[str, Any]) -> StagePreset:
    """The stage's settings with other values for some of its fields or of its augmentation's. Raises TypeError for an
    unknown name."""
    augmentation = {name: value for name, value in changes.items() if name in _AUGMENTATION}
    changed = replace(stage, **{name: value for name, value in changes.items() if name not in augmentation})
    return replace(changed, augmentation=replace(changed.augmentation, **augmentation))


def to_primitives(stage: StagePreset) -> dict[str, Any]:
    """Nested dict of numbers and strings, which checkpoints and config.yaml can hold."""
    return asdict(stage)


def from_primitives(kind: type[T], values: Mapping[str, Any]) -> T:
    """Inverse of `to_primitives`. Raises DeepPoseError for an unknown field or a value of another type."""
    try:
        return from_mapping(kind, values, "settings")
    except ValueError as error:
        raise DeepPoseError(f"stored settings do not fit this version: {error}") from None


_ARTICLES = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def from_mapping(kind: type[T], values: Any, name: str) -> T:
    """Build a dataclass from plain values: mappings for dataclasses within, lists for tuples.

    Raises ValueError, one line that has the `name` of the values or of a field, for an unknown or missing field
    or a value of another type.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{name} is {quote(values)}")
    known = {each.name: each for each in fields(kind)}  # type: ignore[arg-type]
    if unknown := [str(key)[:40] for key in values if key not in known]:
        raise ValueError(f"unknown {unknown[0]!a} in {name}; valid: {', '.join(known)}")
    for each in known.values():
        if each.name not in values and each.default is MISSING and each.default_factory is MISSING:
            raise ValueError(f"{each.name} is missing")
    hints = get_type_hints(kind)
    return kind(**{key: _restore(hints[key], value, key) for key, value in values.items()})


def _restore(hint: Any, value: Any, name: str) -> Any:
    for option in get_args(hint) if isinstance(hint, UnionType) else (hint,):
        plain, parts = get_origin(option) or option, get_args(option)
        if is_dataclass(option) and isinstance(value, Mapping):
            return from_mapping(option, value, name)  # type: ignore[arg-type]
        if plain is tuple and isinstance(value, list | tuple):
            kinds = parts[:1] * len(value) if parts[-1] is ... else parts
            if len(kinds) == len(value):
                return tuple(_restore(kind, item, name) for kind, item in zip(kinds, value, strict=True))
        elif option is Any or _is_a(value, plain):
            return value
    raise ValueError(f"{name} is {quote(value)}")


def quote(value: Any) -> str:
    """A value from a file, short and safe to print."""
    if isinstance(value, int) and abs(value) >= 10**20:
        return "a huge number"
    return ascii(value)[:60] if isinstance(value, str | int | float | bool | None) else f"a {type(value).__name__}"


def _is_a(value: Any, kind: type) -> bool:
    """Whether the value is of this type; a whole number is a float too, a bool is no number."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)
