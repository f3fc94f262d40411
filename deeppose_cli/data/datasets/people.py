"""LSP, LSPET and FLIC together: whole bodies in sports and upper bodies in movies, for one model of all of them.

Nothing lies on disk for it: it reads what `deeppose data prepare lsp` and `deeppose data prepare flic` leave in
`<data root>/lsp` and `<data root>/flic`, each with its own terms and papers (see lsp.py and flic.py).

Splits: those of the two sets, LSP's rows before FLIC's, so what either tests with is never trained on. The joined test
is an overview; scores to compare with others' are read on lsp and flic themselves.

Joints: every point that either set labels, `PEOPLE15`; what a set has no label for is NaN in its rows. FLIC's neck is
the middle of the shoulders and no label: another point than LSP's, so NaN as well. Where a model of this set is scored
on FLIC, the middle of its shoulders is taken.

Initial boxes: `boxes` holds FLIC's torso boxes, placed around the person as `--box torso` does; LSPET's own; NaN, the
whole image, for LSP. So each person has the size in the first crop that a model of that set alone gets.

σ is one number, as an image does not show which set it is of. It is LSP's, the larger: a first stage is off by 0.37
diam on LSP (standard deviation, training images), and with FLIC's 1.0, a crop of half a diam either way, about a third
of the joints would lie outside; with 2.0 FLIC loses nothing but resolution.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from deeppose_cli.config.defaults import TORSO_PLACEMENT
from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.skeleton import PEOPLE15
from deeppose_cli.data.datasets.flic import FLIC
from deeppose_cli.data.datasets.lsp import LSP
from deeppose_cli.data.datasets.spec import DatasetSpec
from deeppose_cli.data.datasets.splits import SPLITS, Splits
from deeppose_cli.detection.initial_boxes import place


def join(data_root: Path) -> Splits:
    """{"train", "validation", "test"}, the rows of the parts in their order. No image is decoded.

    Raises DeepPoseError where a part is not prepared, or not whole.
    """
    found, problems = [], []
    for part in (LSP, FLIC):
        try:
            found.append(part.read(data_root))
        except DeepPoseError as error:
            problems.append(str(error))
    if problems:
        raise DeepPoseError(f"people joins {' and '.join(PEOPLE.parts)}: {'; '.join(problems)}")
    return {split: Annotations.join([to_combined_skeleton(rows[split]) for rows in found]) for split in SPLITS}


def to_combined_skeleton(part: Annotations) -> Annotations:
    """A part's rows with PEOPLE15's joints, and its torso boxes, placed around the
    person, as `boxes`."""
    keypoints = np.full((len(part), len(PEOPLE15), 2), np.nan)
    for column, joint in enumerate(part.skeleton.joints):
        if joint not in part.skeleton.derived:
            keypoints[:, PEOPLE15.index(joint)] = part.keypoints[:, column]
    boxes = part.boxes if part.torsos is None else place(part.torsos, TORSO_PLACEMENT)
    return replace(part, skeleton=PEOPLE15, keypoints=keypoints, boxes=boxes, sticks=None)


PEOPLE = DatasetSpec(
    name="people",
    title="LSP, LSPET and FLIC together: whole and upper bodies, for one model of all",
    skeleton=PEOPLE15,
    preset="people",
    sigma=2.0,
    initial_box="own",
    conventions="none of its own: lsp and flic as they are prepared; what a set does not label is NaN, FLIC's neck too",
    how_to_get="joined of lsp and flic where they lie, nothing is copied; type: deeppose data prepare lsp; "
    "deeppose data prepare flic",
    join=join,
    image_order="lsp's rows, then flic's, each split in that set's own order",
    parts={LSP.name: "image", FLIC.name: "torso"},
)
