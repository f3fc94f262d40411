"""A training step of `deeppose train`, against a bare PyTorch loop over tensors that are ready.

Ours: stage 1 on the demo set with the paper's preset as the command trains it: data module, workers, Trainer,
callbacks. What is counted is the time from the end of one step to the end of another, after the first few: waiting for
data is in it; start-up, validation and the saving of `last.ckpt` once a minute are not.

Bare: the same network, loss and optimiser, on one batch that is there already, with as many threads.
"""

from __future__ import annotations

import io
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from lightning.pytorch.profilers import Profiler
from rich.console import Console

from benchmarks.result import Options, Result, in_turns
from deeppose_cli.config.presets import PAPER
from deeppose_cli.config.schema import to_primitives
from deeppose_cli.data.datasets.demo import DEMO
from deeppose_cli.data.loading.datamodules import InitialStageDataModule, TrainingData
from deeppose_cli.training.lightning_modules import InitialStageModule
from deeppose_cli.training.train import TrainOptions, train_stage

TARGET = 1.15
BATCH = 16
"""128 would take minutes a turn on two cores."""
WARM_UP, STEPS = 4, 12
"""Steps of one turn, before and in the measurement. The first batches are made while the training starts."""


class _Clock(Profiler):
    """Notes when each training step ends. A profiler, because the Trainer takes one beside our own callbacks."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []

    def start(self, action_name: str) -> None:
        pass

    def stop(self, action_name: str) -> None:
        if action_name == "run_training_batch":
            self.ends.append(time.perf_counter())

    def seconds(self) -> float:
        """Of one step."""
        after = self.ends[WARM_UP - 1 :]
        return mean(b - a for a, b in pairwise(after))


def measure(options: Options) -> Result:
    ready = TrainingData.read(DEMO, options.data_root)
    settings = replace(PAPER.initial, batch_size=BATCH)
    module = InitialStageModule(DEMO.skeleton.to_mapping(), to_primitives(settings), PAPER.square_initial_box, 0)
    loader = InitialStageDataModule(ready, settings, PAPER.square_initial_box, 0, workers=0).train_dataloader()
    batch = next(iter(loader))
    optimizer = module.configure_optimizers()

    with tempfile.TemporaryDirectory() as folder:
        compared = in_turns(
            "training",
            lambda: _ours(options, Path(folder)),
            lambda: _bare(module, optimizer, batch),
            options,
            "s a step",
        )
    return Result(
        what=f"training step, batch {BATCH}",
        ours=f"{compared.ours:.3f} s",
        bare=f"{compared.bare:.3f} s",
        ratio=f"{compared.ratio:.2f} ({compared.lowest:.2f} to {compared.highest:.2f})",
        target=f"≤ {TARGET}",
        met=compared.ratio <= TARGET,
        notes=(
            f"training: stage 1 on {DEMO.name}, preset paper ({settings.network}, {settings.input_size} px), "
            f"float32, {torch.get_num_threads()} threads; {STEPS} steps a turn after {WARM_UP} that do not count",
        ),
    )


def _ours(options: Options, runs_root: Path) -> float:
    """Seconds of one step."""
    clock = _Clock()
    train_options = TrainOptions(
        stage=1,
        data=DEMO.name,
        data_root=options.data_root,
        runs_root=runs_root,
        preset=PAPER.name,
        settings={"batch_size": BATCH},
        overwrite=True,
        checkpoint_seconds=3600.0,
        trainer={
            "max_steps": WARM_UP + STEPS,
            "limit_val_batches": 0,
            "accelerator": "cpu",
            "profiler": clock,
        },
    )
    train_stage(train_options, DEMO, Console(file=io.StringIO()))
    return clock.seconds()


def _bare(module: InitialStageModule, optimizer: torch.optim.Optimizer, batch: dict[str, Any]) -> float:
    """Seconds of one step."""
    module.train()
    ends = []
    for _ in range(2 + STEPS):
        optimizer.zero_grad()
        (module.batch_loss(batch) / module.count_labels(batch)).backward()
        optimizer.step()
        ends.append(time.perf_counter())
    return (ends[-1] - ends[1]) / STEPS
