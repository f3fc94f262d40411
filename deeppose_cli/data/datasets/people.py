"""LSP, LSPET, FLIC and, where it is there, MPII together: sports, movies and daily life, for one model of all of them.

Nothing lies on disk for it: it reads what `deeppose data prepare lsp` and `deeppose data prepare flic` leave in
`<data root>/lsp` and `<data root>/flic`, and the first of the folders `MPII_FOLDERS` that exists, each with its own
terms and papers (see lsp.py and flic.py).

Splits: those of the sets, LSP's rows before FLIC's before MPII's, so what any tests with is never trained on. In the
training split the rows of LSP's own images and of MPII are there `REPEATS` times: LSPET, whose labels are less exact,
would be three quarters of it. The joined test is an overview; scores to compare with others' are read on each set.

Joints: `PEOPLE19`, COCO's keypoints with neck and head top; what a set has no label for is NaN in its rows. FLIC's neck
is the middle of the shoulders and no label: NaN here. Its hips lie above where the other sets label them: NaN in the
training split. Where a model of this set is scored on FLIC, the middle of its shoulders is taken for the neck.

Initial boxes: `boxes` holds FLIC's torso boxes, placed around the person as `--box torso` does; LSPET's and MPII's own;
NaN, the whole image, for LSP. So each person has the size in the first crop that a model of that set alone gets.

σ is one number, as an image does not show which set it is of. It is LSP's, the larger: a first stage is off by 0.37
diam on LSP (standard deviation, training images), and with FLIC's 1.0, a crop of half a diam either way, about a third
of the joints would lie outside; with 2.0 FLIC loses nothing but resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.config.defaults import TORSO_PLACEMENT
from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.skeleton import PEOPLE19
from deeppose_cli.data.datasets.flic import FLIC
from deeppose_cli.data.datasets.lsp import LSP
from deeppose_cli.data.datasets.spec import DATASET_FILE, DatasetSpec, read_spec
from deeppose_cli.data.datasets.splits import SPLITS, Splits
from deeppose_cli.detection.initial_boxes import place

MPII_FOLDERS = ("mpii", "mpii-sample")
"""Folders below the data root that may hold MPII, or a part of it, with MPII's joint names."""
REPEATS = 3
_OTHER_NAMES = {"neck": "upper_neck"}
"""Joints of PEOPLE19 by the name that MPII has for them."""
_NOT_TAKEN = {
    FLIC.name: {"train": ("neck", "left_hip", "right_hip"), "validation": ("neck",), "test": ("neck",)},
}


def join(data_root: Path) -> Splits:
    """{"train", "validation", "test"}, the rows of the parts in their order. No image is decoded.

    Raises DeepPoseError where LSP or FLIC is not prepared, or not whole.
    """
    mpii = [read_spec(data_root / name) for name in MPII_FOLDERS if (data_root / name / DATASET_FILE).is_file()]
    found, problems = [], []
    for part in (LSP, FLIC, *mpii[:1]):
        try:
            splits = part.read(data_root)
            not_taken = _NOT_TAKEN.get(part.name, {})
            joined = {split: _to_people(rows, not_taken.get(split, ())) for split, rows in splits.items()}
            joined["train"] = joined["train"].take(_repeated_rows(part.name, joined["train"]))
            found.append(joined)
        except DeepPoseError as error:
            problems.append(str(error))
    if problems:
        raise DeepPoseError(f"people joins {' and '.join(PEOPLE.parts)}: {'; '.join(problems)}")
    return {split: Annotations.join([rows[split] for rows in found]) for split in SPLITS}


def _repeated_rows(name: str, train: Annotations) -> NDArray[np.int64]:
    """Rows of a part's training split, those of exact labels `REPEATS` times: of LSP the ones without a box, of MPII
    all. FLIC has enough."""
    exact = {LSP.name: np.isnan(train.boxes).any(-1), FLIC.name: np.zeros(len(train), dtype=bool)}
    return np.repeat(np.arange(len(train)), np.where(exact.get(name, True), REPEATS, 1))


def _to_people(part: Annotations, not_taken: Sequence[str]) -> Annotations:
    """A part's rows with PEOPLE19's joints, and its torso boxes, placed around the person, as `boxes`."""
    keypoints = np.full((len(part), len(PEOPLE19), 2), np.nan)
    for index, joint in enumerate(PEOPLE19.joints):
        name = joint if joint in part.skeleton.joints else _OTHER_NAMES.get(joint)
        if name in part.skeleton.joints and joint not in not_taken:
            keypoints[:, index] = part.keypoints[:, part.skeleton.index(name)]
    boxes = part.boxes if part.torsos is None else place(part.torsos, TORSO_PLACEMENT)
    return replace(part, skeleton=PEOPLE19, keypoints=keypoints, boxes=boxes, sticks=None)


PEOPLE = DatasetSpec(
    name="people",
    title="LSP, LSPET, FLIC and MPII (where prepared) together, for one model of all",
    skeleton=PEOPLE19,
    preset="people",
    sigma=2.0,
    initial_box="own",
    conventions="none of its own: lsp and flic as they are prepared; what a set does not label is NaN, FLIC's neck too",
    how_to_get="joined of lsp and flic where they lie, nothing is copied; type: deeppose data prepare lsp; "
    "deeppose data prepare flic",
    join=join,
    image_order="lsp's rows, then flic's, then mpii's, each split in that set's own order",
    parts={LSP.name: "image", FLIC.name: "torso"},
)
