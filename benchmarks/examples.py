"""Milliseconds of one core for one training example of the preset `modern`: with the cache, and decoding each time.

An example of stage 1 is one crop; one of a refinement stage is one image's crops around all its labelled joints.
What is counted is the time of the thread that makes them, the least of the rounds: other work on the machine and
waiting for the disk do not count.
"""

from __future__ import annotations

import time
from dataclasses import replace

import cv2
import numpy as np
from torch.utils.data import Dataset

from benchmarks.result import Options, Result
from deeppose_cli.config.presets import MODERN
from deeppose_cli.data.datasets.registry import DATASETS, is_prepared
from deeppose_cli.data.loading.image_cache import ImageCache
from deeppose_cli.data.loading.samplers import SampleKey
from deeppose_cli.data.loading.stage_datasets import Example, InitialTrainDataset, Read, RefinementTrainDataset
from deeppose_cli.detection.initial_boxes import initial_boxes
from deeppose_cli.media.images import read_image
from deeppose_cli.models.displacement import Displacement

IMAGES = 200
INPUT_SIZE = 96
"""px, of stage 1."""
SPREAD = 0.15
"""Standard deviation of the refinement crops' displacements, in units of the pose's diameter."""
JOBS = (("lsp", "own", 1), ("flic", "torso", 1), ("lsp", "own", 2))
"""Data set, initial box, stage."""


def measure(options: Options) -> list[Result]:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(0)  # as in a worker process
    try:
        return [_measure(name, box, stage, options) for name, box, stage in JOBS]
    finally:
        cv2.setNumThreads(threads)


def _measure(name: str, box: str, stage: int, options: Options) -> Result:
    what = f"ms per example, {name}, stage {stage}"
    if not is_prepared(name, options.data_root):
        return Result(what=what, ours="–", target="–", notes=(f"{name} is not in {options.data_root}",))
    everyone = DATASETS[name].read(options.data_root)["train"]
    some = everyone.take(np.random.default_rng(0).permutation(len(everyone))[:IMAGES])
    boxes = initial_boxes(some, box).boxes
    joints = len(some.skeleton)
    displacement = Displacement(((0.0, 0.0),) * joints, ((SPREAD, SPREAD),) * joints)
    sigma = DATASETS[name].sigma

    def examples(read: Read) -> Dataset[Example]:
        if stage == 1:
            return InitialTrainDataset(some, boxes, True, replace(MODERN.initial, input_size=INPUT_SIZE), 0, read)
        return RefinementTrainDataset(some, boxes, True, MODERN.refinement, sigma, displacement, 0, read=read)

    cached, plain = examples(ImageCache(options.data_root, some.files).read), examples(read_image)
    _milliseconds(cached, 0)  # fills the cache
    _milliseconds(cached, 0)  # the first use of a kept image also computes its checksum
    rounds = []
    for number in range(options.rounds):
        rounds.append((_milliseconds(cached, number), _milliseconds(plain, number)))
        options.say(f"{what} {number + 1}/{options.rounds}: cached {rounds[-1][0]:.2f}, decoded {rounds[-1][1]:.2f}")
    ours, bare = (min(column) for column in zip(*rounds, strict=True))
    return Result(
        what=what,
        ours=f"{ours:.2f}",
        bare=f"{bare:.2f}",
        ratio=f"{ours / bare:.2f}",
        target="–",
        notes=(f"{what}: {len(some)} images, least of {options.rounds}; ours: from the cache; bare: decoded",),
    )


def _milliseconds(examples: Dataset[Example], epoch: int) -> float:
    began = time.thread_time()
    for row in range(IMAGES):
        examples[SampleKey(epoch, row, 0)]
    return (time.thread_time() - began) / IMAGES * 1000
