"""Lightning's Trainer for a stage: the only place that builds one; and the process around a training."""

from __future__ import annotations

import ctypes
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from deeppose_cli.checkpoints.lightning import how_to_train
from deeppose_cli.checkpoints.run_folder import RunFolder, StageFolder
from deeppose_cli.config.run import StageRunConfig
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.training.run_config import TrainOptions

if TYPE_CHECKING:
    import lightning as L
    from rich.console import Console

    from deeppose_cli.training.trackers import Trackers


def build_trainer(
    run: RunFolder,
    folder: StageFolder,
    config: StageRunConfig,
    options: TrainOptions,
    console: Console,
    trackers: Trackers,
) -> L.Trainer:
    """Raises UsageError, one line, where Lightning refuses the arguments, such as a device that is not there."""
    import lightning as L
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    from deeppose_cli.training import callbacks
    from deeppose_cli.training.trackers import build_loggers, tracker_callbacks

    arguments = {"max_epochs": config.settings.max_epochs, **config.trainer, **options.trainer}
    checkpoints = callbacks.Checkpoints(folder, options.checkpoint_seconds, options.checkpoint_steps)
    for name in ("lightning.pytorch", "lightning.fabric"):  # remarks on devices, advertisements
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        return L.Trainer(
            **arguments,
            callbacks=[
                checkpoints,
                callbacks.MetricsCsv(folder),
                callbacks.StopOnNonFiniteLoss(folder),
                callbacks.TerminalProgress(f"stage {folder.number}", console, checkpoints),
                callbacks.CollapseGuard(console, refining=folder.number > 1),
                callbacks.UnreadableImages(console),
                *tracker_callbacks(trackers, folder),
            ],
            logger=build_loggers(trackers, run, folder, config),
            default_root_dir=str(folder.path),
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,  # ours share the images among processes, and count none twice
            log_every_n_steps=5,  # small sets have few in an epoch
        )
    except (MisconfigurationException, ValueError, TypeError, RuntimeError) as error:
        given = ", ".join(f"{key}={value}" for key, value in arguments.items() if key != "max_epochs")
        raise UsageError(f"Lightning's Trainer does not take {given}: {str(error).strip().splitlines()[0]}") from None


def keep_memory() -> bool:
    """Return no large block to the system from now on. False where that cannot be set: without glibc.

    glibc takes every large block anew from the system, which clears each of its pages. A training step on a CPU frees
    and takes the same hundreds of megabytes of features again and again: at an input of 192 px that was half of the
    time of a step in full precision.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform.startswith("linux") else None
    if mallopt is None:  # musl has none
        return False
    trim_threshold, mmap_threshold, never = -1, -3, 2**31 - 1  # malloc.h
    # Older versions take no more than 32 MiB.
    return any(mallopt(mmap_threshold, size) for size in (2**30, 2**25)) and bool(mallopt(trim_threshold, never))


@contextmanager
def hide_known_warnings() -> Iterator[None]:
    """Hide advice of Lightning's that does not apply here; every other warning is shown."""
    with warnings.catch_warnings():
        for words in (
            "does not have many workers",
            "LeafSpec",
            "GPU available but not used",
            "your dataloader is not resumable",
            "pin_memory",
            "smaller than the logging interval",
            r"module\(s\) in eval mode",  # a backbone's frozen blocks
        ):
            warnings.filterwarnings("ignore", message=f".*{words}.*")
        yield


@contextmanager
def hint_to_resume(folder: StageFolder, run: RunFolder, console: Console) -> Iterator[None]:
    """After Ctrl-C, or when the system killed a worker process, print the command that continues the training."""
    hint = f"{how_to_train(folder.number, run)} --resume"
    try:
        yield
    except SystemExit:  # Lightning raises it after Ctrl-C
        console.print(f"stopped; to continue, {hint}", highlight=False)
        raise KeyboardInterrupt from None
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise DeepPoseError(
            f"a process that cuts crops was killed (memory short? --workers 0 needs none); to continue, {hint}"
        ) from None
