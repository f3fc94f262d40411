"""Keep a training's freed memory in the process.

glibc takes every large block anew from the system, which clears each of its pages. A training step on a CPU frees and
takes the same hundreds of megabytes of features again and again: at an input of 192 px that was half of the time of a
step in full precision.
"""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""mallopt's M_TRIM_THRESHOLD and M_MMAP_THRESHOLD (malloc.h)."""
_NEVER = 2**31 - 1


def keep_memory() -> bool:
    """Return no large block to the system from now on. False where that cannot be set: without glibc."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return False
    # Older versions take no more than 32 MiB.
    return any(mallopt(_MMAP_THRESHOLD, size) for size in (2**30, 2**25)) and bool(mallopt(_TRIM_THRESHOLD, _NEVER))
