"""The demo set: 1,800 synthetic people, drawn on this machine in seconds; nothing is downloaded.

On disk:

    <data root>/demo/
        dataset.yaml
        annotations/train.json, validation.json, test.json
        images/im0001.jpg … im1800.jpg
        demo.json       what it was made from; a set made from anything else is made again

Splits: 1..1500 is training, a tenth of it (drawn with a fixed seed) validation; 1501..1800 is the test. Each image
depends on the seed and its own number alone, so the set is the same however many threads draw it.

Licence: the project's own; no person, photograph or other work is in it.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.progress import progress_bar, report
from deeppose_cli.core.skeleton import LSP14
from deeppose_cli.data.datasets.release import make_rows, write_dataset
from deeppose_cli.data.datasets.spec import DATASET_FILE, IMAGES, DatasetSpec
from deeppose_cli.data.datasets.splits import in_splits, split_rows
from deeppose_cli.data.prepare.archives import replace_folder, staging
from deeppose_cli.data.synthetic.generator import DRAWING_VERSION, draw_person

VALIDATION_SHARE = 0.1
"""Of the training images. 150 are enough to tell epochs apart, and 1,500 to learn from are few."""
JPEG_QUALITY = 90


@dataclass(frozen=True)
class Recipe:
    """What the set is made from: all of it is in demo.json."""

    train: int = 1500
    test: int = 300
    seed: int = 1
    version: int = DRAWING_VERSION

    @property
    def images(self) -> list[str]:
        return [f"im{number:04d}.jpg" for number in range(1, self.train + self.test + 1)]


RECIPE = Recipe()


def is_prepared(data_root: Path, recipe: Recipe | None = None) -> bool:
    """Whether the set of the recipe has been made, whole."""
    folder, recipe = data_root / "demo", recipe or RECIPE
    try:
        marker = json.loads((folder / "demo.json").read_text())
        images = os.listdir(folder / "images")
    except (OSError, ValueError):
        return False
    return marker == asdict(recipe) and (folder / DATASET_FILE).is_file() and set(recipe.images) <= set(images)


def make(data_root: Path, recipe: Recipe | None = None) -> bool:
    """Make the set in `<data root>/demo` unless it is there, with one line on stderr. True if it was made.

    Two processes may call this at once: the second waits and finds it done. Killed half-way it leaves no half set.
    Raises DeepPoseError where the folder cannot be written, or holds something that is not a demo set.
    """
    folder, recipe = data_root / "demo", recipe or RECIPE
    if is_prepared(data_root, recipe):
        return False
    with staging(folder) as new:
        if is_prepared(data_root, recipe):
            return False
        if folder.exists() and not (folder / "demo.json").is_file() and any(folder.iterdir()):
            raise DeepPoseError(
                f"{folder}: not a demo set of this tool (no demo.json in it); move it away or delete it"
            )
        _draw(new, recipe)
        (new / "demo.json").write_text(json.dumps(asdict(recipe)) + "\n")
        replace_folder(new, folder)
    report(f"demo data: {len(recipe.images):,} synthetic people are now in {folder}; nothing was downloaded")
    return True


def _draw(folder: Path, recipe: Recipe) -> None:
    (folder / IMAGES).mkdir()

    def draw(row: int) -> NDArray[np.float64]:
        """Write one image; its joints (K, 2) in px."""
        drawing = draw_person(np.random.default_rng((recipe.seed, row)))
        pixels = cv2.cvtColor(drawing.image, cv2.COLOR_RGB2BGR)
        _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        (folder / IMAGES / recipe.images[row]).write_bytes(data.tobytes())
        return drawing.joints

    total = len(recipe.images)
    joints = []
    # Threads, as OpenCV draws without the interpreter's lock; processes would run a script without a main guard again.
    with progress_bar() as show, ThreadPoolExecutor() as pool:
        for pose in pool.map(draw, range(total)):
            joints.append(pose)
            show("drawing the demo set", len(joints), total)
    rows = make_rows(LSP14, recipe.images, np.array(joints))
    train, validation = split_rows(recipe.train, VALIDATION_SHARE)
    splits = in_splits(rows, train=train, validation=validation, test=range(recipe.train, total))
    write_dataset(DEMO, splits, folder)


DEMO = DatasetSpec(
    name="demo",
    title="Synthetic people: 1,800 images drawn on this machine; to try the tool, not to report scores on",
    skeleton=LSP14,
    preset="tiny",
    sigma=2.0,
    initial_box="image",
    conventions="0-based; sides are the person's",
    how_to_get="nothing to get: it is drawn on first use; type: deeppose data prepare demo",
    licence="the project's own",
    make=make,
    image_order="by number: test im1501.jpg … im1800.jpg; train and validation share im0001.jpg … im1500.jpg",
)
