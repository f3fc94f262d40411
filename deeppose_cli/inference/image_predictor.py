"""Images in; overlays and records out. Needs no torch.

Images are decoded ahead of the network, and overlays are drawn and written behind it, by other threads.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from deeppose_cli.config.defaults import MIN_CONFIDENCE
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.geometry import Box
from deeppose_cli.detection.person_finder import PersonFinder, non_max_suppression
from deeppose_cli.inference.inputs import Job
from deeppose_cli.inference.records import Record, error_record, image_record
from deeppose_cli.inference.writer import ResultWriter
from deeppose_cli.media.formats import Source
from deeppose_cli.media.images import Image, pixel_count, read_image
from deeppose_cli.media.video_writer import CODEC
from deeppose_cli.models.cascade import Cascade, Person
from deeppose_cli.visualization.drawing import PLAIN, AnnotationStyle, annotate_image, write_image

BATCH_IMAGES, BATCH_PIXELS = 16, 16_000_000
"""A batch is full at either, so that a folder of camera images needs no more memory than one of thumbnails."""
AHEAD, AHEAD_PIXELS = 4, 32_000_000
"""Images that are decoded ahead of the next batch: at most so many, and so many pixels; a larger one alone."""

Item = TypeVar("Item")
Result = TypeVar("Result")
Decoded = tuple[Job, Image | DeepPoseError]
"""An image, or why it cannot be predicted."""


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """A cascade, the people's initial boxes, and where the results go; for images and videos."""

    cascade: Cascade
    finder: PersonFinder
    writer: ResultWriter
    flip_test: bool = False
    style: AnnotationStyle | None = PLAIN
    """Style of the overlays; None: no overlays."""
    min_confidence: float = MIN_CONFIDENCE
    """Least mean confidence of a detected person in an image."""
    frames: int | None = None
    """Most frames of each video or camera."""
    codec: str = CODEC
    """FFmpeg's name of the encoder of annotated videos."""
    audio: bool = True
    """Whether annotated videos have their source's sound."""
    on_video: Callable[[Source, int | None], None] = lambda *_: None
    """Is called at the start of each video, with its number of frames where that is known."""
    on_record: Callable[[Record], None] = lambda _: None
    """Is called with each record once it is written."""

    def people(self, images: Sequence[Image], boxes: Sequence[Box]) -> list[Person]:
        """The person in each initial box of an image."""
        return predict_people(self.cascade, images, boxes, flip_test=self.flip_test)

    def add(self, records: Sequence[Record], *, complete: bool = True) -> None:
        """Write the records, as `ResultWriter.add`."""
        self.writer.add(records, complete=complete)
        for record in records:
            self.on_record(record)


def predict_people(cascade: Cascade, images: Sequence[Image], boxes: Sequence[Box], *, flip_test: bool) -> list[Person]:
    """The person in each initial box; `images`: that of each box."""
    if not boxes:
        return []
    result = cascade.predict(images, np.array(boxes), flip_test=flip_test)
    return [result.person(i, box) for i, box in enumerate(boxes)]


def distinct_people(people: Sequence[Person], min_confidence: float = MIN_CONFIDENCE) -> list[Person]:
    """The people without those whose pose is another's, and without unsure ones, the most confident first."""
    if not people:
        return []
    confidence = np.array([person.confidence[-1].mean() for person in people])
    order = non_max_suppression(np.array([person.poses[-1] for person in people]), confidence)
    return [people[i] for i in order if not confidence[i] < min_confidence]  # NaN, not measured, is not less


def predict_images(predictor: Predictor, jobs: Sequence[Job]) -> None:
    """Predict every image that the writer does not hold yet, in order, and add its record."""
    cascade, writer, style = predictor.cascade, predictor.writer, predictor.style
    jobs = [job for job in jobs if str(job.source) not in writer.done]

    def commit(records: Sequence[Record], overlays: Sequence[Future[None]]) -> None:
        for overlay in overlays:
            overlay.result()
        predictor.add(records)

    def write_overlay(job: Job, image: Image, people: Sequence[Person], style: AnnotationStyle) -> None:
        write_image(writer.folder / job.overlay, annotate_image(image, people, cascade.skeleton, style))

    with ExitStack() as stack:
        # A single batch is predicted on all cores; of many batches, each is predicted on its own core.
        at_once = stack.enter_context(single_threaded(cascade)) if len(jobs) > BATCH_IMAGES else 1
        pool, predicting = (stack.enter_context(ThreadPoolExecutor(n)) for n in (os.cpu_count() or 1, at_once))
        batches = _batches(prefetch(pool, _decode, jobs, lambda job: pixel_count(Path(job.source))))
        results = prefetch(predicting, lambda batch: _predict(predictor, batch), batches, _pixels, at_once)
        try:
            previous: tuple[Sequence[Record], Sequence[Future[None]]] = ((), ())
            for batch in results:
                records, overlays = [], []
                for job, image, people in batch:
                    if isinstance(image, DeepPoseError):
                        records.append(error_record(job.source, str(image)))
                        continue
                    overlay = job.overlay if style is not None else ""
                    records.append(image_record(job.source, job.image_id, image, overlay, people, cascade.skeleton))
                    if style is not None:
                        overlays.append(pool.submit(write_overlay, job, image, people, style))
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


def _decode(job: Job) -> Decoded:
    try:
        return job, read_image(Path(job.source), as_displayed=True)
    except DeepPoseError as error:
        return job, error


def _batches(items: Iterable[Decoded]) -> Iterator[list[Decoded]]:
    batch: list[Decoded] = []
    for item in items:
        batch.append(item)
        count = sum(not isinstance(image, DeepPoseError) for _, image in batch)
        if count == BATCH_IMAGES or _pixels(batch) >= BATCH_PIXELS:
            yield batch
            batch = []
    if batch:
        yield batch


def _pixels(batch: Iterable[Decoded]) -> int:
    return sum(image.shape[0] * image.shape[1] for _, image in batch if not isinstance(image, DeepPoseError))


def _predict(predictor: Predictor, batch: Sequence[Decoded]) -> list[tuple[Job, Image | DeepPoseError, list[Person]]]:
    """The people in each image of a batch, by one call of the cascade for all."""
    items: list[tuple[Job, Image | DeepPoseError, int]] = []
    images: list[Image] = []
    boxes: list[Box] = []
    for job, image in batch:
        found: list[Box] = []
        if not isinstance(image, DeepPoseError):
            try:
                found = predictor.finder.find(image, Path(job.source))
                images += [image] * len(found)
                boxes += found
            except DeepPoseError as error:
                image = error
        items.append((job, image, len(found)))
    people = iter(predictor.people(images, boxes))

    def chosen(everyone: list[Person]) -> list[Person]:
        return distinct_people(everyone, predictor.min_confidence) if predictor.finder.is_dynamic else everyone

    return [(job, image, chosen(list(islice(people, count)))) for job, image, count in items]
