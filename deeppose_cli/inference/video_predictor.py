"""A video in; an annotated video, and a line for every frame, out. Frames are decoded ahead and drawn behind."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.geometry import Box
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.detection.person_finder import IMAGE, PersonFinder
from deeppose_cli.detection.person_search import find_people, stage1_scorer
from deeppose_cli.inference.image_predictor import AHEAD, Job, ahead
from deeppose_cli.inference.records import Record, error_record, image_record
from deeppose_cli.inference.tracker import Tracker
from deeppose_cli.inference.writer import ResultWriter
from deeppose_cli.media.images import Image
from deeppose_cli.media.video import VideoReader, VideoWriter
from deeppose_cli.models.cascade import Cascade, Person
from deeppose_cli.visualization.annotate import PLAIN, Style, view

LEAST_SHARE = 0.9
"""A video that ends before so much of what its header tells is reported as damaged."""


def predict_video(
    cascade: Cascade,
    job: Job,
    results: ResultWriter,
    boxes: PersonFinder,
    *,
    flip_test: bool = False,
    style: Style | None = PLAIN,
    frames: int | None = None,
    on_line: Callable[[Record], None] = lambda _: None,
) -> None:
    """Follows everyone through a video or what a camera sees, and adds a line for each frame; all of a video counts, or
    nothing. `style`: of the annotated video; None: there is none. `frames`: no more than so many. A camera is watched
    until then, or until Ctrl-C.
    """
    try:
        video = VideoReader(job.source)
    except DeepPoseError as error:
        _give_up(results, error_record(str(job.source), str(error)), on_line)
        return
    watched = 0
    with ExitStack() as stack:
        stack.enter_context(video)
        writer = (
            stack.enter_context(VideoWriter(results.folder / job.overlay, video.rate)) if style is not None else None
        )
        # One thread each: frames come and go in their order.
        decoding, drawing = (stack.enter_context(ThreadPoolExecutor(1)) for _ in range(2))
        follower = _VideoPersonTracker(cascade, job, boxes, flip_test)
        drawn: deque[Future[None]] = deque()
        numbers = itertools.count() if frames is None else range(frames)
        images = itertools.takewhile(lambda image: image is not None, ahead(decoding, lambda _: video.read(), numbers))
        try:
            for image in images:
                assert image is not None
                people = follower.people(image)
                if writer is not None and style is not None:
                    drawn.append(drawing.submit(_write, writer, image, people, cascade.skeleton, style))
                    if len(drawn) > AHEAD:
                        drawn.popleft().result()
                height, width = image.shape[:2]
                about = (str(job.source), f"{job.image_id}/{watched:06d}", (width, height))
                overlay = job.overlay if style is not None else ""
                line = image_record(*about, overlay, people, cascade.skeleton)
                line |= {"frame": watched, "seconds": round(watched / video.rate, 3)}
                results.add([line], whole=False)
                watched += 1
                on_line(line)
        except KeyboardInterrupt:
            if not video.is_camera:  # of which this is the usual end
                raise
        finally:
            for one in drawn:
                one.result()
    if not watched:
        _give_up(results, error_record(str(job.source), f"{job.source}: no frame can be decoded"), on_line)
        return
    results.add([])
    if frames is None and video.count is not None and watched < LEAST_SHARE * video.count:
        reason = f"{job.source}: ends after {watched} of {video.count} frames"
        _give_up(results, error_record(str(job.source), reason), on_line)


def _give_up(results: ResultWriter, line: Record, on_line: Callable[[Record], None]) -> None:
    results.add([line])
    on_line(line)


class _VideoPersonTracker:
    """Everyone in frame after frame."""

    def __init__(self, cascade: Cascade, job: Job, boxes: PersonFinder, flip_test: bool) -> None:
        self._cascade, self._flip_test = cascade, flip_test
        look = stage1_scorer(cascade) if boxes.searches else None

        def find(image: Image) -> list[Box]:
            return boxes.of(image, job.source) if look is None else find_people(look, image)

        # The whole image is everyone's box in every frame.
        still = boxes.spec == IMAGE or (boxes.searches and look is None)
        self._tracker = None if still else Tracker(find, boxes.follow, again=boxes.finds)

    def people(self, image: Image) -> list[Person]:
        whole = Box.of_image(*image.shape[1::-1])
        known = [(1, whole)] if self._tracker is None else self._tracker.boxes(image)
        if not known:
            return []
        first = np.array([box for _, box in known])
        result = self._cascade.predict([image] * len(known), first, flip_test=self._flip_test)
        keep = [True] * len(known)
        if self._tracker is not None:
            keep = self._tracker.see(result.poses[-1], result.confidence[0].mean(-1))
        return [
            Person(box, result.poses[:, i], result.boxes[:, i], result.confidence[:, i], number)
            for i, (number, box) in enumerate(known)
            if keep[i]
        ]


def _write(writer: VideoWriter, image: Image, people: list[Person], skeleton: Skeleton, style: Style) -> None:
    writer.write(view(image, people, skeleton, style))
