"""The order of training images: it can be resumed at any step, and is shared exactly among processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from torch.utils.data import DataLoader, Dataset, Sampler

from deeppose_cli.data.loading.shared_memory import SharedMemoryCollate


class SampleKey(NamedTuple):
    """One use of one image in training. All its randomness is a function of these and the seed."""

    epoch: int
    row: int
    repeat: int
    """How often the row was used before in this epoch."""


class EpochSampler(Sampler[list[SampleKey]]):
    """Batches of keys: in every epoch each row `repeats` times, in an order that depends on (seed, epoch) alone.

    Each batch is divided among the processes, so that two processes train together on what one would train on. An
    incomplete last batch is dropped (its statistics would differ), unless it is the only one.
    """

    def __init__(self, rows: int, batch: int, seed: int, repeats: int = 1, rank: int = 0, world: int = 1) -> None:
        self.rows, self.seed, self.repeats, self.rank, self.world = rows, seed, repeats, rank, world
        self.batch = max(world, min(batch, rows * repeats) // world * world)
        self.epoch, self.start = 0, 0

    def __len__(self) -> int:
        return self.rows * self.repeats // self.batch

    def __iter__(self) -> Iterator[list[SampleKey]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.rows * self.repeats)
        for number in range(self.start, len(self)):
            chosen = order[number * self.batch : (number + 1) * self.batch][self.rank :: self.world]
            yield [SampleKey(self.epoch, int(i % self.rows), int(i // self.rows)) for i in chosen]


class EvaluationSampler(Sampler[list[int]]):
    """Rows in order, divided among processes in batches of equal number. −1 fills up: it must not be counted."""

    def __init__(self, rows: int, batch: int, rank: int = 0, world: int = 1) -> None:
        self.rows, self.batch, self.rank, self.world = rows, max(1, batch // world), rank, world

    def __len__(self) -> int:
        return -(-self.rows // (self.batch * self.world))

    def __iter__(self) -> Iterator[list[int]]:
        for number in range(len(self)):
            rows = (number * self.batch + np.arange(self.batch)) * self.world + self.rank
            yield [int(row) if row < self.rows else -1 for row in rows]


@dataclass
class DataPosition:
    """How far a training has come in its data: the next batch is number `position` of `epoch`."""

    epoch: int = 0
    position: int = 0


class ResumableLoader(DataLoader[Any]):
    """A DataLoader over an `EpochSampler` that resumes at a `DataPosition` and keeps it up to date.

    The position belongs to the data module, which stores it in the checkpoint. (Lightning can store a loader's state,
    but restores it only in loaders that it has not used before, and the schedule needs the loader's length.)
    """

    def __init__(self, dataset: Dataset[Any], order: EpochSampler, position: DataPosition, **options: Any) -> None:
        self._shared: SharedMemoryCollate | None = None
        if isinstance(options.get("collate_fn"), SharedMemoryCollate) and options.get("num_workers"):
            self._shared = options["collate_fn"]
            options["prefetch_factor"] = SharedMemoryCollate.PREFETCH
        super().__init__(dataset, batch_sampler=order, **options)
        self.order, self.position = order, position

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # torch names its own class
        # Runs at the first `next`, not before: Lightning also makes iterators that it never uses.
        current = self.position
        if current.position >= len(self):
            current.epoch, current.position = current.epoch + 1, 0
        self.order.epoch, self.order.start = current.epoch, current.position
        for batch in super().__iter__():
            current.position += 1
            yield batch if self._shared is None else self._shared.copy(batch)


def start_worker(_: int) -> None:
    """Prepare a worker process: with one process a core, OpenCV must not start threads of its own."""
    cv2.setNumThreads(0)
