"""Buffy Stickmen in miniature, in the layout and the conventions of the original."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.helpers.lsp_archives import jpeg

Pose = dict[str, tuple[float, float]]

POSE: Pose = {
    "right_shoulder": (100, 80),
    "right_elbow": (90, 140),
    "right_wrist": (130, 170),
    "left_shoulder": (180, 82),
    "left_elbow": (200, 135),
    "left_wrist": (230, 100),
    "neck": (140, 75),
    "mid_hip": (145, 200),
    "chin": (139, 60),
    "head_top": (137, 20),
}
"""Someone who faces the camera, 0-based px: the person's right is on the image's left."""

_STICKS = (
    ("neck", "mid_hip"),
    ("right_shoulder", "right_elbow"),  # the image's left
    ("left_shoulder", "left_elbow"),
    ("right_elbow", "right_wrist"),
    ("left_elbow", "left_wrist"),
    ("chin", "head_top"),
)


def sticks(pose: Mapping[str, Sequence[float]], turned: Sequence[int] = ()) -> NDArray[np.float64]:
    """(6, 2, 2) 0-based, as the files order and side them; the sticks in `turned` begin at their other end."""
    ends = np.array([[pose[start], pose[end]] for start, end in _STICKS], dtype=float)
    for stick in turned:
        ends[stick] = ends[stick, ::-1].copy()
    return ends


def record(frame: int, ends: NDArray[np.float64]) -> str:
    """As in the files: 1-based, a blank before and after."""
    lines = [" " + " ".join(f"{value:.1f}" for value in stick.ravel() + 1) + " " for stick in ends]
    return "\n".join([str(frame), *lines]) + "\n"


def moved(by: float) -> NDArray[np.float64]:
    return sticks(POSE) + by


def write(folder: Path, episodes: Mapping[int, Sequence[int]]) -> Path:
    """An extracted archive with the episodes' frames; the person of frame f stands f px further right and down."""
    (folder / "data").mkdir(parents=True)
    for episode, frames in episodes.items():
        text = "".join(record(frame, moved(frame)) for frame in frames)
        (folder / "data" / f"buffy_s5e{episode}_sticks.txt").write_text(text)
        images = folder / "images" / f"buffy_s5e{episode}_original"
        images.mkdir(parents=True)
        for frame in frames:
            (images / f"{frame:06d}.jpg").write_bytes(jpeg())
    return folder
