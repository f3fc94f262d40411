"""`deeppose merge`: the parts of an input that several machines have shared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deeppose_cli.core.errors import UsageError


def merge(
    parts: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Folders of deeppose predict --shard, one for each part.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the whole.")],
) -> None:
    """Join the results of `deeppose predict --shard`, overlays too, in the order of the whole input."""
    from deeppose_cli.inference.writer import merge as join

    if any(out.resolve() == part.resolve() for part in parts):
        raise UsageError(f"--out {out}: is one of the parts; another folder is valid")
    count = join(parts, out)
    print(f"{len(parts)} part(s): {count['predicted']} predicted, {count['skipped']} skipped → {out}")
