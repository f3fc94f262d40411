"""Labels out of MATLAB files, read by SciPy in a process of its own.

SciPy's reader raises many kinds of errors on damaged files, and on some it crashes the process or takes all memory.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.errors import DeepPoseError

MAX_BYTES = 64 * 2**20
"""Of the file: the largest label file of the sets read here takes 4 MB."""
TIMEOUT = 300
"""s; the largest takes five."""

_READER = """
import pickle, sys, warnings
warnings.simplefilter("ignore")
from scipy.io import loadmat, whosmat
found = [name for name, *_ in whosmat(sys.argv[1])]
value = loadmat(sys.argv[1], variable_names=sys.argv[2:]).get(sys.argv[2])
pickle.dump((found, value), sys.stdout.buffer)
"""


def read_array(file: Path, name: str, shown: str, shapes: Sequence[tuple[int, int]] = ()) -> NDArray[Any]:
    """The array of real numbers that the file calls `name`; with `shapes` one of (rows, columns, N records).

    Raises DeepPoseError that calls the file `shown`.
    """
    value = _load(file, name, shown)
    if value.dtype.kind not in "biuf":
        found = "text" if value.dtype.kind == "U" else "a struct" if value.dtype.names else f"of type {value.dtype}"
        raise DeepPoseError(f"{shown}: {name} is {found}; valid: an array of real numbers")
    if not shapes:
        return value
    if value.ndim > 3 or value.shape[:2] not in shapes:
        valid = " or ".join(f"({rows}, {columns}, N)" for rows, columns in shapes)
        raise DeepPoseError(f"{shown}: {name} has shape {value.shape}; valid: {valid}")
    return value.reshape(*value.shape[:2], -1)  # MATLAB drops a last axis of length 1


def read_struct(
    file: Path, name: str, numbers: Mapping[str, tuple[int, ...]], texts: Sequence[str], shown: str
) -> dict[str, NDArray[Any]]:
    """Columns of the array of records that the file calls `name`: (N, *shape) float64 for `numbers`, (N) for `texts`.

    Raises DeepPoseError that calls the file `shown`: a missing field, and, naming record (from 1) and field, a value of
    another kind or size.
    """
    value = _load(file, name, shown)
    fields = value.dtype.names or ()
    if missing := [field for field in (*numbers, *texts) if field not in fields]:
        raise DeepPoseError(f"{shown}: {name} has no field {missing[0]}; found {', '.join(fields)[:200] or 'none'}")
    columns: dict[str, NDArray[Any]] = {}
    for field in (*numbers, *texts):
        rows, shape = [np.asarray(row) for row in value[field].ravel()], numbers.get(field)
        for record, row in enumerate(rows, 1):
            is_text, is_number = row.dtype.kind == "U" and row.size <= 1, row.dtype.kind in "biuf"
            if not (is_text if shape is None else is_number and row.shape == shape):
                found = f"{_size(row.shape)} of type {row.dtype}"
                valid = "one text" if shape is None else f"{_size(shape)} numbers"
                raise DeepPoseError(f"{shown}: record {record}, {field}: {found}; valid: {valid}")
        if shape is None:
            columns[field] = np.array([str(row.item()) if row.size else "" for row in rows])
        else:
            columns[field] = np.array(rows, dtype=np.float64).reshape(-1, *shape)
    return columns


def _size(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def require(
    good: NDArray[np.bool_],
    values: NDArray[Any],
    valid: str,
    shown: str,
    names: Sequence[Sequence[str]] = (),
    field: str = "",
) -> None:
    """Raise DeepPoseError that names record (from 1), field and place of the first value that is not `good`.

    `values` (N, …) is what it quotes; `names` names the places along the further axes.
    """
    if good.all():
        return
    record, *place = np.argwhere(~good)[0]
    value = values[(record, *place)]
    what = " ".join([*filter(None, [field]), *(axis[i] for axis, i in zip(names, place, strict=True))])
    quoted = repr(str(value))[:100] if isinstance(value, str) else f"{value:g}"
    raise DeepPoseError(f"{shown}: record {record + 1}, {what} is {quoted}; valid: {valid}")


def _read_apart(file: Path, name: str) -> tuple[list[str], Any]:
    """(names in the file, the variable of that name or None), read by a process of its own."""
    reader = [sys.executable, "-c", _READER, str(file), name]
    return pickle.loads(subprocess.run(reader, capture_output=True, timeout=TIMEOUT, check=True).stdout)


def _load(file: Path, name: str, shown: str) -> NDArray[Any]:
    if (size := file.stat().st_size) > MAX_BYTES:
        raise DeepPoseError(f"{shown}: {size} bytes; valid: at most {MAX_BYTES}")
    try:
        found, value = _read_apart(file, name)
    except (subprocess.SubprocessError, ValueError, EOFError, pickle.UnpicklingError) as error:
        lines = (getattr(error, "stderr", None) or b"").decode(errors="replace").split("\n")
        reason = next((line.strip() for line in reversed(lines) if line.strip()), "the reader crashed")
        raise DeepPoseError(
            f"{shown}: not a MATLAB file of versions 5 to 7.2, or damaged ({reason[:100]}); copy it again"
        ) from None
    if not isinstance(value, np.ndarray):
        names = ", ".join(map(repr, found))[:200] or "nothing"
        raise DeepPoseError(f"{shown}: no variable {name!r}; found {names}")
    return value
