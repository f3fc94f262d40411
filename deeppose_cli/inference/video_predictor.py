"""A video in; an annotated video and a record for every frame out.

Frames are decoded ahead of the network, and drawn and written behind it, by other threads.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.geometry import Box
from deeppose_cli.detection.person_finder import PersonFinder
from deeppose_cli.inference.image_predictor import AHEAD, Job, prefetch
from deeppose_cli.inference.records import Record, error_record, image_record
from deeppose_cli.inference.tracker import Tracker
from deeppose_cli.inference.writer import ResultWriter
from deeppose_cli.media.images import Image
from deeppose_cli.media.video import VideoReader, VideoWriter
from deeppose_cli.models.cascade import Cascade, Person
from deeppose_cli.visualization.drawing import PLAIN, AnnotationStyle, annotate_image

MIN_FRAMES = 0.9
"""A video that ends before this share of the frames in its header is reported as damaged."""


def predict_video(
    cascade: Cascade,
    job: Job,
    writer: ResultWriter,
    finder: PersonFinder,
    *,
    flip_test: bool = False,
    style: AnnotationStyle | None = PLAIN,
    frames: int | None = None,
    on_record: Callable[[Record], None] = lambda _: None,
) -> None:
    """Track everyone through a video or a camera's frames, and add a record for each frame; all of a video counts, or
    nothing.

    `style`: of the annotated video; None: no video. `frames`: at most so many. A camera is read until then, or until
    Ctrl-C. `on_record` is called with each record that was added.
    """

    def fail(reason: str) -> None:
        record = error_record(str(job.source), reason)
        writer.add([record])
        on_record(record)

    try:
        video = VideoReader(job.source)
    except DeepPoseError as error:
        fail(str(error))
        return
    count = 0
    with ExitStack() as stack:
        stack.enter_context(video)
        overlay = None
        if style is not None:
            overlay = stack.enter_context(VideoWriter(writer.folder / job.overlay, video.rate))
        # One thread each: frames come and go in their order.
        decoding, drawing = (stack.enter_context(ThreadPoolExecutor(1)) for _ in range(2))
        people_tracker = _VideoPersonTracker(cascade, finder, job.source, flip_test)
        drawn: deque[Future[None]] = deque()
        numbers = itertools.count() if frames is None else range(frames)
        images = itertools.takewhile(
            lambda image: image is not None, prefetch(decoding, lambda _: video.read(), numbers)
        )
        try:
            for image in images:
                assert image is not None
                people = people_tracker.people(image)
                if overlay is not None and style is not None:
                    drawn.append(drawing.submit(_draw, overlay, image, people, cascade, style))
                    if len(drawn) > AHEAD:
                        drawn.popleft().result()
                frame_id, name = f"{job.image_id}/{count:06d}", job.overlay if overlay is not None else ""
                record = image_record(str(job.source), frame_id, image, name, people, cascade.skeleton)
                record |= {"frame": count, "timestamp": round(count / video.rate, 3)}
                writer.add([record], complete=False)
                count += 1
                on_record(record)
        except KeyboardInterrupt:
            if not video.is_camera:  # a camera usually ends like this
                raise
        finally:
            for future in drawn:
                future.result()
    if not count:
        fail(f"{job.source}: no frame can be decoded")
        return
    writer.add([])
    if frames is None and video.count is not None and count < MIN_FRAMES * video.count:
        fail(f"{job.source}: ends after {count} of {video.count} frames")


class _VideoPersonTracker:
    """Predicts everyone in frame after frame."""

    def __init__(self, cascade: Cascade, finder: PersonFinder, path: Path, flip_test: bool) -> None:
        self._cascade, self._flip_test = cascade, flip_test
        self._tracker: Tracker | None = None
        if not finder.is_whole_image:  # else that is the box in every frame
            self._tracker = Tracker(
                lambda image: finder.find(image, path), finder.next_box, newcomers=finder.is_dynamic
            )

    def people(self, image: Image) -> list[Person]:
        """Everyone in the next frame, with numbers."""
        tracks = [(1, Box.of_image(*image.shape[1::-1]))] if self._tracker is None else self._tracker.boxes(image)
        if not tracks:
            return []
        boxes = np.array([box for _, box in tracks])
        result = self._cascade.predict([image] * len(tracks), boxes, flip_test=self._flip_test)
        kept = [True] * len(tracks)
        if self._tracker is not None:
            kept = self._tracker.update(result.poses[-1], result.confidence[0].mean(-1))
        return [result.person(i, box, number) for i, (number, box) in enumerate(tracks) if kept[i]]


def _draw(video: VideoWriter, image: Image, people: Sequence[Person], cascade: Cascade, style: AnnotationStyle) -> None:
    video.write(annotate_image(image, people, cascade.skeleton, style))
