"""One image through a whole cascade, against the bare forward passes of its networks.

Ours: `Cascade.predict` on a decoded image, all stages, flip test off, with all cores. Bare: the same folded networks,
each called once on a tensor that is ready, of the shape that it gets in prediction. So the ratio is the price of
cutting and preparing crops and of all that lies between the stages.

The cascades are those in the box; where there is none, one of preset modern with random values.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import cv2
import numpy as np
import torch

from benchmarks.result import Options, Result, in_turns
from deeppose_cli.checkpoints.pretrained import pretrained_files
from deeppose_cli.config.presets import MODERN
from deeppose_cli.core.geometry import Box
from deeppose_cli.core.skeleton import LSP14
from deeppose_cli.data.synthetic.generator import draw_person
from deeppose_cli.media.images import Image
from deeppose_cli.models.cascade import Cascade, Stage
from deeppose_cli.models.displacement import Displacement
from deeppose_cli.models.regressor import JointPrior, Regressor

TARGET, TARGET_RATIO = 40.0, 1.25
"""Milliseconds on two cores; and the ratio."""
WIDTH, HEIGHT = 640, 480
WARM_UP, CALLS = 3, 20
"""Calls of one turn, before and in the measurement."""
SIGMA, SPREAD = 1.5, 0.15
"""Of the random cascade's second stage; they cost nothing."""


def measure(options: Options) -> list[Result]:
    return [_measure(name, cascade, options) for name, cascade in _cascades()]


def _measure(name: str, cascade: Cascade, options: Options) -> Result:
    shown = image()
    boxes = np.array([Box.of_image(WIDTH, HEIGHT)])
    passes = _bare_passes(cascade)

    def bare() -> None:
        for forward in passes:
            forward()

    threads = torch.get_num_threads()
    torch.set_num_threads(_cores())
    try:
        compared = in_turns(
            f"predicting {name}",
            lambda: _milliseconds(lambda: cascade.predict([shown], boxes)),
            lambda: _milliseconds(torch.inference_mode()(bare)),
            options,
            "ms",
        )
    finally:
        torch.set_num_threads(threads)
    return Result(
        what=f"predict one image, {name}, {cascade.num_stages} stage(s)",
        ours=f"{compared.ours:.1f} ms",
        bare=f"{compared.bare:.1f} ms",
        ratio=f"{compared.ratio:.2f} ({compared.lowest:.2f} to {compared.highest:.2f})",
        target=f"≤ {TARGET:g} ms, ≤ {TARGET_RATIO}",
        met=compared.ours <= TARGET and compared.ratio <= TARGET_RATIO,
        notes=(
            f"predicting: {name}, crops of {' and '.join(str(stage.input_size) for stage in cascade.stages)} px, a "
            f"{WIDTH}×{HEIGHT} image, {_cores()} threads, flip test off; medians of {CALLS} calls a turn",
        ),
    )


def _cascades() -> list[tuple[str, Cascade]]:
    """What is measured: its name, and the cascade."""
    if box := pretrained_files():
        from deeppose_cli.checkpoints.weights_file import load_weights

        return [(name, load_weights(file, device="cpu")) for name, file in box.items()]
    torch.manual_seed(0)
    joints = len(LSP14)
    prior = JointPrior(Displacement(((0.0, 0.0),) * joints, ((SPREAD, SPREAD),) * joints), SIGMA)
    stages = [
        Stage(Regressor(MODERN.initial, joints), MODERN.initial.input_size),
        Stage(Regressor(MODERN.refinement, joints, prior=prior), MODERN.refinement.input_size, SIGMA),
    ]
    return [("modern, random values", Cascade(LSP14, stages, square_initial_box=True))]


def image() -> Image:
    """(HEIGHT, WIDTH, 3): a drawn person."""
    drawing = draw_person(np.random.default_rng(0))
    return np.asarray(cv2.resize(drawing.image, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)


def _bare_passes(cascade: Cascade) -> list[Callable[[], object]]:
    """One for each network that a prediction asks."""
    passes: list[Callable[[], object]] = []
    for number, stage in enumerate(cascade.stages):
        assert isinstance(stage.model, Regressor)
        folded = stage.model.fused_copy()
        crops = 1 if number == 0 else len(cascade.skeleton) // len(folded.networks)
        x = folded.prepare(torch.randint(0, 256, (crops, stage.input_size, stage.input_size, 3), dtype=torch.uint8))
        passes += [partial(network, x) for network in folded.networks]
    return passes


def _milliseconds(call: Callable[[], object]) -> float:
    """Of one call."""
    seconds = []
    for number in range(WARM_UP + CALLS):
        began = time.perf_counter()
        call()
        if number >= WARM_UP:
            seconds.append(time.perf_counter() - began)
    return 1000 * median(seconds)


def _cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
