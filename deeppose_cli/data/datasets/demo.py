"""The demo set: 1,800 drawn people, made on this machine in seconds; nothing is downloaded.

On disk, in LSP's own format, so that LSP's reader reads it:

    <data root>/demo/
        images/im0001.jpg … im1800.jpg
        joints.mat      joints: float64 (3, 14, 1800): x, y, 1 = occluded; MATLAB's 1-based coordinates
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
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import scipy.io
from numpy.typing import NDArray

from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.files import lock
from deeppose_cli.core.skeleton import LSP14
from deeppose_cli.data.datasets import lsp
from deeppose_cli.data.datasets.spec import DatasetSpec
from deeppose_cli.data.prepare.archives import replace_folder, staging
from deeppose_cli.data.synthetic.generator import DRAWING_VERSION, draw_person

VALIDATION_SHARE = 0.1
"""Of the training images. 150 are enough to tell epochs apart, and 1,500 to learn from are few already."""
JPEG_QUALITY = 90
CHUNK = 50
"""Images a worker draws between two reports: half a second."""
MOST_PROCESSES = 8
"""More would take longer to start than the drawing they save."""
MAT_HEADER = b"MATLAB 5.0 MAT-file, drawn by deeppose"
"""SciPy would write the time of day here, and no two sets would be the same file."""


@dataclass(frozen=True)
class Plan:
    """What the set is made from: all of it is in demo.json."""

    train: int = 1500
    test: int = 300
    seed: int = 1
    version: int = DRAWING_VERSION

    @property
    def count(self) -> int:
        return self.train + self.test


PLAN = Plan()


def ensure(data_root: Path) -> bool:
    """Make the set in `<data root>/demo` unless it is there, and say so in one line on stderr. True if it was made.

    Two processes may call this at once: the second waits and finds it done. Killed half-way it leaves no half set.
    Raises DeepPoseError where the folder cannot be written, or holds something that is not a demo set.
    """
    return _ensure(data_root, PLAN)


def is_here(data_root: Path) -> bool:
    """Whether the set that `read` gives has been made."""
    return _is_there(data_root / "demo", PLAN)


def read(data_root: Path) -> dict[str, Annotations]:
    """{"train", "validation", "test"}, made first where absent. Boxes are NaN: b⁰ is the full image, as for LSP."""
    return _read(data_root, PLAN)


def _read(data_root: Path, plan: Plan) -> dict[str, Annotations]:
    _ensure(data_root, plan)
    folder = data_root / "demo"
    joints = lsp.read_joints(folder, plan.count)
    everyone = Annotations(
        skeleton=LSP14,
        files=tuple(folder / "images" / _name(row) for row in range(plan.count)),
        keypoints=joints[..., :2],
        boxes=np.full((plan.count, 4), np.nan),
        names=tuple(_name(row) for row in range(plan.count)),
    )
    train, validation = lsp.split_rows(plan.train, VALIDATION_SHARE)
    return {
        "train": everyone.take(train),
        "validation": everyone.take(validation),
        "test": everyone.take(np.arange(plan.train, plan.count)),
    }


def _ensure(data_root: Path, plan: Plan, processes: int | None = None) -> bool:
    if _is_there(data_root / "demo", plan):
        return False
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        # A worker of ours that first runs a user's script without `if __name__ == "__main__"`, and so came here again:
        # it would wait for its own parent. The parent draws alone once its workers are gone.
        raise DeepPoseError("the demo set is being made by the process that started this one")
    with lock(data_root / ".demo.lock", hint="; --data-root takes another"):
        if _is_there(data_root / "demo", plan):
            return False
        _make(data_root, plan, processes or min(os.cpu_count() or 1, MOST_PROCESSES))
    print(
        f"demo data: {plan.count:,} drawn people are now in {data_root / 'demo'}; nothing was downloaded",
        file=sys.stderr,
    )
    return True


def _name(row: int) -> str:
    return f"im{row + 1:04d}.jpg"


def _is_there(folder: Path, plan: Plan) -> bool:
    """Whether the set that `plan` describes is in the folder, whole."""
    try:
        marker = json.loads((folder / "demo.json").read_text())
        images = set(os.listdir(folder / "images"))
    except (OSError, ValueError):
        return False
    return (
        marker == asdict(plan)
        and (folder / "joints.mat").is_file()
        and images.issuperset(_name(row) for row in range(plan.count))
    )


def _make(data_root: Path, plan: Plan, processes: int) -> None:
    """Everything is drawn beside its place and moved there at the end."""
    folder = data_root / "demo"
    if folder.exists() and not (folder / "demo.json").is_file() and any(folder.iterdir()):
        raise DeepPoseError(f"{folder}: not a demo set of this tool (no demo.json in it); move it away or delete it")
    with staging(data_root) as temporary:
        new = temporary / "demo"
        (new / "images").mkdir(parents=True)
        records = np.empty((plan.count, len(LSP14), 3))
        for row, joints in _drawn(new / "images", plan, processes):
            records[row : row + len(joints)] = joints
        (new / "joints.mat").write_bytes(_mat_file(records))
        (new / "demo.json").write_text(json.dumps(asdict(plan)) + "\n")
        replace_folder(new, folder)


def _mat_file(records: NDArray[np.float64]) -> bytes:
    """(N, 14, 3) x, y in 0-based px and the flag → a MATLAB file as LSP's: (3, 14, N), 1-based."""
    buffer = BytesIO()
    scipy.io.savemat(buffer, {"joints": records.transpose(2, 1, 0) + np.array([1, 1, 0])[:, None, None]})
    return MAT_HEADER.ljust(116) + buffer.getvalue()[116:]


def _drawn(images: Path, plan: Plan, processes: int) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Write all images; yields (first row, records (n, 14, 3)) chunk by chunk, in any order, under a progress bar."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    jobs = [(images, plan.seed, row, min(row + CHUNK, plan.count)) for row in range(0, plan.count, CHUNK)]
    columns = (TextColumn("drawing the demo set"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=plan.count)
        for row, joints in _in_processes(jobs, min(processes, len(jobs))):
            progress.advance(task, len(joints))
            yield row, joints


Job = tuple[Path, int, int, int]
Chunk = tuple[int, NDArray[np.float64]]


def _in_processes(jobs: list[Job], processes: int) -> Iterator[Chunk]:
    # A daemonic process, such as a DataLoader's worker, may not have children.
    if processes > 1 and not multiprocessing.current_process().daemon:
        # Not forked: torch and rich run threads, and a fork copies the locks that they hold.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_start_worker)
        left = set(jobs)
        try:
            futures = {pool.submit(_draw_chunk, *job): job for job in jobs}
            for future in as_completed(futures):
                chunk = future.result()
                left.remove(futures[future])
                yield chunk
        except BrokenProcessPool:
            pass  # The workers could not start, or were killed for memory: what is left is drawn here.
        finally:
            pool.shutdown(cancel_futures=True)
        jobs = sorted(left)
    for job in jobs:
        yield _draw_chunk(*job)


def _start_worker() -> None:
    cv2.setNumThreads(1)
    # Ctrl-C reaches the whole group: the parent alone answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _draw_chunk(images: Path, seed: int, start: int, stop: int) -> Chunk:
    """Draw rows start..stop−1 into the folder; their records (n, 14, 3): x, y in 0-based px, 1 = occluded."""
    records = np.empty((stop - start, len(LSP14), 3))
    for record, row in zip(records, range(start, stop), strict=True):
        drawing = draw_person(np.random.default_rng((seed, row)))
        record[:, :2], record[:, 2] = drawing.joints, drawing.occluded
        pixels = cv2.cvtColor(drawing.image, cv2.COLOR_RGB2BGR)
        _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        (images / _name(row)).write_bytes(data.tobytes())
    return start, records


DEMO = DatasetSpec(
    name="demo",
    title="Drawn people: 1,800 images made on this machine; to try the tool, not to report scores on",
    skeleton=LSP14,
    preset="tiny",
    sigma=2.0,
    initial_box="image",
    conventions="as LSP: 1-based in the files, 0-based here; sides are the person's; flag: 1 = occluded",
    how_to_get="nothing to get: it is drawn on first use; type: deeppose data prepare demo",
    read=read,
    image_order="by number: test im1501.jpg … im1800.jpg; train and validation share im0001.jpg … im1500.jpg",
)
