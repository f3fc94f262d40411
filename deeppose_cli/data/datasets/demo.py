"""The demo set: 1,800 synthetic people, drawn on this machine in seconds; nothing is downloaded.

On disk:

    <data root>/demo/
        images/im0001.jpg … im1800.jpg
        labels.npz      the rows of each split, as of every prepared set (see prepared.py)
        demo.json       what it was made from; a set made from anything else is made again

Splits: 1..1500 is training, a tenth of it (drawn with a fixed seed) validation; 1501..1800 is the test. Each image
depends on the seed and its own number alone, so the set is the same however many processes draw it.

Licence: the project's own; no person, photograph or other work is in it.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.progress import progress_bar, report
from deeppose_cli.core.skeleton import LSP14
from deeppose_cli.data.datasets.prepared import LABELS, Splits, in_splits, make_rows, read_labels, write_labels
from deeppose_cli.data.datasets.spec import DatasetSpec
from deeppose_cli.data.datasets.splits import split_rows
from deeppose_cli.data.prepare.install import replace_folder, staging
from deeppose_cli.data.synthetic.generator import DRAWING_VERSION, draw_person

VALIDATION_SHARE = 0.1
"""Of the training images. 150 are enough to tell epochs apart, and 1,500 to learn from are few already."""
JPEG_QUALITY = 90
CHUNK = 50
"""Images a worker draws between two reports: half a second."""
MAX_PROCESSES = 8
"""More would take longer to start than the drawing they save."""


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


def read(data_root: Path) -> Splits:
    """{"train", "validation", "test"}, made first where absent. Boxes are NaN: b⁰ is the full image, as for LSP."""
    make(data_root, RECIPE)
    return read_labels(data_root / "demo", LSP14)


def is_prepared(data_root: Path) -> bool:
    """Whether the set that `read` gives has been made."""
    return _is_there(data_root / "demo", RECIPE)


def make(data_root: Path, recipe: Recipe, processes: int | None = None) -> bool:
    """Make the set in `<data root>/demo` unless it is there, with one line on stderr. True if it was made.

    Two processes may call this at once: the second waits and finds it done. Killed half-way it leaves no half set.
    Raises DeepPoseError where the folder cannot be written, or holds something that is not a demo set.
    """
    folder = data_root / "demo"
    if _is_there(folder, recipe):
        return False
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        # A worker of ours that first runs a user's script without `if __name__ == "__main__"`, and so came here again:
        # it would wait for its own parent. The parent draws alone once its workers are gone.
        raise DeepPoseError("the demo set is being made by the process that started this one")
    with staging(folder) as new:
        if _is_there(folder, recipe):
            return False
        if folder.exists() and not (folder / "demo.json").is_file() and any(folder.iterdir()):
            raise DeepPoseError(
                f"{folder}: not a demo set of this tool (no demo.json in it); move it away or delete it"
            )
        _draw(new, recipe, processes or min(os.cpu_count() or 1, MAX_PROCESSES))
        (new / "demo.json").write_text(json.dumps(asdict(recipe)) + "\n")
        replace_folder(new, folder)
    report(f"demo data: {len(recipe.images):,} synthetic people are now in {folder}; nothing was downloaded")
    return True


def _is_there(folder: Path, recipe: Recipe) -> bool:
    """Whether the set of the recipe is in the folder, whole."""
    try:
        marker = json.loads((folder / "demo.json").read_text())
        images = os.listdir(folder / "images")
    except (OSError, ValueError):
        return False
    return marker == asdict(recipe) and (folder / LABELS).is_file() and set(recipe.images) <= set(images)


def _draw(folder: Path, recipe: Recipe, processes: int) -> None:
    (folder / "images").mkdir()
    total = len(recipe.images)
    jobs = [(folder, recipe, row, min(row + CHUNK, total)) for row in range(0, total, CHUNK)]
    poses: list[NDArray[np.float64]] = []
    with progress_bar() as show:
        for chunk in _run(jobs, min(processes, len(jobs))):
            poses.extend(chunk)
            show("drawing the demo set", len(poses), total)
    rows = make_rows(LSP14, [f"images/{name}" for name in recipe.images], np.array(poses))
    train, validation = split_rows(recipe.train, VALIDATION_SHARE)
    write_labels(folder, in_splits(rows, train=train, validation=validation, test=range(recipe.train, total)))


Job = tuple[Path, Recipe, int, int]


def _run(jobs: list[Job], processes: int) -> Iterator[list[NDArray[np.float64]]]:
    """What `_draw_chunk` gives for each job, in their order."""
    done = 0
    # A daemonic process, such as a DataLoader's worker, may not have children.
    if processes > 1 and not multiprocessing.current_process().daemon:
        # Not forked: torch and rich run threads, and a fork copies the locks that they hold.
        context = multiprocessing.get_context("spawn")
        # Workers that cannot start, or are killed for memory: what is left is drawn here.
        with suppress(BrokenProcessPool), ProcessPoolExecutor(processes, context, _start_worker) as pool:
            for chunk in pool.map(_draw_chunk, jobs):
                done += 1
                yield chunk
    for job in jobs[done:]:
        yield _draw_chunk(job)


def _start_worker() -> None:
    cv2.setNumThreads(1)
    # Ctrl-C reaches the whole group: the parent alone reacts to it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _draw_chunk(job: Job) -> list[NDArray[np.float64]]:
    """Draw rows start..stop−1 into the folder; their poses (K, 2) in px."""
    folder, recipe, start, stop = job
    poses = []
    for row in range(start, stop):
        drawing = draw_person(np.random.default_rng((recipe.seed, row)))
        pixels = cv2.cvtColor(drawing.image, cv2.COLOR_RGB2BGR)
        _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        (folder / "images" / recipe.images[row]).write_bytes(data.tobytes())
        poses.append(drawing.joints)
    return poses


DEMO = DatasetSpec(
    name="demo",
    title="Synthetic people: 1,800 images drawn on this machine; to try the tool, not to report scores on",
    skeleton=LSP14,
    preset="tiny",
    sigma=2.0,
    initial_box="image",
    conventions="0-based; sides are the person's",
    how_to_get="nothing to get: it is drawn on first use; type: deeppose data prepare demo",
    read=read,
    image_order="by number: test im1501.jpg … im1800.jpg; train and validation share im0001.jpg … im1500.jpg",
)
