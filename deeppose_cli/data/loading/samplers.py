"""In which order images are seen, so that it can be taken up again at any step and shared among processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from torch.utils.data import DataLoader, Dataset, Sampler

from deeppose_cli.data.loading.shared_memory import SharedMemoryCollate


class SampleKey(NamedTuple):
    """One look at one example. All its randomness is a function of these and the seed."""

    epoch: int
    row: int
    visit: int


class EpochSampler(Sampler[list[SampleKey]]):
    """Batches of draws: in every epoch each row `visits` times, in an order that depends on (seed, epoch) alone.

    A batch is dealt out to the processes, so that two processes see together what one would see. An incomplete last
    batch is dropped (its statistics would differ), unless it is the only one.
    """

    def __init__(self, rows: int, batch: int, seed: int, visits: int = 1, rank: int = 0, world: int = 1) -> None:
        self.rows, self.seed, self.visits, self.rank, self.world = rows, seed, visits, rank, world
        self.batch = max(world, min(batch, rows * visits) // world * world)
        self.epoch, self.start = 0, 0

    def __len__(self) -> int:
        return self.rows * self.visits // self.batch

    def __iter__(self) -> Iterator[list[SampleKey]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.rows * self.visits)
        for number in range(self.start, len(self)):
            chosen = order[number * self.batch : (number + 1) * self.batch][self.rank :: self.world]
            yield [SampleKey(self.epoch, int(i % self.rows), int(i // self.rows)) for i in chosen]


class EvaluationSampler(Sampler[list[int]]):
    """Rows in order, dealt out to processes in batches of equal number. −1 fills up: it is to be counted nowhere."""

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
    """A DataLoader over an `EpochSampler` that goes on from a `DataPosition` and keeps it up to date.

    The place belongs to the data module, which stores it in the checkpoint. (Lightning would ask the loader itself for
    its state, but gives it back only to loaders that were not needed before: the schedule has asked for the length.)
    """

    def __init__(self, dataset: Dataset[Any], order: EpochSampler, place: DataPosition, **options: Any) -> None:
        self._reusing: SharedMemoryCollate | None = None
        if isinstance(options.get("collate_fn"), SharedMemoryCollate) and options.get("num_workers"):
            self._reusing = options["collate_fn"]
            options["prefetch_factor"] = SharedMemoryCollate.PREFETCH
        super().__init__(dataset, batch_sampler=order, **options)
        self.order, self.place = order, place

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # torch names its own class
        # Runs at the first `next`, not before: Lightning also makes iterators that it never uses.
        place = self.place
        if place.position >= len(self):
            place.epoch, place.position = place.epoch + 1, 0
        self.order.epoch, self.order.start = place.epoch, place.position
        for batch in super().__iter__():
            place.position += 1
            yield batch if self._reusing is None else self._reusing.own(batch)


def quiet_worker(_: int) -> None:
    """A worker process is one of many: OpenCV must not start threads of its own in each."""
    cv2.setNumThreads(0)
