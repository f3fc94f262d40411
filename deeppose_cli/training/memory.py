"""Memory that a training gives back and takes again at every step, kept instead.

glibc asks the system for every large block anew, and the system clears each page of it. A training step on a CPU frees
and takes the same hundreds of megabytes of feature maps again and again: at an input of 192 px that was half of the
time of a step in full precision.
"""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""mallopt's M_TRIM_THRESHOLD and M_MMAP_THRESHOLD (malloc.h)."""
_ALWAYS_KEPT = 2**31 - 1


def keep_memory() -> bool:
    """Large blocks stay with this process once it has had them. Whether that could be asked for: glibc only."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return False
    # Older versions take no more than 32 MiB.
    return any(mallopt(_MMAP_THRESHOLD, size) for size in (2**30, 2**25)) and bool(
        mallopt(_TRIM_THRESHOLD, _ALWAYS_KEPT)
    )
