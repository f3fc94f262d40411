"""Settings of a stage, of its augmentation and of a preset, as dataclasses."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from deeppose_cli.core.errors import DeepPoseError


@dataclass(frozen=True)
class Augmentation:
    """Random changes of training images. Every draw is a function of (seed, epoch, row) alone.

    The first four move the crop, the others change its colors; `data/loading/augmentation.py` applies them. 0 is off.
    """

    flip: float = 0.5
    """Probability of a mirrored copy; left and right joints change places (paper, section 3.2)."""
    translate: float = 0.0
    """Standard deviation of the initial box's shift, in units of its side ("translated crops", paper, section 4)."""
    scale: float = 0.0
    """Standard deviation of the logarithm of the crop's size, as a share of its true one."""
    rotate: float = 0.0
    """Largest rotation, degrees either way, drawn uniformly."""
    color: float = 0.0
    """Strength of brightness, contrast, saturation and hue changes."""
    gray: float = 0.0
    """Probability of a gray image."""
    gamma: float = 0.0
    """Strength of gamma changes: the exponent is drawn from 1 / (1 + gamma) to 1 + gamma."""
    blur: float = 0.0
    """Probability of a Gaussian blur of the crop."""
    noise: float = 0.0
    """Probability of Gaussian noise on the crop."""
    jpeg: float = 0.0
    """Probability that the crop is compressed as JPEG and decoded."""
    erase: float = 0.0
    """Probability that a patch of the crop is filled with the mean color (random erasing: Zhong et al., AAAI 2020)."""


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
    freeze_blocks: int = 0
    """How many of the backbone's first steps keep their starting values (`backbone` only)."""
    init_weights: str = "random"
    """Starting values: `random`; `torchvision`: those that it publishes for the backbone; a file. A refinement stage
    may also start from the stage before: `previous`."""
    input_size: int = 220
    """Side of the network's square input, px."""
    progressive_size: str = ""
    """Smaller inputs in early epochs of stage 1, as `progressive_resizing.py` reads them: `96:0.4` is 96 px until 0.4
    of the epochs are done. Not with the paper's network, which is made for one size."""
    head_channels: int = 0
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
    heatmap_weight: float = 0.0
    """Weight of the cross-entropy between a head's maps, where it has any, and a Gaussian around the label."""
    augmentation: Augmentation = field(default_factory=Augmentation)


@dataclass(frozen=True)
class RefinementPreset(StagePreset):
    """A stage s ≥ 2."""

    regressor: str = "shared"
    """`shared`: one network, joint i read from its i-th pair of outputs. `per-joint`: K networks."""
    crops_per_joint: int = 40
    """Displaced crops per image and labelled joint in one epoch (paper, section 3.2)."""
    crops_per_visit: int = 2
    """How many of these are cut each time an image is decoded."""
    sigma: float | None = None
    """σ: the crop's side in units of the pose's diameter; none: the data set's (paper, section 4.1)."""
    displacement_split: str = "train"
    """Whose errors of the stage before say how far off the crops are: `train` (paper, section 3.2) or `validation`. On
    images that it has learned by heart a stage errs less: FLIC's wrists .067 diam on training images, .157 on
    others, after 84 epochs."""


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
    """What stage 1 takes, on which machine."""
    data: str = ""
    """Of a recipe: the data set that it trains on where --data does not say."""
    box: str = ""
    """Of a recipe: where the initial box comes from on that set where --box does not say; the set's own if empty."""

    def box_on(self, data: str) -> str | None:
        """The recipe's initial box on a data set; None: the set's own. On another set than its own it has none."""
        return self.box or None if data == self.data else None


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
