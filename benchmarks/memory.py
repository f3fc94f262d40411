"""Peak resident memory of `deeppose train --data lsp` with LSPET: the command itself, for a few dozen steps.

What is counted is the sum over the command's process and its workers of their proportional set size (PSS: a page that n
processes share counts 1/n in each), read several times a second from /proc, which only Linux has.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks import data
from benchmarks.program import DEEPPOSE
from benchmarks.result import Options, Result

TARGET = 2.5
"""GB, of 10⁹ bytes."""
TRAIN_BATCHES, VALIDATION_BATCHES = 20, 2
INTERVAL = 0.2
"""Seconds between two readings."""


def measure(options: Options) -> Result:
    what, target = "peak memory, train --data lsp with LSPET", f"≤ {TARGET} GB"
    if not Path("/proc/self/smaps_rollup").is_file():
        return Result(what, "not measured", target, notes=("memory: needs Linux's /proc",))
    if not data.lsp_is_prepared(options):
        return Result(what, "not measured", target, notes=("memory: LSP is not prepared",))
    with tempfile.TemporaryDirectory() as folder:
        flags = f"--max-epochs 1 --trainer limit_train_batches={TRAIN_BATCHES}"
        command = [
            *(*DEEPPOSE, "train", "--data", "lsp", "--data-root", str(options.data_root), "--runs-root", folder),
            *(*flags.split(), "--trainer", f"limit_val_batches={VALIDATION_BATCHES}"),
        ]
        log = Path(folder, "output.txt")
        peak, processes = 0, 1
        with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
            while process.poll() is None:
                tree = _tree(process.pid)
                peak, processes = max(peak, sum(map(_pss, tree))), max(processes, len(tree))
                time.sleep(INTERVAL)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)}: exit code {process.returncode}\n{log.read_text()}")
    options.say(f"memory: {peak / 1e9:.2f} GB")
    return Result(
        what,
        f"{peak / 1e9:.2f} GB",
        target,
        peak <= TARGET * 1e9,
        notes=(f"memory: sum of PSS over {processes} processes, {TRAIN_BATCHES} steps and a validation",),
    )


def _tree(root: int) -> list[int]:
    """The process and all that descend from it."""
    found = [root]
    for parent in found:  # grows as it goes
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in children.read_text().split()]
            except OSError:
                continue  # gone meanwhile
    return found


def _pss(process: int) -> int:
    """Bytes; 0 for a process that has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
