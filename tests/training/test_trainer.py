"""Memory that is freed and taken again: that the system need not clear it anew."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from deeppose_cli.training.trainer import keep_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        np.empty(64_000_000, np.uint8).fill(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

kept = keep_memory() if sys.argv[1] == "kept" else False
faults()
print(kept, faults())
"""


def run(how: str) -> tuple[bool, int]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    said, faults = done.stdout.split()
    return said == "True", int(faults)


def test_a_large_block_that_comes_back_costs_no_page_faults() -> None:
    kept, faults = run("kept")
    if not kept:
        pytest.skip("this C library has no mallopt")
    assert faults < 50
    assert run("as it is")[1] > 500  # with huge pages; else there is nothing to gain, and keep_memory should go
