"""Batches of crops that workers write into shared memory, which is used again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import get_worker_info


class SharedMemoryCollate:
    """Joins examples in a worker process in shared memory that the worker uses again and again.

    Refinement batches are large (20 MB with the paper's preset), and as much new shared memory takes the system as long
    as cutting the crops. Only `ResumableLoader` may use this: it copies each batch before it fetches the next.
    DataLoader gives a worker another batch to make only when one of its earlier ones has been fetched, and never lets
    more than PREFETCH of them wait, so a buffer is not written again until its old batch has been copied.
    """

    PREFETCH = 2
    """Batches that each worker makes ahead; to be given to the DataLoader as well."""
    ROOM = 1.25
    """Size of a buffer, in sizes of its first batch: batches differ in size."""

    def __init__(self, join: Callable[[list[Any]], dict[str, Tensor]], key: str) -> None:
        """`join` makes the batch; the arrays (M, …) uint8 named `key`, one of each example, are the large ones."""
        self.join, self.key = join, key
        self._buffers: list[Tensor] = []
        self._batches, self._used = 0, 0

    def reserve(self, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
        """Memory for the large array of the next example, at its place in the batch, so that nothing has to be copied.

        None outside of a worker, in the first batches, and when the buffer is full.
        """
        index, size = self._batches % (self.PREFETCH + 1), int(np.prod(shape))
        if get_worker_info() is None or index >= len(self._buffers):
            return None
        buffer = self._buffers[index]
        if self._used + size > buffer.numel():
            self._used = buffer.numel()  # later examples cannot be at their place either
            return None
        piece: NDArray[np.uint8] = buffer.numpy()[self._used : self._used + size].reshape(shape)
        self._used += size
        return piece

    def __call__(self, examples: list[dict[str, NDArray[Any]]]) -> dict[str, Any]:
        if get_worker_info() is None:
            return self.join(examples)
        parts = [example[self.key] for example in examples]
        shape = (sum(len(part) for part in parts), *parts[0].shape[1:])
        size = int(np.prod(shape))
        joined = self._buffer(size)[:size].view(shape)
        ends = np.cumsum([0, *(part.nbytes for part in parts)])
        if [part.ctypes.data for part in parts] != (joined.numpy().ctypes.data + ends[:-1]).tolist():
            np.concatenate(parts, out=joined.numpy())
        self._used = 0
        # The small ones travel as NumPy arrays, through the pipe: a tensor each would need a file and a connection.
        small = self.join([{key: value for key, value in part.items() if key != self.key} for part in examples])
        return {self.key: joined, **{key: value.numpy() for key, value in small.items()}}

    def _buffer(self, size: int) -> Tensor:
        index = self._batches % (self.PREFETCH + 1)
        self._batches += 1
        if index == len(self._buffers) or self._buffers[index].numel() < size:
            self._buffers[index : index + 1] = [torch.empty(int(size * self.ROOM), dtype=torch.uint8).share_memory_()]
        return self._buffers[index]

    def copy(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """The batch as tensors, in memory of its own."""
        large = torch.from_numpy(batch[self.key].numpy().copy())
        return {**{key: torch.as_tensor(value) for key, value in batch.items() if key != self.key}, self.key: large}
