"""A video in; an annotated video and a record for every frame out.

Frames are decoded ahead of the network, and drawn and written behind it, by other threads.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import numpy as np

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.geometry import Box
from deeppose_cli.inference.image_predictor import AHEAD, Predictor, prefetch
from deeppose_cli.inference.inputs import Job
from deeppose_cli.inference.records import error_record, image_record
from deeppose_cli.inference.tracker import Tracker
from deeppose_cli.media.images import Image
from deeppose_cli.media.video import VideoReader, VideoWriter
from deeppose_cli.models.cascade import Person
from deeppose_cli.visualization.drawing import AnnotationStyle, annotate_image

MIN_FRAMES = 0.9
"""A video that ends before this share of the frames in its header is reported as damaged."""


def predict_video(predictor: Predictor, job: Job) -> None:
    """Track everyone through a video or a camera's frames, and add a record for each frame; all of a video counts, or
    nothing. A camera is read for `predictor.frames`, or until Ctrl-C."""
    finder, style, skeleton = predictor.finder, predictor.style, predictor.cascade.skeleton
    try:
        video = VideoReader(job.source)
    except DeepPoseError as error:
        predictor.add([error_record(job.source, str(error))])
        return
    tracker: Tracker | None = None
    if not finder.is_whole_image:  # else that is the box in every frame
        tracker = Tracker(lambda image: finder.find(image, job.source), finder.next_box, newcomers=finder.is_dynamic)

    def draw(writer: VideoWriter, image: Image, people: Sequence[Person], style: AnnotationStyle) -> None:
        writer.write(annotate_image(image, people, skeleton, style))

    count = 0
    with ExitStack() as stack:
        stack.enter_context(video)
        overlay = None
        if style is not None:
            overlay = stack.enter_context(VideoWriter(predictor.writer.folder / job.overlay, video.rate))
        # One thread each: frames come and go in their order.
        decoding, drawing = (stack.enter_context(ThreadPoolExecutor(1)) for _ in range(2))
        drawn: deque[Future[None]] = deque()
        numbers = itertools.count() if predictor.frames is None else range(predictor.frames)
        try:
            for image in prefetch(decoding, lambda _: video.read(), numbers):
                if image is None:
                    break
                people = _people(predictor, tracker, image)
                if overlay is not None and style is not None:
                    drawn.append(drawing.submit(draw, overlay, image, people, style))
                    if len(drawn) > AHEAD:
                        drawn.popleft().result()
                frame_id, name = f"{job.image_id}/{count:06d}", job.overlay if overlay is not None else ""
                record = image_record(job.source, frame_id, image, name, people, skeleton)
                record |= {"frame": count, "timestamp": round(count / video.rate, 3)}
                count += 1
                predictor.add([record], complete=False)
        except KeyboardInterrupt:
            if not video.is_camera:  # a camera usually ends like this
                raise
        finally:
            for future in drawn:
                future.result()
    problem = ""
    if not count:
        problem = "no frame can be decoded"
    elif predictor.frames is None and video.count is not None and count < MIN_FRAMES * video.count:
        problem = f"ends after {count} of {video.count} frames"
    predictor.add([error_record(job.source, f"{job.source}: {problem}")] if problem else [])


def _people(predictor: Predictor, tracker: Tracker | None, image: Image) -> list[Person]:
    """Everyone in the next frame, with numbers."""
    tracks = [(1, Box.of_image(*image.shape[1::-1]))] if tracker is None else tracker.boxes(image)
    found = predictor.people([image] * len(tracks), [box for _, box in tracks])
    people = [replace(person, track=number) for person, (number, _) in zip(found, tracks, strict=True)]
    if tracker is None or not people:
        return people
    poses = np.array([person.poses[-1] for person in people])
    kept = tracker.update(poses, np.array([person.confidence[0].mean() for person in people]))
    return list(itertools.compress(people, kept))
