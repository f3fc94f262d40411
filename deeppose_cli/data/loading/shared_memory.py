"""Batches of crops, cut by workers into shared memory that is used again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import get_worker_info


class SharedMemoryCollate:
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
