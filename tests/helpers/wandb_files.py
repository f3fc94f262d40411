"""What wandb's offline files hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

BLOCK, FILE_HEADER, RECORD_HEADER = 32768, 7, 7
FULL, LAST = 1, 4
"""Kinds of chunks that end a record, in the log format of LevelDB, which wandb's files have."""


def wandb_records(folder: Path) -> list[Any]:
    """Of all offline files below the folder, which `wandb sync` sends."""
    records = []
    for file in sorted(folder.rglob("*.wandb")):
        data, at, parts = file.read_bytes(), FILE_HEADER, b""
        while at + RECORD_HEADER <= len(data):
            if BLOCK - at % BLOCK < RECORD_HEADER:  # the rest of a block is empty
                at += BLOCK - at % BLOCK
                continue
            length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
            parts += data[at + RECORD_HEADER : at + RECORD_HEADER + length]
            at += RECORD_HEADER + length
            if kind in (FULL, LAST):
                record = wandb_internal_pb2.Record()
                record.ParseFromString(parts)
                records.append(record)
                parts = b""
    return records
