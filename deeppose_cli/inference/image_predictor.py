"""Images in; overlay images and a line of results for each out. Needs no torch, so that mistakes show at once.

Images are decoded ahead, and overlays drawn and written behind, by other threads than the network's. Shape letters:
S stages, K joints.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from os.path import realpath
from pathlib import Path
from typing import TypeVar

import numpy as np

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.geometry import Box
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.detection.person_finder import PersonFinder
from deeppose_cli.detection.person_search import Stage1Scorer, find_people, stage1_scorer
from deeppose_cli.inference.records import Record, error_record, image_record
from deeppose_cli.inference.writer import ResultWriter
from deeppose_cli.media.images import Image, pixel_count, read_image
from deeppose_cli.media.video import WRITTEN, is_video
from deeppose_cli.models.cascade import Cascade, Person
from deeppose_cli.visualization.annotate import PLAIN, Style, view, write_image

BATCH_IMAGES, BATCH_PIXELS = 16, 16_000_000
"""A batch is full at either; so a folder of camera images needs no more memory than one of thumbnails."""

AHEAD = 4
"""Images that may be decoded, or being decoded, and not yet be part of a batch …"""
AHEAD_PIXELS = 32_000_000
"""… and how many pixels they may have, but for one that has more by itself."""
MAX_NAME = 255
"""Bytes of a file's name, on most file systems."""

Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Job:
    """One image to look at."""

    source: Path
    image_id: str
    """The file's name, as in a data set's list of examples; the path as typed where two files share the name."""
    overlay: str
    """Name of its overlay in the folder of results."""


@dataclass(frozen=True, eq=False)
class _Ready:
    """A decoded image."""

    job: Job
    image: Image
    boxes: list[Box] | None
    """b⁰ of everyone in it; None: the cascade is to look for them."""


@dataclass(frozen=True)
class _Skipped:
    job: Job
    reason: str


def plan(files: Sequence[Path], out: Path) -> list[Job]:
    """Where each image's overlay goes: under a name that no other overlay and no input has."""
    # Without regard to case: on some file systems X.jpg and x.jpg are one file.
    taken = {realpath(file).casefold() for file in files}
    folder = realpath(out)
    counts = Counter(file.name for file in files)
    numbers: dict[str, int] = {}
    jobs = []
    for file in files:
        stem = file.stem.casefold()
        number = numbers.get(stem, 1)
        while (place := os.path.join(folder, name := _overlay_name(file, number)).casefold()) in taken:
            number += 1
        numbers[stem] = number
        taken.add(place)
        jobs.append(Job(file, file.name if counts[file.name] == 1 else str(file), name))
    return jobs


def _overlay_name(file: Path, number: int) -> str:
    end = f"_pose{number if number > 1 else ''}{WRITTEN if is_video(file) else '.jpg'}"
    # Videos are written under a longer name first.
    stem = os.fsencode(file.stem)[: MAX_NAME - len(end) - 24].decode(errors="ignore")
    return f"{stem if len(os.fsencode(file.stem)) > len(os.fsencode(stem)) else file.stem}{end}"


def predict_images(
    cascade: Cascade,
    jobs: Sequence[Job],
    results: ResultWriter,
    boxes: PersonFinder,
    *,
    flip_test: bool = False,
    style: Style | None = PLAIN,
    on_line: Callable[[Record], None] = lambda _: None,
) -> None:
    """Looks at every image that the results do not hold yet, in order, and adds its line; `on_line` hears of it.
    `style`: of the overlays; None: there are none."""
    left = [job for job in jobs if str(job.source) not in results.done]
    look = stage1_scorer(cascade) if boxes.searches else None

    def prepare(job: Job) -> _Ready | _Skipped:
        try:
            image = read_image(job.source, exif=True)
            return _Ready(job, image, None if look else boxes.of(image, job.source))
        except DeepPoseError as error:
            return _Skipped(job, str(error))

    def commit(lines: Sequence[Record], drawn: Sequence[Future[None]]) -> None:
        for done in drawn:
            done.result()
        results.add(lines)
        for line in lines:
            on_line(line)

    def ask(batch: Sequence[_Ready | _Skipped]) -> tuple[Sequence[_Ready | _Skipped], dict[Job, list[Person]]]:
        return batch, _people(cascade, [item for item in batch if isinstance(item, _Ready)], look, flip_test)

    with ExitStack() as stack:
        # Of one batch all cores are its network's; of many each has a core.
        askers = stack.enter_context(cascade.single_threaded()) if len(left) > BATCH_IMAGES else 1
        pool, asking = (stack.enter_context(ThreadPoolExecutor(count)) for count in (os.cpu_count() or 1, askers))
        batches = _batches(ahead(pool, prepare, left, lambda job: pixel_count(job.source)))
        try:
            behind: tuple[Sequence[Record], Sequence[Future[None]]] = ((), ())
            for batch, people in ahead(asking, ask, batches, _pixels, most=askers):
                lines, drawn = [], []
                for item in batch:
                    if isinstance(item, _Skipped):
                        lines.append(error_record(str(item.job.source), item.reason))
                        continue
                    found = people[item.job]
                    height, width = item.image.shape[:2]
                    name = item.job.overlay if style is not None else ""
                    about = (str(item.job.source), item.job.image_id, (width, height), name)
                    lines.append(image_record(*about, found, cascade.skeleton))
                    if style is not None:
                        place = results.folder / name
                        drawn.append(pool.submit(_draw, place, item.image, found, cascade.skeleton, style))
                commit(*behind)
                behind = (lines, drawn)
            commit(*behind)
        except BaseException:
            for threads in (asking, pool):
                threads.shutdown(cancel_futures=True)
            raise


def ahead(
    pool: ThreadPoolExecutor,
    make: Callable[[Item], Made],
    items: Iterable[Item],
    pixels: Callable[[Item], int] = lambda _: 0,
    most: int = AHEAD,
) -> Iterator[Made]:
    """`make` of each item, in order; up to `most` are under way before they are asked for. `pixels`: what each will
    hold."""
    waiting: deque[tuple[Future[Made], int]] = deque()
    held = 0
    for item in items:
        size = pixels(item)
        while waiting and (len(waiting) == most or held + size > AHEAD_PIXELS):
            future, done = waiting.popleft()
            held -= done
            yield future.result()
        waiting.append((pool.submit(make, item), size))
        held += size
    while waiting:
        yield waiting.popleft()[0].result()


def _batches(items: Iterable[_Ready | _Skipped]) -> Iterator[list[_Ready | _Skipped]]:
    batch: list[_Ready | _Skipped] = []
    count = pixels = 0
    for item in items:
        batch.append(item)
        if isinstance(item, _Ready):
            count += 1
            pixels += item.image.shape[0] * item.image.shape[1]
        if count == BATCH_IMAGES or pixels >= BATCH_PIXELS:
            yield batch
            batch, count, pixels = [], 0, 0
    if batch:
        yield batch


def _pixels(batch: Iterable[_Ready | _Skipped]) -> int:
    return sum(item.image.shape[0] * item.image.shape[1] for item in batch if isinstance(item, _Ready))


def _people(
    cascade: Cascade, batch: Sequence[_Ready], look: Stage1Scorer | None, flip_test: bool
) -> dict[Job, list[Person]]:
    everyone: list[tuple[_Ready, Box]] = []
    for item in batch:
        boxes = item.boxes
        if boxes is None:
            assert look is not None
            boxes = find_people(look, item.image)
        everyone += [(item, box) for box in boxes]
    found: dict[Job, list[Person]] = {item.job: [] for item in batch}
    if everyone:
        first = np.array([box for _, box in everyone])
        result = cascade.predict([item.image for item, _ in everyone], first, flip_test=flip_test)
        for i, (item, box) in enumerate(everyone):
            found[item.job].append(Person(box, result.poses[:, i], result.boxes[:, i], result.confidence[:, i]))
    return found


def _draw(file: Path, image: Image, people: Sequence[Person], skeleton: Skeleton, style: Style) -> None:
    write_image(file, view(image, people, skeleton, style))
