"""Buffy Stickmen v3.01: upper bodies in frames of a television series. For evaluation only.

On disk, as `deeppose data prepare buffy` leaves it, with the episodes that were given:

    <data root>/buffy/
        dataset.yaml
        annotations/train.json, validation.json, test.json    made of buffy_s5e3_sticks.txt …
        images/s5e3/004508.jpg …                              an image for each record, 720 × 405

The release keeps them as `data/buffy_s5e3_sticks.txt` and `images/buffy_s5e3_original/004508.jpg`. Frame numbers are an
episode's own, so an example's name has both: `s5e3/004508.jpg`.

Splits, the release's own: episodes 3 and 4 (376 + 96 frames) are training, 2, 5 and 6 (76 + 108 + 92) the test: by
episode, then in the order of its file. There is no validation. A split of which no episode is here is empty.

A record is a frame's number and six sticks, `x1 y1 x2 y2` each: torso, left upper arm, right upper arm, left lower arm,
right lower arm, head; neither their sides nor their ends are as needed here:

- Sides are the image's. As people face the camera, the arm on the image's left is the person's right.
- The ends of a stick have no fixed order. The elbow is where an end of the upper arm and an end of the lower arm lie
  closest; the other two are shoulder and wrist. In the same way the torso's upper end, `neck`, is the one that lies
  closest to an end of the head, `chin`; the others are `mid_hip` and `head_top`. (By height seven training frames would
  be wrong: of people who lie, or hang head down.) For arms the rule fails where a forearm is folded onto the upper arm
  or points at the camera: of the 944 in training in seven, s5e3/029789, 029791, 032400, 052935 and 052950 (the
  person's left), 043775 and 051013 (right).
- The two ends at an elbow are apart: 7 px in the median of the training frames, 17 in the worst tenth, 47 at most. The
  elbow is their mean; an end itself would spoil the other stick by all of it. The release's own scorer compares sticks:
  `--pcp-rule buffy` measures by the ends as they were marked.
- MATLAB's 1-based coordinates become 0-based. That they are 1-based is inferred: the release's own tools are MATLAB,
  and of the ends marked at the lower border 16 lie within MATLAB's last row (404.5 … 405.5 of 405) and 3 below it; all
  19 would be outside of 0-based images.

There are no hips: the torso stick, neck to mid-hip, is used as the diameter. Every joint is labelled. There are no
boxes, and several people may be in a frame, of whom one has sticks: the initial box comes from a face (the paper,
section 4.1).

Sources: V. Ferrari, M. Marin-Jimenez, A. Zisserman: Progressive Search Space Reduction for Human Pose Estimation, CVPR
2008; M. Eichner, M. Marin-Jimenez, A. Zisserman, V. Ferrari: 2D Articulated Human Pose Estimation and Retrieval in
(Almost) Unconstrained Still Images, IJCV 2012. Terms: the frames belong to the series' owners; the set was published
for research, with the request to cite these papers. Nothing of it is part of this project.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.skeleton import BUFFY10
from deeppose_cli.data.datasets.coco import MAX_COORDINATE, WITHIN
from deeppose_cli.data.datasets.release import Part, Release, make_rows, public_dataset
from deeppose_cli.data.datasets.spec import DatasetSpec
from deeppose_cli.data.datasets.splits import Splits, in_splits

MAX_BYTES = 16 * 2**20
"""Of a sticks file: the release's largest takes 60 kB."""
STICKS = ("torso", "left upper arm", "right upper arm", "left lower arm", "right lower arm", "head")
"""Lines of a record, with the sides of the image."""

Episodes = Mapping[str, Mapping[int, int]]
EPISODES: Episodes = {"train": {3: 376, 4: 96}, "test": {2: 76, 5: 108, 6: 92}}
"""Split → episode → how many records it has."""

_MEMBER = re.compile(
    r"(?:.*/)?(?:data/(?P<labels>buffy_s5e(?P<a>[2-6])_sticks\.txt)"
    r"|images/buffy_s5e(?P<b>[2-6])_original/(?P<image>\d{6}\.jpg))"
)
_FRAME = re.compile(r"[0-9]{1,6}")
_NUMBER = r"[+-]?[0-9]{1,15}(?:\.[0-9]{0,15})?(?:[eE][+-]?[0-9]{1,2})?"
_STICK = re.compile(r"[ \t]+".join([_NUMBER] * 4))
_NUMBERS = f"four numbers x1 y1 x2 y2 {WITHIN}"


def read_sticks(file: Path, shown: str) -> tuple[list[int], NDArray[np.float64]]:
    """`buffy_s5eN_sticks.txt`: the frame of each record, and the ends of its sticks. Empty lines do not matter.

    The ends are (N, 6, 2, 2): stick in the order of `STICKS`, end, x and y; 0-based px, ends and sides as in the file.
    Raises DeepPoseError that calls the file `shown` and names record, line and stick of what cannot be right.
    """
    if file.stat().st_size > MAX_BYTES:
        raise DeepPoseError(f"{shown}: larger than {MAX_BYTES} bytes; no sticks file is")
    text = file.read_bytes().decode("ascii", "backslashreplace")
    lines = [(number, line.strip(" \t\r")) for number, line in enumerate(text.split("\n"), 1)]
    lines = [(number, line) for number, line in lines if line]
    if not lines:
        raise DeepPoseError(f"{shown}: holds no record; valid: the number of a frame, then six lines of {_NUMBERS}")
    frames: list[int] = []
    ends: list[list[float]] = []
    for place, (number, line) in enumerate(lines):
        record, row = divmod(place, 1 + len(STICKS))
        where = f"{shown}: record {record + 1}"
        if row == 0:
            if not _FRAME.fullmatch(line) or int(line) in frames:
                valid = "the number of a frame, alone, and each frame once"
                raise DeepPoseError(f"{where}, line {number}: {line[:60]!r}; valid: {valid}")
            frames.append(int(line))
            continue
        values = [float(word) for word in line.split()] if _STICK.fullmatch(line) else [np.inf]
        where += f" (frame {frames[-1]})"
        if np.abs(values).max() > MAX_COORDINATE:
            raise DeepPoseError(f"{where}, line {number}, {STICKS[row - 1]}: {line[:60]!r}; valid: {_NUMBERS}")
        ends.append(values)
    if len(ends) < len(frames) * len(STICKS):
        missing = STICKS[len(ends) % len(STICKS)]
        where = f"{shown}: record {len(frames)} (frame {frames[-1]})"
        raise DeepPoseError(f"{where}: the file ends before {missing}; valid: {_NUMBERS}")
    return frames, np.array(ends).reshape(-1, len(STICKS), 2, 2) - 1


def to_limbs(ends: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ends (N, 6, 2, 2) of `read_sticks` → (N, 6, 2, 2): the sticks as BUFFY10's limbs, in their order, from start to
    end, with the person's sides; every end where it was marked. The rules are at the top of this file."""
    torso, left_upper, right_upper, left_lower, right_lower, head = ends.transpose(1, 0, 2, 3)
    # The image's left is the person's right.
    left, right = (_meeting(upper, lower) for upper, lower in ((right_upper, right_lower), (left_upper, left_lower)))
    mid_hip, neck, chin, head_top = _meeting(torso, head)
    limbs = [left[:2], right[:2], left[2:], right[2:], (neck, mid_hip), (chin, head_top)]
    return np.stack([np.stack(limb, axis=1) for limb in limbs], axis=1)


def _meeting(first: NDArray[np.float64], second: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Two sticks (N, 2, 2) → four times (N, 2): the first's far end, its end at the second, the second's end at the
    first, its far end. They meet at the pair of ends that lie closest."""
    distances = np.linalg.norm(first[:, :, None] - second[:, None], axis=-1).reshape(-1, 4)
    a, b = np.divmod(distances.argmin(1), 2)
    row = np.arange(len(first))
    return first[row, 1 - a], first[row, a], second[row, b], second[row, 1 - b]


def to_joints(limbs: NDArray[np.float64]) -> NDArray[np.float64]:
    """`to_limbs` (N, 6, 2, 2) → (N, 10, 2) px in BUFFY10's order: a joint is the mean of the limbs' ends at it."""
    joints: dict[str, list[NDArray[np.float64]]] = {}
    for place, limb in enumerate(BUFFY10.limbs):
        joints.setdefault(limb.start[0], []).append(limbs[:, place, 0])
        joints.setdefault(limb.end[0], []).append(limbs[:, place, 1])
    return np.stack([np.mean(joints[joint], axis=0) for joint in BUFFY10.joints], axis=1)


def convert(files: Sequence[Path], shown: Sequence[str], episode: int, split: str, count: int) -> Splits:
    """An episode. Raises DeepPoseError where there are not `count` records: a file that is cut off between two records
    reads well."""
    frames, ends = read_sticks(files[0], shown[0])
    if len(frames) != count:
        raise DeepPoseError(f"{shown[0]}: has {len(frames)} records; valid: {count}; copy it again")
    images, limbs = [f"{frame:06d}.jpg" for frame in frames], to_limbs(ends)
    names = [f"s5e{episode}/{image}" for image in images]
    rows = make_rows(BUFFY10, images, to_joints(limbs), names, sticks=limbs)
    return in_splits(rows, **{split: range(count)})


def choose(source: Path, names: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """Which members are needed: those of an episode, by their names."""
    matches = [match for name in names if (match := _MEMBER.fullmatch(name))]
    return {match[0]: (f"s5e{match['a'] or match['b']}/{match['labels'] or match['image']}",) for match in matches}


def buffy_dataset(episodes: Episodes = EPISODES) -> DatasetSpec:
    """The set, by its episodes, those of a split in their order."""
    parts = {}
    for split, counts in episodes.items():
        for episode, count in counts.items():
            converter = partial(convert, episode=episode, split=split, count=count)
            parts[f"s5e{episode}"] = Part((f"buffy_s5e{episode}_sticks.txt",), converter, split)
    spec = DatasetSpec(
        name="buffy",
        title="Buffy Stickmen v3.01: 748 upper bodies in frames of a television series",
        skeleton=BUFFY10,
        preset="small",
        sigma=1.0,
        initial_box="face",
        conventions="1-based in the files (inferred), 0-based here; arms' sides are the image's in the files, swapped "
        "here to the person's, as people face the camera; elbow: mean of the two arm sticks' closest ends; neck, "
        "mid_hip: upper and lower end of the torso stick; chin, head_top: lower and upper end of the head stick",
        image_order="train: episodes 3, 4; test: episodes 2, 5, 6; in each as its sticks file has them",
        licence="frames of the series' owners; published for research, with the request to cite the papers",
        citation="Ferrari, Marin-Jimenez, Zisserman: Progressive Search Space Reduction for Human Pose Estimation, "
        "CVPR 2008; Eichner, Marin-Jimenez, Zisserman, Ferrari, IJCV 2012",
        how_to_get="archive from www.robots.ox.ac.uk/~vgg/data/stickmen; type: deeppose data prepare buffy "
        "--from ARCHIVE",
        evaluation_only=True,
    )
    release = Release(
        parts=parts,
        choose=choose,
        content="an episode of Buffy Stickmen (data/buffy_s5eN_sticks.txt, images/buffy_s5eN_original/*.jpg; "
        "N = 2 … 6)",
    )
    return public_dataset(spec, release)


BUFFY = buffy_dataset()
