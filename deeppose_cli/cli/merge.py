"""`deeppose merge`: the results of one input that several machines predicted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deeppose_cli.core.errors import UsageError


def merge(
    parts: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Folders of deeppose predict --shard, one for each part.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the merged results.")],
) -> None:
    """Merge the results of `deeppose predict --shard`, overlays too, in the order of the input."""
    from deeppose_cli.inference import sharding

    if any(out.resolve() == part.resolve() for part in parts):
        raise UsageError(f"--out {out}: is one of the parts; another folder is valid")
    counts = sharding.merge(parts, out)
    print(f"{len(parts)} part(s): {counts} → {out}")
