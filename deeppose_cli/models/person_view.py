"""A refinement stage that sees the whole person once more: upright and close, placed by the pose of the stage before.

Ours, not the paper's. The crop is turned until the torso of that pose is upright, and is σ times as large as the
turned pose's box. The stage does not replace the pose: both are merged, joint by joint, by the peak masses of their
heatmaps.

Shape letters: B images, K joints.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.geometry import FloatArray, bounded_diameter, turn_points
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.models.displacement import diameter_bounds

SIDE_BOUNDS = (0.15, 2.0)
"""Bounds of the crop's side, in units of b⁰'s longer side: one bad pose gives no empty or image-sized crop."""
AGREEMENT = 0.3
"""In units of diam: where both stages place a joint within it, the joint is their mean."""


def upright_angles(poses: FloatArray, skeleton: Skeleton) -> NDArray[np.float64]:
    """Angles (...) that turn poses (..., K, 2) upright, degrees; 0 where the skeleton or the pose has no torso."""
    if skeleton.upright_axis is None:
        return np.zeros(poses.shape[:-2])
    hips, shoulders = (poses[..., list(joints), :].mean(-2) for joints in skeleton.upright_axis)
    up = shoulders - hips
    return np.nan_to_num(np.degrees(np.arctan2(up[..., 0], -up[..., 1])))


def place_person_crops(
    poses: FloatArray, initial_boxes: FloatArray, skeleton: Skeleton, sigma: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Boxes (B, 4) px and angles (B) of the crops for poses (B, K, 2) px; joints that are NaN do not count.

    The box is square and is turned around its own centre. b⁰ where a pose has no extent.
    """
    angles = upright_angles(poses, skeleton)
    origin = np.zeros((len(poses), 2))
    turned = turn_points(poses, origin[:, None], angles[:, None])
    low, high = np.fmin.reduce(turned, axis=-2), np.fmax.reduce(turned, axis=-2)
    centres = turn_points((low + high) / 2, origin, -angles)
    longer = initial_boxes[:, 2:].max(-1)
    sides = np.clip(sigma * (high - low).max(-1), SIDE_BOUNDS[0] * longer, SIDE_BOUNDS[1] * longer)
    boxes = np.concatenate([centres, sides[:, None], sides[:, None]], axis=-1)
    valid = (high - low).max(-1) > 0  # NaN is not
    return np.where(valid[:, None], boxes, initial_boxes), np.where(valid, angles, 0.0)


def merge_poses(
    before: FloatArray,
    before_mass: FloatArray,
    after: FloatArray,
    after_mass: FloatArray,
    initial_boxes: FloatArray,
    skeleton: Skeleton,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Merge poses (B, K, 2) px of two stages by their peak masses (B, K): poses and peak masses.

    A joint that both place within `AGREEMENT` is their mean, weighted by the squared masses; else it is that of the
    larger mass. Without masses (NaN) the later stage counts.
    """
    diam = bounded_diameter(before, initial_boxes, skeleton, diameter_bounds(skeleton))
    agree = np.linalg.norm(after - before, axis=-1) <= AGREEMENT * diam[:, None]
    share = before_mass**2 / (before_mass**2 + after_mass**2)
    share = np.where(agree, share, before_mass > after_mass)
    share = np.where(np.isnan(before_mass) | np.isnan(after_mass), 0.0, share)
    mass = np.where(np.isnan(after_mass), after_mass, np.fmax(before_mass, after_mass))
    return share[..., None] * before + (1 - share[..., None]) * after, mass
