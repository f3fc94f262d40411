"""One image through a whole cascade, against the bare forward passes of its networks.

Ours: `Cascade.predict` on a decoded image, all stages, flip test off, with all cores. Bare: the same networks, each
called once on crops that are ready, of the shape that they have in prediction. So the ratio is the price of cropping
and of all that lies between the stages.

The cascades: the pretrained weights, by ONNX Runtime, their default.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from statistics import median

import cv2
import numpy as np

from benchmarks.result import Options, Result, in_turns
from deeppose_cli.checkpoints.onnx_cascade import OnnxStage, build_onnx_cascade, open_onnx
from deeppose_cli.checkpoints.pretrained import ONNX_SUFFIX, pretrained_files
from deeppose_cli.core.geometry import Box
from deeppose_cli.data.synthetic.generator import draw_person
from deeppose_cli.media.images import Image
from deeppose_cli.models.cascade import Cascade, CropBatch

TARGET, TARGET_RATIO = 40.0, 1.25
"""Milliseconds on two cores; and the ratio."""
WIDTH, HEIGHT = 640, 480
WARM_UP, CALLS = 3, 20
"""Calls of one turn, before and in the measurement."""


def measure(options: Options) -> list[Result]:
    return [_measure(name, cascade, options) for name, cascade in _cascades()]


def _measure(name: str, cascade: Cascade, options: Options) -> Result:
    shown = image()
    boxes = np.array([Box.of_image(WIDTH, HEIGHT)])
    passes = _bare_passes(cascade)

    def bare() -> None:
        for forward in passes:
            forward()

    compared = in_turns(
        f"predicting {name}",
        lambda: _milliseconds(lambda: cascade.predict([shown], boxes)),
        lambda: _milliseconds(bare),
        options,
        "ms",
    )
    return Result(
        what=f"predict one image, {name}, {cascade.num_stages} stage(s)",
        ours=f"{compared.ours:.1f} ms",
        bare=f"{compared.bare:.1f} ms",
        ratio=f"{compared.ratio:.2f} ({compared.lowest:.2f} to {compared.highest:.2f})",
        target=f"≤ {TARGET:g} ms, ≤ {TARGET_RATIO}",
        met=compared.ours <= TARGET and compared.ratio <= TARGET_RATIO,
        notes=(
            f"predicting: {name}, crops of {' and '.join(str(stage.input_size) for stage in cascade.stages)} px, a "
            f"{WIDTH}×{HEIGHT} image, ONNX Runtime, flip test off; medians of {CALLS} calls a turn",
        ),
    )


def _cascades() -> list[tuple[str, Cascade]]:
    """What is measured: its name, and the cascade."""
    return [(name, build_onnx_cascade(*open_onnx(file))) for name, file in pretrained_files(ONNX_SUFFIX).items()]


def image() -> Image:
    """(HEIGHT, WIDTH, 3): a drawn person."""
    drawing = draw_person(np.random.default_rng(0))
    return np.asarray(cv2.resize(drawing.image, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)


def _bare_passes(cascade: Cascade) -> list[Callable[[], object]]:
    """One for each network that a prediction runs."""
    passes: list[Callable[[], object]] = []
    for number, stage in enumerate(cascade.stages):
        assert isinstance(stage.model, OnnxStage)
        is_whole, side = number == 0 or stage.view == "person", stage.input_size
        crops = 1 if is_whole else len(cascade.skeleton)
        pixels, zeros = np.zeros((crops, side, side, 3), np.uint8), np.zeros(crops, np.int64)
        batch = CropBatch(pixels, np.zeros((crops, 4)), zeros, None if is_whole else np.arange(crops))
        passes.append(partial(stage.model.predict, batch))
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
