"""In which order pictures are seen, so that it can be taken up again at any step and shared among processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info


class Draw(NamedTuple):
    """One look at one example. All its randomness is a function of these and the seed."""

    epoch: int
    row: int
    visit: int


class EpochSampler(Sampler[list[Draw]]):
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

    def __iter__(self) -> Iterator[list[Draw]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.rows * self.visits)
        for number in range(self.start, len(self)):
            chosen = order[number * self.batch : (number + 1) * self.batch][self.rank :: self.world]
            yield [Draw(self.epoch, int(i % self.rows), int(i // self.rows)) for i in chosen]


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
class Place:
    """How far a training has come in its data: the next batch is number `position` of `epoch`."""

    epoch: int = 0
    position: int = 0


class ReusingCollate:
    """Joins examples in a worker process into shared memory that the worker uses again and again.

    Refinement batches are large (20 MB with the paper's preset), and getting as much new shared memory from the system
    takes as long as cutting the crops. Only `ResumableLoader` may use this: it copies each batch before it asks for the
    next. DataLoader gives a worker another batch to make only when one of its earlier ones has been asked for, and
    never lets more than PREFETCH of them wait, so a place is not written again until its old batch has been copied.
    """

    PREFETCH = 2
    """Batches that each worker makes ahead; to be given to the DataLoader as well."""
    ROOM = 1.25
    """Batches differ in size: how much more than the first one needs is set aside."""

    def __init__(self, join: Callable[[list[Any]], dict[str, Tensor]], key: str) -> None:
        """`join` makes the batch; the arrays (M, …) uint8 called `key`, one of each example, are the large ones."""
        self.join, self.key = join, key
        self._places: list[Tensor] = []
        self._batches, self._used = 0, 0

    def reserve(self, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
        """Memory for the large array of the next example, there where its batch will be joined, so that nothing has to
        be copied. None where there is none: outside of a worker, in the first batches, and once a batch is full."""
        index, size = self._batches % (self.PREFETCH + 1), int(np.prod(shape))
        if get_worker_info() is None or index >= len(self._places):
            return None
        place = self._places[index]
        if self._used + size > place.numel():
            self._used = place.numel()  # those after it cannot be at their place either
            return None
        piece: NDArray[np.uint8] = place.numpy()[self._used : self._used + size].reshape(shape)
        self._used += size
        return piece

    def __call__(self, examples: list[dict[str, NDArray[Any]]]) -> dict[str, Any]:
        if get_worker_info() is None:
            return self.join(examples)
        parts = [example[self.key] for example in examples]
        shape = (sum(len(part) for part in parts), *parts[0].shape[1:])
        size = int(np.prod(shape))
        joined = self._place(size)[:size].view(shape)
        if not _in_row(parts, joined.numpy()):
            np.concatenate(parts, out=joined.numpy())
        self._used = 0
        # The small ones travel as NumPy arrays, through the pipe: a tensor each would need a file and a connection.
        small = self.join([{key: value for key, value in each.items() if key != self.key} for each in examples])
        return {self.key: joined, **{key: value.numpy() for key, value in small.items()}}

    def _place(self, size: int) -> Tensor:
        index = self._batches % (self.PREFETCH + 1)
        self._batches += 1
        if index == len(self._places) or self._places[index].numel() < size:
            self._places[index : index + 1] = [torch.empty(int(size * self.ROOM), dtype=torch.uint8).share_memory_()]
        return self._places[index]

    def own(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """The batch as tensors, in memory of its own."""
        large = torch.from_numpy(batch[self.key].numpy().copy())
        return {**{key: torch.as_tensor(value) for key, value in batch.items() if key != self.key}, self.key: large}


def _in_row(parts: list[NDArray[np.uint8]], whole: NDArray[np.uint8]) -> bool:
    """Whether the parts are, one after the other, the very memory of the whole."""
    at = whole.ctypes.data
    for part in parts:
        if part.ctypes.data != at:
            return False
        at += part.nbytes
    return True


class ResumableLoader(DataLoader[Any]):
    """A DataLoader over an `EpochSampler` that goes on from a `Place` and keeps it up to date.

    The place belongs to the data module, which stores it in the checkpoint. (Lightning would ask the loader itself for
    its state, but gives it back only to loaders that were not needed before: the schedule has asked for the length.)
    """

    def __init__(self, dataset: Dataset[Any], order: EpochSampler, place: Place, **options: Any) -> None:
        self._reusing: ReusingCollate | None = None
        if isinstance(options.get("collate_fn"), ReusingCollate) and options.get("num_workers"):
            self._reusing = options["collate_fn"]
            options["prefetch_factor"] = ReusingCollate.PREFETCH
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
