"""Refinement crops per second, against a bare loop of `cv2.warpAffine` over decoded images.

Ours: the training loader of a refinement stage with the paper's preset and the default number of workers. What is
counted are crops that have arrived in the process that trains, after a warm-up long enough to use up all that the
workers had prepared: so read, decoded, mirrored, cut, joined into batches and sent.

Bare: as many processes, each calling `cv2.warpAffine` (same size, interpolation, border and boxes as ours would take)
on images decoded beforehand. What is counted are its calls; nothing is read, decoded, kept or sent.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from itertools import cycle
from multiprocessing.connection import Connection
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.data import training_data
from benchmarks.result import Options, Result, in_turns
from deeppose_cli.config.presets import PAPER
from deeppose_cli.core.geometry import crop_matrix, joint_boxes
from deeppose_cli.data.loading.datamodules import RefinementStageDataModule
from deeppose_cli.data.loading.samplers import start_worker
from deeppose_cli.media.cropping import MEAN_COLOR
from deeppose_cli.media.images import Image, read_image
from deeppose_cli.models.displacement import Displacement, training_diameters
from deeppose_cli.training.train import default_workers

TARGET = 0.7
SECONDS = 4.0
"""Of one turn, each side."""
IMAGES = 64
"""That the bare loop goes round."""
SPREAD = 0.15
"""Standard deviation of the displacements, in units of the pose's diameter: about what a first stage reaches."""

Job = tuple[Image, NDArray[np.float64]]


def measure(options: Options) -> Result:
    description, data = training_data(options)
    settings, workers = PAPER.refinement, default_workers()
    joints = len(description.skeleton)
    displacement = Displacement(((0.0, 0.0),) * joints, ((SPREAD, SPREAD),) * joints)
    sigma = settings.sigma or description.sigma
    start = np.zeros_like(data.validation.keypoints)
    loaders = RefinementStageDataModule(
        data, settings, PAPER.square_initial_box, sigma, displacement, start, 0, workers
    )

    diameters = training_diameters(data.train.keypoints, data.train_boxes, description.skeleton)
    rng = np.random.default_rng(0)
    jobs: list[Job] = []
    for row in rng.permutation(len(data.train))[:IMAGES]:
        points = data.train.keypoints[row]
        points = points[~np.isnan(points).any(-1)]
        centres = points + rng.normal(0.0, SPREAD, points.shape) * diameters[row]
        boxes = joint_boxes(centres, np.full(len(points), sigma * diameters[row]))
        matrices = np.array([crop_matrix(box, settings.input_size) for box in boxes])
        jobs.append((read_image(data.train.files[row]), matrices.reshape(-1, 2, 3)))

    batches = _forever(loaders)
    with _BareLoops(workers, jobs, settings.input_size) as loops:
        compared = in_turns("crops", lambda: _ours(batches, workers), loops.rate, options, "per second")
    return Result(
        what=f"refinement crops per second, {workers} worker(s)",
        ours=f"{compared.ours:,.0f}",
        bare=f"{compared.bare:,.0f}",
        ratio=f"{compared.ratio:.2f} ({compared.lowest:.2f} to {compared.highest:.2f})",
        target=f"≥ {TARGET}",
        met=compared.ratio >= TARGET,
        notes=(
            f"crops: {description.name}, {settings.input_size} px, {settings.crops_per_visit} crops a joint; "
            "ours counts crops that arrived in batches, bare counts calls of cv2.warpAffine on decoded images",
        ),
    )


def _forever(loaders: RefinementStageDataModule) -> Iterator[dict[str, Any]]:
    loader = loaders.train_dataloader()
    while True:
        yield from loader


def _ours(batches: Iterator[dict[str, Any]], workers: int) -> float:
    """Crops per second."""
    prepared = workers * 2 + 2  # DataLoader has each worker keep two batches ready
    for _ in range(prepared):
        next(batches)
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        count += len(next(batches)["joint_index"])
    return count / (time.perf_counter() - began)


class _BareLoops:
    """Worker processes that wait, loop for a while at a message, and send back how often they did."""

    def __init__(self, count: int, jobs: list[Job], size: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._ends, self._processes = [], []
        for _ in range(count):
            near, far = context.Pipe()
            process = context.Process(target=_loop, args=(far, jobs, size), daemon=True)
            process.start()
            self._ends.append(near)
            self._processes.append(process)

    def __enter__(self) -> _BareLoops:
        return self

    def __exit__(self, *_: object) -> None:
        for end in self._ends:
            end.send(0.0)
        for process in self._processes:
            process.join()

    def rate(self) -> float:
        """Calls per second, all processes together."""
        for end in self._ends:
            end.send(SECONDS)
        return float(sum(end.recv() for end in self._ends))


def _loop(end: Connection, jobs: list[Job], size: int) -> None:
    start_worker(0)
    endless = cycle(jobs)
    while seconds := end.recv():
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            image, matrices = next(endless)
            for matrix in matrices:
                cv2.warpAffine(
                    image,
                    matrix,
                    (size, size),
                    flags=cv2.INTER_LINEAR,
                    borderMode=cv2.BORDER_CONSTANT,
                    borderValue=MEAN_COLOR,
                )
            count += len(matrices)
        end.send(count / (time.perf_counter() - began))
