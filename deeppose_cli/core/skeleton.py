"""Skeletons: the joints of a pose, the limbs that join them, and mirror partners."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from deeppose_cli.core.errors import DeepPoseError

SIDES = ("left", "right")


def _partner(joint: str) -> str:
    """The joint's name on the other side of the body; joints on the midline are their own partner."""
    side, _, rest = joint.partition("_")
    return f"{SIDES[1 - SIDES.index(side)]}_{rest}" if side in SIDES else joint


def kind_of(joint: str) -> str:
    """`left_elbow` and `right_elbow` are both of kind `elbow`; `neck` is of kind `neck`."""
    side, _, rest = joint.partition("_")
    return rest if side in SIDES else joint


@dataclass(frozen=True)
class Limb:
    """A stick of the PCP measure. An end is the mean of the joints named (one joint, or both hips)."""

    kind: str
    start: tuple[str, ...]
    end: tuple[str, ...]


@dataclass(frozen=True)
class Skeleton:
    """The joints of a data set, in the order in which its arrays hold them. Left and right are the PERSON's."""

    name: str
    joints: tuple[str, ...]
    limbs: tuple[Limb, ...]
    torso: tuple[str, str] = ("left_shoulder", "right_hip")
    """The opposing torso joints whose distance is the pose's diameter (paper, section 3.2)."""
    derived: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    """Joints that are by their definition the mean of these. Another skeleton's joint of that name is another point
    unless it is made in the same way; a model that predicts what it is made of predicts it too."""

    def __len__(self) -> int:
        return len(self.joints)

    def index(self, joint: str) -> int:
        return self.joints.index(joint)

    @cached_property
    def mirror(self) -> tuple[int, ...]:
        """(K,) permutation: where each joint's values come from after the image was mirrored."""
        return tuple(self.joints.index(_partner(joint)) for joint in self.joints)

    @cached_property
    def torso_index(self) -> tuple[int, int]:
        return self.index(self.torso[0]), self.index(self.torso[1])

    @cached_property
    def joint_kinds(self) -> dict[str, tuple[int, ...]]:
        """Joint indices by kind, left and right together, in the order of first appearance."""
        kinds: dict[str, tuple[int, ...]] = {}
        for i, joint in enumerate(self.joints):
            kinds[kind_of(joint)] = (*kinds.get(kind_of(joint), ()), i)
        return kinds


def _limbs(kind: str, start: str, end: str) -> tuple[Limb, ...]:
    return tuple(Limb(kind, (f"{side}_{start}",), (f"{side}_{end}",)) for side in SIDES)


_ARMS = (*_limbs("upper_arm", "shoulder", "elbow"), *_limbs("lower_arm", "elbow", "wrist"))
_LEGS = (*_limbs("upper_leg", "hip", "knee"), *_limbs("lower_leg", "knee", "ankle"))
_TORSO = Limb("torso", ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"))

LSP14 = Skeleton(
    name="lsp14",
    joints=(
        *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "right_wrist"),
        *("right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist", "neck", "head_top"),
    ),
    limbs=(*_ARMS, *_LEGS, _TORSO, Limb("head", ("neck",), ("head_top",))),
)
"""Leeds Sports Pose: the whole body (Johnson & Everingham, BMVC 2010)."""

FLIC10 = Skeleton(
    name="flic10",
    joints=(
        *("nose", "neck", "left_shoulder", "left_elbow", "left_wrist", "left_hip"),
        *("right_shoulder", "right_elbow", "right_wrist", "right_hip"),
    ),
    limbs=(*_ARMS, _TORSO),
    derived={"neck": ("left_shoulder", "right_shoulder")},
)
"""Frames Labeled In Cinema: the upper body (Sapp & Taskar, CVPR 2013); the neck is the shoulders' midpoint."""

BUFFY10 = Skeleton(
    name="buffy10",
    joints=(
        *("left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist"),
        *("neck", "mid_hip", "chin", "head_top"),
    ),
    limbs=(*_ARMS, Limb("torso", ("neck",), ("mid_hip",)), Limb("head", ("chin",), ("head_top",))),
    torso=("neck", "mid_hip"),
    derived={"mid_hip": ("left_hip", "right_hip")},
)
"""Buffy Stickmen: the ends of its six sticks (Ferrari, Marin-Jimenez & Zisserman, CVPR 2008). It has no hips: the torso
stick, neck to mid-hip, is used as the diameter."""

PEOPLE15 = Skeleton(name="people15", joints=(*LSP14.joints, "nose"), limbs=LSP14.limbs)
"""Every point that LSP or FLIC labels. The neck is LSP's: on its test images the shoulders' midpoint, which is FLIC's
neck, lies 0.15 diam beside it in the median, and more than 0.2 in a quarter of them."""

SKELETONS = {skeleton.name: skeleton for skeleton in (LSP14, FLIC10, BUFFY10, PEOPLE15)}


def skeleton_by_name(name: str) -> Skeleton:
    """Raises DeepPoseError for a name that no skeleton has."""
    if name not in SKELETONS:
        raise DeepPoseError(f"skeleton '{name}' is unknown; known: {', '.join(SKELETONS)}")
    return SKELETONS[name]
