"""Prediction on several machines: each takes a part of the input, and their results are merged."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path

from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.inference.records import Record
from deeppose_cli.inference.writer import RECORDS, Counts, ResultWriter, Settings, read_records, read_state

WHOLE = (1, 1)
_BATCH = 256
"""Records that are written together."""


def parse_shard(text: str) -> tuple[int, int]:
    """`2/8` → part 2, from 1, of 8 parts: every 8th input, so that all parts take about as long. Raises UsageError."""
    match = re.fullmatch(r"([1-9]\d{0,8})/([1-9]\d{0,8})", text)
    if match is None or int(match[1]) > int(match[2]):
        raise UsageError(f"--shard {text}: valid: i/n, part i of n, as in 1/8")
    return int(match[1]), int(match[2])


def merge(parts: Sequence[Path], out: Path) -> Counts:
    """Merge the folders of all parts of an input (`--shard`), in the order of the input, overlays too.

    Raises UsageError or DeepPoseError, before anything is written, where `out` is a part, or a part is missing, not
    finished, given twice or made with other settings.
    """
    if any(out.resolve() == part.resolve() for part in parts):
        raise UsageError(f"--out {out}: is one of the parts; another folder is valid")
    settings = [_finished_settings(folder) for folder in parts]
    count = settings[0]["shard"][1]
    folders: dict[int, Path] = {}
    for folder, own in zip(parts, settings, strict=True):
        number = own["shard"][0]
        if own | {"shard": [1, own["shard"][1]]} != settings[0] | {"shard": [1, count]}:
            raise DeepPoseError(f"{folder}: was made in another way than {parts[0]}; all parts need the same flags")
        if number in folders:
            raise DeepPoseError(f"{folder}: is part {number} of {count}, and so is {folders[number]}")
        folders[number] = folder
    missing = [str(number) for number in range(1, count + 1) if number not in folders]
    if missing:
        raise DeepPoseError(f"part {', '.join(missing)} of {count} is missing; merge takes the folders of all parts")
    with ResultWriter(out, settings[0] | {"shard": list(WHOLE)}) as writer:
        pairs = _in_input_order([folders[number] for number in range(1, count + 1)])
        while batch := list(islice(pairs, _BATCH)):
            for folder, record in batch:
                if record.get("overlay") and record.get("frame", 0) == 0:
                    shutil.copyfile(folder / record["overlay"], out / record["overlay"])
            writer.add([record for _, record in batch])
        writer.finish()
        return writer.counts


def _finished_settings(folder: Path) -> Settings:
    state = read_state(folder)
    if state is None or "shard" not in state["settings"]:
        raise DeepPoseError(f"{folder}: no results of deeppose predict --shard")
    if not state["finished"]:
        raise DeepPoseError(f"{folder}: is not finished; deeppose predict --resume with its other flags finishes it")
    return dict(state["settings"])


def _in_input_order(folders: Sequence[Path]) -> Iterator[tuple[Path, Record]]:
    """The records of one image or video of each part, then the next of each."""
    readers = {folder: groupby(read_records(folder / RECORDS), lambda record: record["source"]) for folder in folders}
    while readers:
        for folder in list(readers):
            _, records = next(readers[folder], (None, None))
            if records is None:
                del readers[folder]
            else:
                yield from ((folder, record) for record in records)
