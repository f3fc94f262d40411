"""Skeletons: the joints of a pose, the limbs that join them, and mirror partners."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

SIDES = ("left", "right")
BOX = "box"
"""`scale_by` of a skeleton whose poses are measured by the diagonal of their box."""
MAX_JOINTS = 1000
_WORD = "left|Left|LEFT|right|Right|RIGHT|[lLrR]"
_SIDE = re.compile(
    rf"(?P<first>{_WORD})(?:[ _.-]|(?=[A-Z])|(?<=left)|(?<=right))(?P<rest>.+)"
    rf"|(?P<part>.+)(?:[ _.-]|(?<=[a-z])(?=[A-Z]))(?P<last>{_WORD})"
)
"""A side at one end of a joint's name: left_knee, leftknee, L_knee, LKnee, leftKnee, knee_L, knee.right, kneeLeft."""


def split_side(joint: str) -> tuple[str, str]:
    """("left" | "right" | "", the name without its side): `left_elbow` → ("left", "elbow")."""
    match = _SIDE.fullmatch(joint)
    if match is None:
        return "", joint
    side = match["first"] or match["last"]
    return SIDES["lr".index(side[0].lower())], match["rest"] or match["part"]


def find_mirror_pairs(joints: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Pairs of joints whose names differ in their side alone, the left one first."""
    by_name = {split_side(joint): joint for joint in joints}
    partners = ((joint, by_name.get(("right", rest))) for (side, rest), joint in by_name.items() if side == "left")
    return tuple((joint, partner) for joint, partner in partners if partner is not None)


@dataclass(frozen=True)
class Limb:
    """A stick of the PCP measure. An end is the mean of the joints named (one joint, or both hips)."""

    kind: str
    start: tuple[str, ...]
    end: tuple[str, ...]


@dataclass(frozen=True)
class Skeleton:
    """The joints of a data set, in the order in which its arrays hold them. Left and right are the SUBJECT's.

    No name of a joint is special. Raises ValueError, one line, for parts that do not fit together.
    """

    name: str
    joints: tuple[str, ...]
    limbs: tuple[Limb, ...] = ()
    scale_by: tuple[str, str] | None = None
    """The joints whose distance is the pose's diameter, diam (of people the opposing torso joints: paper, section
    3.2); None: the diagonal of the pose's box."""
    mirror_pairs: tuple[tuple[str, str], ...] | None = None
    """Joints that change places in a mirrored image; None: those whose names differ in their side alone."""
    derived: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    """Joints that are by their definition the mean of these. Another skeleton's joint of that name is another point
    unless it is made in the same way; a model that predicts what it is made of predicts it too."""
    sigmas: Mapping[str, float] = field(default_factory=dict, hash=False)
    """σ of COCO's object keypoint similarity for joints that differ from `COCO_SIGMAS` and `DEFAULT_SIGMA`."""

    def __post_init__(self) -> None:
        if self.mirror_pairs is None:
            object.__setattr__(self, "mirror_pairs", find_mirror_pairs(self.joints))
        self._check()

    def _check(self) -> None:
        known = set(self.joints)
        if not 0 < len(self.joints) <= MAX_JOINTS:
            raise ValueError(f"keypoints: {len(self.joints)} names; valid: 1 to {MAX_JOINTS}")
        if len(known) < len(self.joints):
            twice = next(joint for joint in self.joints if self.joints.count(joint) > 1)
            raise ValueError(f"keypoints: {twice!r} is there twice")
        pairs = self.mirror_pairs or ()
        uses: dict[str, Iterable[str]] = {
            "mirror": [joint for pair in pairs for joint in pair],
            "limbs": [joint for limb in self.limbs for joint in (*limb.start, *limb.end)],
            "scale_by": self.scale_by or (),
            "derived": self.derived,  # what it is made of need not be a keypoint here
            "sigmas": self.sigmas,
        }
        for key, joints in uses.items():
            for joint in joints:
                if joint not in known:
                    raise ValueError(f"{key}: {joint!r} is no keypoint; valid: {', '.join(self.joints)}")
        mirrored = list(uses["mirror"])
        for joint in mirrored:
            if mirrored.count(joint) > 1:
                raise ValueError(f"mirror: {joint!r} is in two places; valid: pairs of two different keypoints")
        if self.scale_by is not None and len(set(self.scale_by)) != 2:
            raise ValueError(f"scale_by: {', '.join(self.scale_by)}; valid: two different keypoints, or {BOX}")
        if bad := [joint for joint, sigma in self.sigmas.items() if not 0 < sigma < 10]:
            raise ValueError(f"sigmas: {self.sigmas[bad[0]]} of {bad[0]!r}; valid: above 0, below 10")

    def __len__(self) -> int:
        return len(self.joints)

    def index(self, joint: str) -> int:
        return self.joints.index(joint)

    @cached_property
    def mirror(self) -> tuple[int, ...]:
        """(K,) permutation: where each joint's values come from after the image was mirrored."""
        partners = {a: b for pair in self.mirror_pairs or () for a, b in (pair, pair[::-1])}
        return tuple(self.joints.index(partners.get(joint, joint)) for joint in self.joints)

    @cached_property
    def scale_index(self) -> tuple[int, int] | None:
        """Indices of `scale_by`; None: poses are measured by their box."""
        return None if self.scale_by is None else (self.index(self.scale_by[0]), self.index(self.scale_by[1]))

    @cached_property
    def upright_axis(self) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        """Indices of both hips and of both shoulders: a person is upright where these are above those.

        None: the skeleton lacks one of them.
        """
        ends = [tuple(f"{side}_{kind}" for side in SIDES) for kind in ("hip", "shoulder")]
        if not {joint for end in ends for joint in end} <= set(self.joints):
            return None
        hips, shoulders = (tuple(map(self.index, end)) for end in ends)
        return hips, shoulders

    @property
    def is_person(self) -> bool:
        """Whether these are a person's joints: elbows and wrists of both sides are among them."""
        arms = {f"{side}_{joint}" for side in SIDES for joint in ("elbow", "wrist")}
        return arms <= set(self.joints)

    @cached_property
    def scale_name(self) -> str:
        """What the diameter is, in words."""
        if self.scale_by is None:
            return "the diagonal of the pose's box"
        return (
            "the torso"
            if self.scale_by in (OPPOSING, BUFFY10.scale_by)
            else f"the distance {' to '.join(self.scale_by)}"
        )

    @cached_property
    def oks_sigmas(self) -> tuple[float, ...]:
        """(K,) σ of COCO's object keypoint similarity: the data set's own, else COCO's by name, else the default."""
        names = ("_".join(filter(None, split_side(joint))).lower() for joint in self.joints)
        measured = (COCO_SIGMAS.get(name, DEFAULT_SIGMA) for name in names)
        return tuple(self.sigmas.get(joint, sigma) for joint, sigma in zip(self.joints, measured, strict=True))

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """(K,) kind of each joint: `left_elbow` and `right_elbow` are both `elbow`; a joint without a partner is one
        of its own."""
        kinds = dict(zip(self.joints, self.joints, strict=True))
        for pair in self.mirror_pairs or ():
            (_, kind), (_, other) = map(split_side, pair)
            if kind == other and kind not in self.joints:
                kinds |= dict.fromkeys(pair, kind)
        return tuple(kinds.values())

    @cached_property
    def joint_kinds(self) -> dict[str, tuple[int, ...]]:
        """Joint indices by kind, left and right together, in the order of first appearance."""
        kinds: dict[str, tuple[int, ...]] = {}
        for i, kind in enumerate(self.kinds):
            kinds[kind] = (*kinds.get(kind, ()), i)
        return kinds

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for YAML and JSON: what `from_mapping` reads."""
        limbs: dict[str, list[Any]] = {}
        for limb in self.limbs:
            ends = (limb.start, limb.end)
            limbs.setdefault(limb.kind, []).append([end[0] if len(end) == 1 else list(end) for end in ends])
        values = {
            "name": self.name,
            "keypoints": list(self.joints),
            "mirror": [list(pair) for pair in self.mirror_pairs or ()],
            "limbs": limbs,
            "scale_by": BOX if self.scale_by is None else list(self.scale_by),
            "derived": {joint: list(parts) for joint, parts in self.derived.items()},
            "sigmas": dict(self.sigmas),
        }
        return {key: value for key, value in values.items() if value or key == "mirror"}

    @staticmethod
    def from_mapping(values: Mapping[str, Any], name: str | None = None) -> Skeleton:
        """The skeleton of a `dataset.yaml`, a run or a weights file; keys of other meaning are not read.

        `name`: where the values have none.

        Raises ValueError, one line that names the key, for values that cannot be right.
        """
        name = name or str(values.get("name"))
        pairs, scale = values.get("mirror"), values.get("scale_by", BOX)
        limbs = _mapping(values.get("limbs") or {}, "limbs")
        sigmas = _mapping(values.get("sigmas") or {}, "sigmas")
        if bad := [joint for joint, sigma in sigmas.items() if type(sigma) not in (int, float) or not 0 < sigma < 10]:
            raise ValueError(f"sigmas: {sigmas[bad[0]]!r:.40} of {bad[0]!r}; valid: numbers above 0, below 10")
        return Skeleton(
            name=name,
            joints=_names(values.get("keypoints"), "keypoints"),
            limbs=tuple(_limb(kind, ends) for kind, sticks in limbs.items() for ends in _list(sticks, "limbs")),
            scale_by=None if scale == BOX else _pair(scale, "scale_by"),
            mirror_pairs=None if pairs is None else tuple(_pair(pair, "mirror") for pair in _list(pairs, "mirror")),
            derived={
                joint: _names(parts, "derived")
                for joint, parts in _mapping(values.get("derived") or {}, "derived").items()
            },
            sigmas={joint: float(sigma) for joint, sigma in sigmas.items()},
        )


DEFAULT_SIGMA = 0.1
"""σ of a joint in COCO's object keypoint similarity where nobody measured it."""
COCO_SIGMAS = {"nose": 0.026} | {
    f"{side}_{kind}": sigma
    for kind, sigma in (
        *(("eye", 0.025), ("ear", 0.035), ("shoulder", 0.079), ("elbow", 0.072)),
        *(("wrist", 0.062), ("hip", 0.107), ("knee", 0.087), ("ankle", 0.089)),
    )
    for side in SIDES
}
"""σ that COCO measured on images labelled twice (pycocotools)."""


def _mapping(value: Any, key: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"{key}: {value!r:.60}; valid: names with values")
    return value


def _list(value: Any, key: str) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{key}: {value!r:.60}; valid: a list")
    return value


def _names(value: Any, key: str) -> tuple[str, ...]:
    names = _list(value, key)
    for name in names:
        if not isinstance(name, str) or not name or not name.isprintable() or len(name) > 100:
            raise ValueError(f"{key}: {name!r:.60}; valid: names of keypoints, printable, of 1 to 100 characters")
    return tuple(names)


def _pair(value: Any, key: str) -> tuple[str, str]:
    names = _names(value, key)
    if len(names) != 2:
        raise ValueError(f"{key}: {', '.join(names)[:60]}; valid: pairs of two keypoints")
    return names[0], names[1]


def _limb(kind: str, ends: Any) -> Limb:
    if not isinstance(ends, list | tuple) or len(ends) != 2:
        raise ValueError(f"limbs: {kind}: {ends!r:.60}; valid: [start, end], each a keypoint or a list of them")
    start, end = (_names([end] if isinstance(end, str) else end, "limbs") for end in ends)
    if not start or not end:
        raise ValueError(f"limbs: {kind}: an end without a keypoint")
    return Limb(kind, start, end)


def _limbs(kind: str, start: str, end: str) -> tuple[Limb, ...]:
    return tuple(Limb(kind, (f"{side}_{start}",), (f"{side}_{end}",)) for side in SIDES)


OPPOSING = ("left_shoulder", "right_hip")
"""The torso joints whose distance is diam (paper, section 3.2)."""
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
    scale_by=OPPOSING,
)
"""Leeds Sports Pose: the whole body (Johnson & Everingham, BMVC 2010)."""

FLIC10 = Skeleton(
    name="flic10",
    joints=(
        *("nose", "neck", "left_shoulder", "left_elbow", "left_wrist", "left_hip"),
        *("right_shoulder", "right_elbow", "right_wrist", "right_hip"),
    ),
    limbs=(*_ARMS, _TORSO),
    scale_by=OPPOSING,
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
    scale_by=("neck", "mid_hip"),
    derived={"mid_hip": ("left_hip", "right_hip")},
)
"""Buffy Stickmen: the ends of its six sticks (Ferrari, Marin-Jimenez & Zisserman, CVPR 2008). It has no hips: the torso
stick, neck to mid-hip, is used as the diameter."""

COCO17 = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow"),
    *("right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee"),
    *("left_ankle", "right_ankle"),
)
"""Names of COCO's keypoints, in COCO's order (Lin et al., ECCV 2014)."""

PEOPLE19 = Skeleton("people19", (*COCO17, "neck", "head_top"), LSP14.limbs, OPPOSING)
"""COCO's keypoints, and the two that LSP and MPII label beside them. The neck is LSP's: on its test images the
shoulders' midpoint, which is FLIC's neck, lies 0.15 diam beside it in the median, and more than 0.2 in a quarter."""
