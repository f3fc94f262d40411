"""Displacements and crops of a skeleton without limbs, sides or a pair for its diameter."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deeppose_cli.config.defaults import BOX_DIAMETER_BOUNDS
from deeppose_cli.core.annotations import Annotations
from deeppose_cli.models.cascade import refinement_boxes
from deeppose_cli.models.displacement import Displacement, training_diameters
from tests.helpers.poses import ARM7

BOX = np.array([[50.0, 50.0, 100.0, 80.0]])


def pose(width: float, height: float) -> np.ndarray:
    """(1, 7, 2) px on a diagonal."""
    return np.linspace([10.0, 10.0], [10.0 + width, 10.0 + height], len(ARM7))[None]


def test_the_diameter_is_the_diagonal_within_its_own_bounds() -> None:
    for width, height, expected in ((30.0, 40.0, 50.0), (90.0, 120.0, 150.0), (300.0, 400.0, 150.0), (0.0, 0.0, 10.0)):
        assert training_diameters(pose(width, height), BOX, ARM7).tolist() == [expected]
        np.testing.assert_allclose(refinement_boxes(pose(width, height), BOX, ARM7, 0.5)[0, :, 2:], expected / 2)
    assert BOX_DIAMETER_BOUNDS == (0.1, 1.5)


def test_displacements_are_in_units_of_the_diagonal_and_mirrored_joints_stay_the_same() -> None:
    labels = pose(30.0, 40.0).repeat(12, axis=0)
    predicted = labels + np.array([5.0, -10.0])
    boxes, names = BOX.repeat(12, axis=0), tuple(f"{number}.jpg" for number in range(12))
    annotations = Annotations(ARM7, tuple(map(Path, names)), labels, boxes, names)
    found = Displacement.measure(predicted, annotations, boxes)
    np.testing.assert_allclose(found.mean, [[0.1, -0.2]] * 7)
    np.testing.assert_allclose(found.std, 0, atol=1e-12)
    drawn = found.draw(np.random.default_rng(0), [2, 6], ARM7, mirrored=True)
    np.testing.assert_allclose(drawn, [[-0.1, -0.2]] * 2, atol=1e-12)
