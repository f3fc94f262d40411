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
from pathlib import Path

import numpy as np

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.geometry import Box
from deeppose_cli.inference.image_predictor import AHEAD, Predictor, prefetch
from deeppose_cli.inference.inputs import Job
from deeppose_cli.inference.records import Record, error_record, image_record
from deeppose_cli.inference.tracker import Tracker
from deeppose_cli.media.images import Image
from deeppose_cli.media.video import Frame, Video, open_video
from deeppose_cli.media.video_writer import VideoWriter
from deeppose_cli.models.cascade import Person
from deeppose_cli.visualization.drawing import annotate_image


def predict_video(predictor: Predictor, job: Job) -> None:
    """Track everyone through a video, a stream or a camera's frames, and add a record for each frame; all of a video
    counts, or nothing. A camera is read for `predictor.frames`, or until Ctrl-C."""
    try:
        video = open_video(job.source)
    except DeepPoseError as error:
        predictor.add([error_record(job.source, str(error))])
        return
    count, last = 0, 0.0
    with ExitStack() as stack:
        stack.enter_context(video)
        overlay = None if predictor.style is None else stack.enter_context(_overlay(predictor, job, video))
        predictor.on_video(job.source, video.count if predictor.frames is None else predictor.frames)
        # One thread each: frames come and go in their order.
        decoding, drawing = (stack.enter_context(ThreadPoolExecutor(1)) for _ in range(2))
        drawn: deque[Future[None]] = deque()
        numbers = itertools.count() if predictor.frames is None else range(predictor.frames)
        tracker = _tracker(predictor, job)
        try:
            for frame in prefetch(decoding, lambda _: video.read(), numbers):
                if frame is None:
                    break
                people = _people(predictor, tracker, frame.image)
                if overlay is not None:
                    drawn.append(drawing.submit(_draw, predictor, overlay, frame, people))
                    if len(drawn) > AHEAD:
                        drawn.popleft().result()
                predictor.add([_record(predictor, job, count, frame, people)], complete=False)
                count, last = count + 1, frame.time
        except KeyboardInterrupt:
            if not video.is_camera:  # a camera usually ends like this
                raise
        finally:
            for future in drawn:
                future.result()
    problem = video.problem(count, last) if predictor.frames is None or not count else ""
    predictor.add([error_record(job.source, f"{job.source}: {problem}")] if problem else [])


def _tracker(predictor: Predictor, job: Job) -> Tracker | None:
    """None where the whole image is the box in every frame."""
    finder = predictor.finder
    if finder.is_whole_image:
        return None
    return Tracker(lambda image: finder.find(image, Path(job.source)), finder.next_box, newcomers=finder.is_dynamic)


def _overlay(predictor: Predictor, job: Job, video: Video) -> VideoWriter:
    """The writer of the annotated video, with the sound of a video file."""
    has_sound = predictor.audio and isinstance(job.source, Path) and not video.is_camera
    return VideoWriter(
        predictor.writer.folder / job.overlay,
        video.rate,
        sound=Path(job.source) if has_sound else None,
        codec=predictor.codec,
    )


def _draw(predictor: Predictor, writer: VideoWriter, frame: Frame, people: Sequence[Person]) -> None:
    assert predictor.style is not None
    writer.write(annotate_image(frame.image, people, predictor.cascade.skeleton, predictor.style), frame.time)


def _record(predictor: Predictor, job: Job, count: int, frame: Frame, people: Sequence[Person]) -> Record:
    overlay = "" if predictor.style is None else job.overlay
    record = image_record(
        job.source, f"{job.image_id}/{count:06d}", frame.image, overlay, people, predictor.cascade.skeleton
    )
    return record | {"frame": count, "timestamp": round(frame.time, 6)}


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
