"""Buffy Stickmen v3.01: upper bodies in frames of a television series. For evaluation only.

On disk, as `deeppose data prepare buffy` leaves it, for each episode that was given:

    <data root>/buffy/
        s5e3/    labels.npz, made of buffy_s5e3_sticks.txt    004508.jpg …: an image for each record, 720 × 405

The release keeps them as `data/buffy_s5e3_sticks.txt` and `images/buffy_s5e3_original/004508.jpg`. Frame numbers are an
episode's own, so an example's name has both: `s5e3/004508.jpg`.

Splits, the release's own: episodes 3 and 4 (376 + 96 frames) are training, 2, 5 and 6 (76 + 108 + 92) the test: by
episode, then in the order of its file. There is no validation. A split of which no episode is here is empty.

A record is a frame's number and six sticks, `x1 y1 x2 y2` each: torso, left upper arm, right upper arm, left lower arm,
right lower arm, head; neither their sides nor their ends are as needed here:

- Sides are the image's. As people face the camera, the arm on the image's left is the person's right.
- The ends of a stick have no fixed order. The elbow is where an end of the upper arm and an end of the lower arm lie
  closest; the other two are shoulder and wrist. In the same way the torso's upper end, `neck`, is the one that lies
  closest to an end of the head, `chin`; the others are `mid_hip` and `head_top`. (By height seven training
  frames would be wrong: of people who lie, or hang head down.) For arms the rule fails where a forearm is
  folded onto the upper arm or points at the camera: of the 944 in training by eye in seven, s5e3/029789, 029791,
  032400, 052935 and 052950 (the person's left), 043775 and 051013 (right). It is kept for being simple and known.
- The two ends at an elbow are apart: 7 px in the median of the training frames, 17 in the worst tenth, 47 at most. The
  elbow is their mean, at most half of that from each; an end itself would spoil the other stick by all of it. The
  release's own scorer compares sticks: `--pcp-rule buffy` measures by the ends as they were marked.
- MATLAB's 1-based coordinates become 0-based. That they are 1-based is inferred: the release's own reader, scorer and
  drawing are MATLAB, and of the ends marked at the lower border 16 lie within MATLAB's last row (404.5 … 405.5 of 405)
  and 3 below it; all 19 would be outside of 0-based images.

There are no hips: the torso stick, neck to mid-hip, stands for the diameter. Every joint is labelled. There are no
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
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.skeleton import BUFFY10
from deeppose_cli.data.datasets.prepared import Part, PublicSet, Splits, in_splits, join_parts, make_rows
from deeppose_cli.data.datasets.spec import MAX_COORDINATE, DatasetSpec

MAX_BYTES = 16 * 2**20
"""Of a sticks file: the release's largest takes 60 kB."""
STICKS = ("torso", "left upper arm", "right upper arm", "left lower arm", "right lower arm", "head")
"""Lines of a record, with the sides of the image."""

Episodes = Mapping[str, Mapping[int, int]]
"""Split → episode → how many records it has."""
EPISODES: Episodes = {"train": {3: 376, 4: 96}, "test": {2: 76, 5: 108, 6: 92}}
"""The release's."""

_MEMBER = re.compile(
    r"(?:.*/)?(?:data/(?P<labels>buffy_s5e(?P<a>[2-6])_sticks\.txt)"
    r"|images/buffy_s5e(?P<b>[2-6])_original/(?P<image>\d{6}\.jpg))"
)
_FRAME = re.compile(r"[0-9]{1,6}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,15}(?:\.[0-9]{0,15})?(?:[eE][+-]?[0-9]{1,2})?")
_NUMBERS = f"four numbers x1 y1 x2 y2 within ±{MAX_COORDINATE:.0f} px"


@dataclass(frozen=True, eq=False)
class Sticks:
    """The records of an episode, in the file's order."""

    frames: tuple[int, ...]
    ends: NDArray[np.float64]
    """(N, 6, 2, 2): stick in the order of `STICKS`, end, x and y; 0-based px, ends and sides as in the file."""

    @property
    def images(self) -> list[str]:
        return [f"{frame:06d}.jpg" for frame in self.frames]


def read_sticks(file: Path, shown: str) -> Sticks:
    """`buffy_s5eN_sticks.txt`. Empty lines may stand before and after a record.

    Raises DeepPoseError that calls the file `shown` and names record, line and stick of what cannot be right.
    """
    lines = _lines(file, shown)
    frames: dict[int, int] = {}
    records: list[list[list[float]]] = []
    at = 0
    while True:
        while at < len(lines) and not lines[at]:
            at += 1
        if at == len(lines):
            break
        record = len(records) + 1
        if not _FRAME.fullmatch(lines[at]):
            raise DeepPoseError(
                f"{shown}: record {record}, line {at + 1}: {_quoted(lines[at])}; valid: the number of a frame, alone"
            )
        frame = int(lines[at])
        if frame in frames:
            raise DeepPoseError(
                f"{shown}: record {record}, line {at + 1}: frame {frame} is record {frames[frame]} already; "
                "valid: each frame once"
            )
        frames[frame] = record
        sticks = []
        for place, stick in enumerate(STICKS, at + 1):
            found = lines[place] if place < len(lines) else None
            values = _numbers(found or "")
            if values is None:
                what = "the file ends" if found is None else _quoted(found)
                raise DeepPoseError(
                    f"{shown}: record {record} (frame {frame}), line {place + 1}, {stick}: {what}; valid: {_NUMBERS}"
                )
            sticks.append(values)
        records.append(sticks)
        at += 1 + len(STICKS)
    if not records:
        raise DeepPoseError(f"{shown}: holds no record; valid: the number of a frame, then six lines of {_NUMBERS}")
    return Sticks(tuple(frames), np.array(records).reshape(-1, len(STICKS), 2, 2) - 1)


def to_limbs(ends: NDArray[np.float64]) -> NDArray[np.float64]:
    """`Sticks.ends` (N, 6, 2, 2) → (N, 6, 2, 2): the sticks as BUFFY10's limbs, in their order, from start to end, with
    the person's sides; every end where it was marked. See the file's head for the rules."""
    torso, left_upper, right_upper, left_lower, right_lower, head = ends.transpose(1, 0, 2, 3)
    # The image's left is the person's right.
    left, right = (_meeting(upper, lower) for upper, lower in ((right_upper, right_lower), (left_upper, left_lower)))
    mid_hip, neck, chin, head_top = _meeting(torso, head)
    limbs = [left[:2], right[:2], left[2:], right[2:], (neck, mid_hip), (chin, head_top)]
    return np.stack([np.stack(limb, axis=1) for limb in limbs], axis=1)


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
    sticks = read_sticks(files[0], shown[0])
    if len(sticks.frames) != count:
        raise DeepPoseError(f"{shown[0]}: has {len(sticks.frames)} records; valid: {count}; copy it again")
    images, limbs = [f"{frame:06d}.jpg" for frame in sticks.frames], to_limbs(sticks.ends)
    names = [f"s5e{episode}/{image}" for image in images]
    rows = make_rows(BUFFY10, images, to_joints(limbs), names, sticks=limbs)
    return in_splits(rows, **{split: range(count)})


def choose(source: Path, names: Sequence[str]) -> Mapping[str, str]:
    """Which members are needed; their names tell their episode."""
    matches = [match for name in names if (match := _MEMBER.fullmatch(name))]
    return {match[0]: f"s5e{match['a'] or match['b']}/{match['labels'] or match['image']}" for match in matches}


def public_set(episodes: Episodes = EPISODES) -> PublicSet:
    """The set, by its episodes, those of a split in their order."""
    return PublicSet(
        name="buffy",
        skeleton=BUFFY10,
        parts={
            f"s5e{episode}": Part(
                (f"buffy_s5e{episode}_sticks.txt",), partial(convert, episode=episode, split=split, count=count)
            )
            for split, counts in episodes.items()
            for episode, count in counts.items()
        },
        choose=choose,
        content="an episode of Buffy Stickmen (data/buffy_s5eN_sticks.txt, images/buffy_s5eN_original/*.jpg; "
        "N = 2 … 6)",
        command="deeppose data prepare buffy --from ARCHIVE",
    )


SET = public_set()


def read(data_root: Path) -> Splits:
    """{"train", "validation", "test"}, of the episodes that are here. Raises DeepPoseError where none is, or an image
    or a label is missing."""
    return join_parts(SET.read_parts(data_root))


def absent(data_root: Path) -> tuple[str, ...]:
    """A line for each split of which an episode is not here."""
    lines = []
    for split, episodes in EPISODES.items():
        gone = [str(episode) for episode in episodes if not (data_root / SET.name / f"s5e{episode}").is_dir()]
        if gone:
            lines.append(f"{split}: not here: episode{'s' if len(gone) > 1 else ''} {', '.join(gone)}")
    return tuple(lines)


def _lines(file: Path, shown: str) -> list[str]:
    """Without the blanks at either end; bytes that are no text are written out."""
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise DeepPoseError(f"{shown}: cannot be read ({error.strerror or error})") from None
    if len(data) > MAX_BYTES:
        raise DeepPoseError(f"{shown}: larger than {MAX_BYTES} bytes; no sticks file is")
    return [line.strip(b" \t\r").decode("ascii", "backslashreplace") for line in data.split(b"\n")]


def _numbers(line: str) -> list[float] | None:
    """A stick's four numbers; None where they are something else."""
    words = line.split()
    if len(words) != 4 or not all(map(_NUMBER.fullmatch, words)):
        return None
    values = [float(word) for word in words]
    return values if all(abs(value) <= MAX_COORDINATE for value in values) else None


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}…")


def _meeting(
    one: NDArray[np.float64], other: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Two sticks (N, 2, 2) → (N, 2) each: the first's far end, its end at the second, the second's end at the first,
    its far end: the pair of ends, one of each, that lie closest is where they meet."""
    apart = np.linalg.norm(one[:, :, None] - other[:, None], axis=-1).reshape(-1, 4)
    end, other_end = np.divmod(apart.argmin(1), 2)
    row = np.arange(len(one))
    return one[row, 1 - end], one[row, end], other[row, other_end], other[row, 1 - other_end]


BUFFY = DatasetSpec(
    name="buffy",
    title="Buffy Stickmen v3.01: 748 upper bodies in frames of a television series",
    skeleton=BUFFY10,
    preset="small",
    sigma=1.0,
    initial_box="face",
    conventions="1-based in the files (inferred), 0-based here; arms' sides are the image's in the files, swapped here "
    "to the person's, as people face the camera; elbow: mean of the two arm sticks' closest ends; neck, mid_hip: upper "
    "and lower end of the torso stick; chin, head_top: lower and upper end of the head stick",
    how_to_get=f"archive from www.robots.ox.ac.uk/~vgg/data/stickmen; type: {SET.command}",
    read=read,
    prepare=SET.prepare,
    evaluation_only=True,
    absent=absent,
    image_order="train: episodes 3, 4; test: episodes 2, 5, 6; in each as its sticks file has them",
)
