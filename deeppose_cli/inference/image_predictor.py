"""Images in; overlays and records out. Needs no torch.

Images are decoded ahead of the network, and overlays are drawn and written behind it, by other threads.
"""

from __future__ import annotations

import os
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from os.path import realpath
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.geometry import Box
from deeppose_cli.detection.person_finder import PersonFinder
from deeppose_cli.inference.records import Record, error_record, image_record
from deeppose_cli.inference.writer import ResultWriter
from deeppose_cli.media.images import Image, pixel_count, read_image
from deeppose_cli.media.video import VIDEO_OUTPUT_SUFFIX, is_video
from deeppose_cli.models.cascade import Cascade, Person
from deeppose_cli.visualization.drawing import PLAIN, AnnotationStyle, annotate_image, write_image

BATCH_IMAGES, BATCH_PIXELS = 16, 16_000_000
"""A batch is full at either, so that a folder of camera images needs no more memory than one of thumbnails."""
AHEAD, AHEAD_PIXELS = 4, 32_000_000
"""Images that are decoded ahead of the next batch: at most so many, and so many pixels; a larger one alone."""
MAX_NAME = 255
"""Bytes of a file's name, on most file systems."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Job:
    """One image or video to predict."""

    source: Path
    image_id: str
    """The file's name, as in a data set's list of examples; the path as typed where two files share the name."""
    overlay: str
    """Name of its overlay in the folder of results."""


@dataclass(frozen=True, eq=False)
class _Decoded:
    job: Job
    image: Image


@dataclass(frozen=True)
class _Failed:
    job: Job
    reason: str


def plan_jobs(files: Sequence[Path], out: Path) -> list[Job]:
    """Give each file's overlay a name that no other overlay and no input has."""
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
    end = f"_pose{number if number > 1 else ''}{VIDEO_OUTPUT_SUFFIX if is_video(file) else '.jpg'}"
    # Videos are written under a longer name first.
    stem = os.fsencode(file.stem)[: MAX_NAME - len(end) - 24].decode(errors="ignore")
    return f"{stem if len(os.fsencode(file.stem)) > len(os.fsencode(stem)) else file.stem}{end}"


def predict_images(
    cascade: Cascade,
    jobs: Sequence[Job],
    writer: ResultWriter,
    finder: PersonFinder,
    *,
    flip_test: bool = False,
    style: AnnotationStyle | None = PLAIN,
    on_record: Callable[[Record], None] = lambda _: None,
) -> None:
    """Predict every image that the writer does not hold yet, in order, and add its record.

    `style`: of the overlays; None: no overlays. `on_record` is called with each record that was added.
    """
    jobs = [job for job in jobs if str(job.source) not in writer.done]

    def commit(records: Sequence[Record], overlays: Sequence[Future[None]]) -> None:
        for overlay in overlays:
            overlay.result()
        writer.add(records)
        for record in records:
            on_record(record)

    def write_overlay(item: _Decoded, people: Sequence[Person], style: AnnotationStyle) -> None:
        overlay = annotate_image(item.image, people, cascade.skeleton, style)
        write_image(writer.folder / item.job.overlay, overlay)

    with ExitStack() as stack:
        # A single batch is predicted on all cores; of many batches, each is predicted on its own core.
        at_once = stack.enter_context(single_threaded(cascade)) if len(jobs) > BATCH_IMAGES else 1
        pool, predicting = (stack.enter_context(ThreadPoolExecutor(n)) for n in (os.cpu_count() or 1, at_once))
        batches = _batches(prefetch(pool, _decode, jobs, lambda job: pixel_count(job.source)))
        results = prefetch(predicting, lambda b: _predict(cascade, finder, b, flip_test), batches, _pixels, at_once)
        try:
            previous: tuple[Sequence[Record], Sequence[Future[None]]] = ((), ())
            for batch in results:
                records, overlays = [], []
                for item, people in batch:
                    source = str(item.job.source)
                    if isinstance(item, _Failed):
                        records.append(error_record(source, item.reason))
                        continue
                    name = item.job.overlay if style is not None else ""
                    records.append(image_record(source, item.job.image_id, item.image, name, people, cascade.skeleton))
                    if style is not None:
                        overlays.append(pool.submit(write_overlay, item, people, style))
                commit(*previous)
                previous = (records, overlays)
            commit(*previous)
        except BaseException:
            for threads in (predicting, pool):
                threads.shutdown(cancel_futures=True)
            raise


@contextmanager
def single_threaded(cascade: Cascade) -> Iterator[int]:
    """Let torch use one thread for each call of `predict`, and yield the number of calls to run at once.

    Two batches of sixteen images, on one core each, are done a fifth sooner than one after the other on both cores. On
    a GPU and for ONNX Runtime, which has threads of its own, the number is 1 and nothing changes.
    """
    torch = sys.modules.get("torch")
    models: list[Any] = [stage.model for stage in cascade.stages]
    if torch is None or not models or not all(isinstance(model, torch.nn.Module) for model in models):
        yield 1
        return
    threads = torch.get_num_threads()
    if threads == 1 or models[0].mean.is_cuda:
        yield 1
        return
    for model in models:
        model.fused_copy()  # once, not in every thread
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


def prefetch(
    pool: ThreadPoolExecutor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    pixels: Callable[[Item], int] = lambda _: 0,
    at_most: int = AHEAD,
) -> Iterator[Result]:
    """The results of a function for each item, in order; up to `at_most` of them are computed ahead of their use.

    `pixels`: how many pixels a result holds in memory.
    """
    waiting: deque[tuple[Future[Result], int]] = deque()
    held = 0
    for item in items:
        size = pixels(item)
        while waiting and (len(waiting) == at_most or held + size > AHEAD_PIXELS):
            future, freed = waiting.popleft()
            held -= freed
            yield future.result()
        waiting.append((pool.submit(function, item), size))
        held += size
    while waiting:
        yield waiting.popleft()[0].result()


def _decode(job: Job) -> _Decoded | _Failed:
    try:
        return _Decoded(job, read_image(job.source, exif=True))
    except DeepPoseError as error:
        return _Failed(job, str(error))


def _batches(items: Iterable[_Decoded | _Failed]) -> Iterator[list[_Decoded | _Failed]]:
    batch: list[_Decoded | _Failed] = []
    for item in items:
        batch.append(item)
        count = sum(isinstance(item, _Decoded) for item in batch)
        if count == BATCH_IMAGES or _pixels(batch) >= BATCH_PIXELS:
            yield batch
            batch = []
    if batch:
        yield batch


def _pixels(batch: Iterable[_Decoded | _Failed]) -> int:
    return sum(item.image.shape[0] * item.image.shape[1] for item in batch if isinstance(item, _Decoded))


def _predict(
    cascade: Cascade, finder: PersonFinder, batch: Sequence[_Decoded | _Failed], flip_test: bool
) -> list[tuple[_Decoded | _Failed, list[Person]]]:
    """The people in each image of a batch, by one call of the cascade for all."""
    items: list[_Decoded | _Failed] = []
    found: list[list[Box]] = []
    for item in batch:
        boxes: list[Box] = []
        if isinstance(item, _Decoded):
            try:
                boxes = finder.find(item.image, item.job.source)
            except DeepPoseError as error:
                item = _Failed(item.job, str(error))
        items.append(item)
        found.append(boxes)
    pairs = list(zip(items, found, strict=True))
    images = [item.image for item, boxes in pairs if isinstance(item, _Decoded) for _ in boxes]
    everyone = [box for boxes in found for box in boxes]
    result = cascade.predict(images, np.array(everyone), flip_test=flip_test) if images else None
    people = (result.person(i, box) for i, box in enumerate(everyone) if result is not None)
    return [(item, list(islice(people, len(boxes)))) for item, boxes in pairs]
