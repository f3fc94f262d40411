"""Every default number once, with its source beside it. Help texts, docs and config.yaml are read from here."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from deeppose_cli.errors import DeepPoseError, UsageError

DATA_ROOT = Path("data")
"""Where data sets lie unless --data-root says otherwise."""
RUNS_ROOT = Path("lightning_logs")
"""Where runs lie unless --runs-root says otherwise."""

CHECKPOINT_SECONDS = 60.0
"""How often last.ckpt is written within an epoch."""

PDJ_THRESHOLD = 0.2
"""Fraction of the torso at which the single PDJ number is read (paper, section 4.1)."""

DIAMETER_BOUNDS = (0.1, 0.6)
"""Bounds of a predicted pose's diameter, in units of b⁰'s longer side. In LSP's training pictures the true torso spans
0.16 to 0.40 of the picture in 98 of 100 cases; the bounds leave room on both sides."""

ERROR_CORE = 0.5
"""Most errors of a stage are smaller than their standard deviation says, which a few gross ones (left taken for right)
stretch: 1.4826 · median absolute deviation is 0.53 of it on LSP's validation pictures and 0.51 on the demo's. A
refinement stage learns with the whole deviation, as its crops are drawn with it, and answers with this share of it."""

PEAK_REACH = 2
"""Cells around a map's peak that count, on each side. On LSP's validation pictures a network of 96 px had PDJ@0.2 .646
with 1, .650 with 2, .650 with 3, .621 with 5, .578 with all cells."""

TORSO_SHARE = 0.36
"""Torso over the longer side of the labelled joints' box, median of LSP's training pictures: stands in for the diameter
of a *training* pose of which no opposing torso joints are labelled."""

COLLAPSE_RATIO = 0.1
"""Validation predictions that vary less than this share of what the labels vary are called a collapse."""
REFINEMENT_COLLAPSE_RATIO = 0.02
"""The same for a refinement stage's corrections."""

SPLIT_SEED = 2014
"""Seed of the train/validation split: the same for everyone, whatever --seed is."""


@dataclass(frozen=True)
class Placement:
    """A person's box from that of a part of them, in units of the part's height: the fixed factor and shift of the
    paper's first box (section 4). Left and right are alike: mirrored pictures are trained on too."""

    dy: float
    """From the part's centre down to the person's box's centre."""
    width: float
    height: float


BOX_SOURCES = ("image", "own", "face", "torso", "person", "joints")
"""Where a first box may come from, beside x,y,w,h; `boxes.py` tells what each is."""
PLACEMENT_SHARE = 0.95
"""A placement is the smallest that holds all labelled joints of so many training people. The paper says of all; the
last twentieth would make the box half as large again, and everyone in it so much smaller."""
FACE_PLACEMENT = Placement(dy=2.31, width=5.37, height=4.77)
TORSO_PLACEMENT = Placement(dy=0.17, width=2.47, height=2.43)
"""Both learned on FLIC's training examples; `deeppose data boxes flic` learns them again and prints them."""
FACE_SURE = 4.0
"""Votes of a face that `--box auto` takes for a person's."""
FACE_ABOVE_TORSO = 0.9
"""From the centre of FLIC's torso box up to that of the face, in heights of the torso box: the median of its training
examples. The face's height is 0.47 of them."""
FACE_TOLERANCE = 0.5
"""A detected face is taken for a torso box's if its centre is off by at most so many heights of the torso box …"""
FACE_SIZES = (0.25, 1.0)
"""… and its own height is within these."""


BOOTSTRAP_DRAWS = 1000
"""Draws of images for an interval: its ends then vary by about a fiftieth of its length."""
LEAST_BOOTSTRAP_DRAWS = 100
"""Fewer have hardly anything outside of the middle 95 %."""


ERASED_AREA = (0.02, 0.4)
"""Least and largest share of a crop that an erased patch covers …"""
ERASED_ASPECT = 0.3
"""… and its height over its width, from this to its inverse (Zhong et al., AAAI 2020)."""

OPTIMIZERS = ("adagrad", "adamw")
SCHEDULES = ("constant", "cosine")
COORDINATE_LOSSES = ("l1", "l2", "wing")
HEADS = ("integral", "regression")


@dataclass(frozen=True)
class Augmentation:
    """How training pictures vary. Every draw is a function of (seed, epoch, row) alone."""

    mirror: float = 0.5
    """Probability of a mirrored copy; left and right joints change places (paper, section 3.2)."""
    translate: float = 0.0
    """Standard deviation of the first box's shift, in units of its side ("translated crops", paper, section 4)."""
    scale: float = 0.0
    """Standard deviation of the logarithm of the crop's size, as a share of its true one."""
    rotate: float = 0.0
    """Largest rotation, degrees either way, drawn uniformly."""
    colour: float = 0.0
    """Strength of brightness, contrast, saturation and hue changes; 0 is off."""
    erase: float = 0.0
    """Probability that a patch of a crop is painted over with its mean colour (random erasing: Zhong et al., AAAI
    2020)."""


_VARIED = {field.name for field in fields(Augmentation)}


@dataclass(frozen=True)
class StagePreset:
    """All that one stage's training needs besides its data."""

    network: str = "deeppose"
    """`deeppose`: the paper's network, fully connected head. `integral`: small residual network whose K maps are read
    by their expected coordinate. `backbone`: one made for ImageNet, with a head of choice."""
    backbone: str = ""
    """Which one (`backbone` only); `backbones.py` has the names."""
    head: str = "integral"
    """`integral`: K soft maps, each joint its map's expected coordinate. `regression`: averaged features, one fully
    connected layer. (`backbone` only.)"""
    frozen: int = 0
    """How many of the backbone's first steps keep their starting values (`backbone` only)."""
    start: str = "random"
    """Starting values: `random`; `torchvision`: those that it publishes for the backbone; a file. A refinement stage
    may also start from the stage before: `previous`."""
    input_size: int = 220
    """Side of the network's square input, px."""
    growth: str = ""
    """Smaller inputs in early epochs of stage 1, as `growth.py` reads them: `96:0.4` is 96 px until 0.4 of the epochs
    are done. Not with the paper's network, which is made for one size."""
    width: int = 0
    """Channels of the first stride-4 block (`integral`), or in which levels are merged (`backbone`)."""
    dropout: float = 0.6
    """Probability of dropping, on the two fully connected layers (`deeppose` only)."""
    batch_size: int = 128
    """Crops per step, over all devices together."""
    max_epochs: int = 100
    optimizer: str = "adagrad"
    """`adagrad` or `adamw`."""
    learning_rate: float = 0.0005
    weight_decay: float = 0.0
    schedule: str = "constant"
    """`constant`, or `cosine`: linear warm-up over the first 3 % of the steps, then half a cosine down to 1 %."""
    coordinate_loss: str = "l2"
    """`l2`: squared distance (paper, eq. 3); `l1`; `wing`: Feng et al., CVPR 2018."""
    map_weight: float = 0.0
    """Weight of the cross-entropy between a head's maps, where it has any, and a Gaussian around the label."""
    augmentation: Augmentation = field(default_factory=Augmentation)


@dataclass(frozen=True)
class RefinementPreset(StagePreset):
    """A stage s ≥ 2."""

    regressor: str = "shared"
    """`shared`: one network, joint i read from its i-th pair of outputs. `per-joint`: K networks."""
    draws: int = 40
    """Displaced crops per picture and labelled joint in one epoch (paper, section 3.2)."""
    draws_per_visit: int = 2
    """How many of these are cut each time a picture is decoded."""
    sigma: float | None = None
    """σ: the crop's side in units of the pose's diameter; none: the data set's (paper, section 4.1)."""
    errors_from: str = "train"
    """Whose errors of the stage before say how far off the crops are: `train` (paper, section 3.2) or `validation`. On
    pictures that it has learned by heart a stage errs less: FLIC's wrists .067 diam on training pictures, .157 on
    others, after 84 epochs."""


@dataclass(frozen=True)
class Preset:
    """A named way to train the cascade."""

    name: str
    title: str
    initial: StagePreset
    refinement: RefinementPreset
    square_first_box: bool = False
    """Widen b⁰ to a square, so that the person is not distorted. The paper resizes the box as it is."""
    cost: str = "not measured"
    """What stage 1 takes, on which machine."""
    data: str = ""
    """Of a recipe: the data set that it trains on where --data does not say."""
    box: str = ""
    """Of a recipe: where the first box comes from on that set where --box does not say; the set's own if empty."""

    def box_on(self, data: str) -> str | None:
        """The recipe's first box on a data set; None: the set's own. On another set than its own it has none."""
        return self.box or None if data == self.data else None


PAPER = Preset(
    name="paper",
    title="every number from the paper; meant for a GPU",
    initial=StagePreset(augmentation=Augmentation(mirror=0.5, translate=0.05)),
    refinement=RefinementPreset(draws_per_visit=4),
)
"""Toshev & Szegedy, CVPR 2014, sections 3 and 4. The paper gives no number of epochs (100 is ours) and no extent of the
translated crops (0.05 is ours)."""

_TINY_AUGMENTATION = Augmentation(mirror=0.5, translate=0.05, scale=0.1, rotate=15.0, colour=0.2)

TINY = Preset(
    name="tiny",
    title="small input, small integral-regression network",
    cost="minutes on two CPU cores",
    initial=StagePreset(
        network="integral",
        input_size=64,
        width=32,
        batch_size=32,
        max_epochs=20,
        optimizer="adamw",
        learning_rate=0.003,
        weight_decay=0.01,
        schedule="cosine",
        coordinate_loss="l1",
        map_weight=1.0,
        augmentation=_TINY_AUGMENTATION,
    ),
    refinement=RefinementPreset(
        network="integral",
        input_size=64,
        width=32,
        batch_size=128,
        max_epochs=2,
        optimizer="adamw",
        learning_rate=0.002,
        weight_decay=0.01,
        schedule="cosine",
        coordinate_loss="l1",
        map_weight=1.0,
        augmentation=Augmentation(mirror=0.5, scale=0.1, rotate=15.0, colour=0.2),
        start="previous",
        draws=2,
    ),
    square_first_box=True,
)

_SMALL_AUGMENTATION = Augmentation(mirror=0.5, translate=0.05, scale=0.15, rotate=40.0, colour=0.3)

SMALL = Preset(
    name="small",
    title="the tiny network at 128 px on real photographs",
    cost="an hour and a half on two CPU cores",
    initial=replace(
        TINY.initial,
        input_size=128,
        batch_size=64,
        max_epochs=30,
        learning_rate=0.002,
        augmentation=_SMALL_AUGMENTATION,
    ),
    refinement=replace(
        TINY.refinement,
        input_size=96,
        max_epochs=4,
        learning_rate=0.001,
        draws=1,
        draws_per_visit=1,
        augmentation=Augmentation(mirror=0.5, scale=0.1, rotate=20.0, colour=0.3),
    ),
    square_first_box=True,
)

MODERN = Preset(
    name="modern",
    title="a backbone made for ImageNet under an integral-regression head, 128 px",
    cost="hours on two CPU cores",
    initial=replace(
        SMALL.initial,
        network="backbone",
        backbone="mobilenet_v1",
        width=128,
        learning_rate=0.002,
    ),
    refinement=replace(
        SMALL.refinement,
        network="backbone",
        backbone="mobilenet_v1",
        width=128,
        input_size=64,
        learning_rate=0.0005,
        errors_from="validation",
    ),
    square_first_box=True,
)

# Recipes: presets with their data. They start from random values, as starting values are a file that not everyone has:
# nothing is frozen then (orders.py).

LSP_RECIPE = replace(
    MODERN,
    name="lsp",
    title="whole bodies: LSP and LSPET",
    cost="51 minutes on two CPU cores with bfloat16; on a GPU not measured",
    data="lsp",
    initial=replace(MODERN.initial, input_size=192, growth="96:0.4,128:0.75", frozen=4, max_epochs=60),
    refinement=replace(MODERN.refinement, sigma=1.5, frozen=4, max_epochs=6),
)
"""σ = 1.5: crops of 72 px of the picture in the median, so that 64 px are nearly all that there is to see. The first
stage's 192 px show a whole picture of LSP as it is."""

FLIC_RECIPE = replace(
    MODERN,
    name="flic",
    title="upper bodies: FLIC, first boxes from its torso boxes",
    cost="43 minutes on one CPU core with bfloat16; on a GPU not measured",
    data="flic",
    box="torso",
    initial=replace(MODERN.initial, input_size=192, growth="96:0.4,128:0.75", frozen=4, max_epochs=60),
    refinement=replace(MODERN.refinement, input_size=96, frozen=4, max_epochs=8),
)
"""Crops of σ = 1.0 are 107 px of the picture in the median: 64 would lose detail, and stage 1 sees 260 px at 192."""

PEOPLE_RECIPE = replace(
    MODERN,
    name="people",
    title="whole and upper bodies, one model: LSP, LSPET and FLIC",
    cost="not measured",
    data="people",
    initial=replace(MODERN.initial, growth="96:0.5", frozen=4),
    refinement=replace(MODERN.refinement, frozen=4),
)

PRESETS = {preset.name: preset for preset in (PAPER, TINY, SMALL, MODERN, LSP_RECIPE, FLIC_RECIPE, PEOPLE_RECIPE)}
RECIPES = {name: preset for name, preset in PRESETS.items() if preset.data}


def preset_by_name(name: str) -> Preset:
    """Raises UsageError for a name that is no preset."""
    if name not in PRESETS:
        raise UsageError(f"--preset {name}: unknown; valid: {', '.join(PRESETS)}")
    return PRESETS[name]


def with_changes(stage: StagePreset, changes: dict[str, Any]) -> StagePreset:
    """The stage's settings with other values for some fields of theirs or of their augmentation.

    Raises TypeError for a name that is none.
    """
    varied = {name: value for name, value in changes.items() if name in _VARIED}
    changed = replace(stage, **{name: value for name, value in changes.items() if name not in varied})
    return replace(changed, augmentation=replace(changed.augmentation, **varied))


def to_primitives(stage: StagePreset) -> dict[str, Any]:
    """Nested dict of numbers and strings: what checkpoints and config.yaml can hold and be read back from safely."""
    return asdict(stage)


def initial_from_primitives(values: dict[str, Any]) -> StagePreset:
    return _restore(StagePreset, values)


def refinement_from_primitives(values: dict[str, Any]) -> RefinementPreset:
    return _restore(RefinementPreset, values)


def _restore(kind: type[Any], values: dict[str, Any]) -> Any:
    values = dict(values)
    try:
        augmentation = Augmentation(**values.pop("augmentation"))
        return kind(augmentation=augmentation, **values)
    except (KeyError, TypeError) as error:
        raise DeepPoseError(f"stored settings do not fit this version: {error}") from None
