"""Arrays of records (1×N structs) out of MATLAB files, as columns.

FLIC keeps 5,003 records of nine fields so, each value a matrix of its own with its own header. Two things make reading
them quick: a field that is not wanted is stepped over by its length, and a header that was seen before is not parsed
again. Each length is checked before it is used all the same; see `matfile.py` for why.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.data.prepare.matfile import (
    INT8,
    INT32,
    MATRIX,
    NUMBERS,
    STRUCT,
    TEXT,
    Damaged,
    Matrix,
    Unfit,
    element,
    find,
    number_type,
    parse,
    reporting,
)

_ENCODINGS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
"""Element type → encoding, where the bytes are text. MATLAB writes plain text as unsigned shorts (4) or UTF-8 (16)."""
_DATA_TAG = 48
"""Where the tag of a value starts, in bytes from its matrix' own tag: behind class, a size of two numbers, an empty
name. Practically all are so."""
_SHORT_HEADER, _LONG_HEADER = _DATA_TAG + 4, _DATA_TAG + 8
"""Up to the end of the value's type and length: 4 bytes where the value stands in the tag, else 8."""


@dataclass(frozen=True)
class Records:
    """What `read_struct` found, by column."""

    count: int
    numbers: dict[str, NDArray[np.float64]]
    """Field → (N, *shape)."""
    texts: dict[str, tuple[str, ...]]
    """Field → (N)."""


@dataclass(frozen=True)
class _Layout:
    """What a header says of the value behind it."""

    start: int
    """Of the value, in bytes from the tag of its matrix."""
    size: int
    """Bytes of the value."""
    coding: str
    """NumPy's name of the number type, or the text's encoding."""
    length: int
    """Of a text, in MATLAB's characters (UTF-16's)."""


@dataclass
class _Column:
    """One wanted field, on the way."""

    shape: tuple[int, ...] | None
    """None: text."""
    layouts: list[_Layout] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)
    known: dict[bytes, _Layout] = field(default_factory=dict)
    """By header."""

    @property
    def valid(self) -> str:
        return "one line of text" if self.shape is None else f"{'×'.join(map(str, self.shape))} numbers"


def read_struct(
    file: Path,
    name: str,
    numbers: Mapping[str, tuple[int, ...]],
    texts: Sequence[str] = (),
    shown: str | None = None,
) -> Records:
    """The wanted fields of the array of records that the file calls `name`; no other field is decoded.

    `numbers` gives fields that are real numbers (or logical) with the size that they have in each record; float64
    comes out. `texts` gives fields that are one line of text. Raises DeepPoseError, one line that calls the file
    `shown`: all that `read_array` has, a missing field, and, naming record (from 1) and field, a damaged value or one
    of another kind or size.
    """
    shown = shown or str(file)
    with reporting(shown, name, "a 1×N struct"):
        matrix, order = find(file, name, shown)
        if matrix.kind != STRUCT:
            raise Unfit(matrix.what)
        if len(matrix.shape) != 2 or min(matrix.shape) > 1:
            raise Unfit(f"a {'×'.join(map(str, matrix.shape))} struct")
        fields, start = _fields(matrix, order)
        wanted = {**dict.fromkeys(texts), **numbers}
        if missing := [f for f in wanted if f not in fields]:
            raise DeepPoseError(f"{shown}: {name} has no field {missing[0]}; found {', '.join(fields)[:200] or 'none'}")
        columns = {f: _Column(shape) for f, shape in wanted.items()}
        count = prod(matrix.shape)
        _walk(bytes(matrix.content[start:]), order, count, [(f, columns.get(f)) for f in fields], shown)
    return Records(
        count,
        {f: _join_numbers(columns[f], shape) for f, shape in numbers.items()},
        {f: _decode(columns[f], f, shown) for f in texts},
    )


def _fields(matrix: Matrix, order: str) -> tuple[list[str], int]:
    """(names of the fields, where the first value starts)."""
    kind, raw, _, at = element(matrix.content, 0, order)
    if kind != INT32 or len(raw) != 4:
        raise Damaged("a struct without field names")
    (width,) = struct.unpack(f"{order}i", raw)
    kind, raw, _, at = element(matrix.content, at, order)
    if kind != INT8 or width < 1 or len(raw) % width:
        raise Damaged("a struct without field names")
    names = [bytes(raw[i : i + width]).partition(b"\0")[0].decode("latin-1") for i in range(0, len(raw), width)]
    if len(set(names)) < len(names) or not all(map(str.isidentifier, names)):
        raise Damaged(f"a struct with fields named {', '.join(map(repr, names))[:100]}")
    return names, at


def _walk(data: bytes, order: str, count: int, fields: list[tuple[str, _Column | None]], shown: str) -> None:
    """Fills the columns. Raises DeepPoseError that names record and field."""
    tag = struct.Struct(f"{order}II").unpack_from
    at, total, step = 0, len(data), 0
    try:
        for step in range(count * len(fields)):
            column = fields[step % len(fields)][1]
            kind, size = tag(data, at)
            end = at + 8 + size
            if kind != MATRIX:
                raise Damaged(f"an element of type {kind} where a matrix should be")
            if end > total:
                raise Damaged(f"it ends {end - total} bytes early")
            if column is not None:
                header = data[at : at + _LONG_HEADER]
                layout = column.known.get(header) or column.known.get(header[:_SHORT_HEADER])
                if layout is None:
                    layout = _learn(column, memoryview(data)[at:end], order)
                column.layouts.append(layout)
                column.values.append(data[at + layout.start : at + layout.start + layout.size])
            at = end + -end % 8
    except (Unfit, Damaged, struct.error) as error:
        name, column = fields[step % len(fields)]
        place = f"{shown}: record {step // len(fields) + 1}, field {name}"
        if isinstance(error, Unfit) and column is not None:
            raise DeepPoseError(f"{place}: {error}; valid: {column.valid}") from None
        raise DeepPoseError(f"{place}: the MATLAB file is damaged ({error}); copy it again") from None


def _learn(column: _Column, data: memoryview, order: str) -> _Layout:
    """The layout of a value, from its matrix' tag on; remembered where its header has the usual length."""
    content = data[8:]
    if not content:
        raise Unfit("empty")
    matrix = parse(content, order)
    text = column.shape is None
    if matrix.complex or (matrix.kind != TEXT if text else matrix.kind not in NUMBERS or matrix.shape != column.shape):
        raise Unfit(matrix.what)
    if not matrix.content:
        raise Damaged("a matrix without a value")
    stored, value, start, _ = element(matrix.content, 0, order)
    head = len(data) - len(matrix.content)
    layout = _Layout(head + start, len(value), *_coding(matrix, stored, len(value), order))
    if head == _DATA_TAG:
        column.known[bytes(data[: head + start if start == 4 else _LONG_HEADER])] = layout
    return layout


def _coding(matrix: Matrix, stored: int, size: int, order: str) -> tuple[str, int]:
    """(number type or encoding, length of a text) of a value of `size` bytes."""
    count = prod(matrix.shape)
    if matrix.kind != TEXT:
        dtype = number_type(stored, order)
        if count * dtype.itemsize != size:
            raise Damaged(f"a matrix of size {matrix.shape} with {size} bytes of numbers")
        return dtype.str, 0
    if stored not in _ENCODINGS:
        raise Damaged("a text without letters")
    if len(matrix.shape) != 2 or (matrix.shape[0] != 1 and count):
        raise Unfit(f"{'×'.join(map(str, matrix.shape))} letters")
    encoding = _ENCODINGS[stored]
    wide = encoding in ("utf-16", "utf-32")
    return f"{encoding}-{'le' if order == '<' else 'be'}" if wide else encoding, count


def _join_numbers(column: _Column, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """(N, *shape). Values of one number type are joined and read at once."""
    flat = np.empty((len(column.values), prod(shape)))
    codings = [layout.coding for layout in column.layouts]
    for coding in set(codings):
        rows = [row for row, other in enumerate(codings) if other == coding]
        flat[rows] = np.frombuffer(b"".join(column.values[row] for row in rows), coding).reshape(len(rows), -1)
    # MATLAB counts down the columns first.
    backwards = flat.reshape(len(flat), *shape[::-1])
    return np.ascontiguousarray(backwards.transpose(0, *range(backwards.ndim - 1, 0, -1)))


def _decode(column: _Column, name: str, shown: str) -> tuple[str, ...]:
    """The texts of a field. Raises DeepPoseError for bytes that are no text of the length that is said."""
    texts = []
    for record, (layout, value) in enumerate(zip(column.layouts, column.values, strict=True)):
        try:
            text = value.decode(layout.coding)
        except UnicodeDecodeError:
            text = None
        if text is None or (len(text) != layout.length and len(text.encode("utf-16-le")) != 2 * layout.length):
            raise DeepPoseError(
                f"{shown}: record {record + 1}, field {name}: the MATLAB file is damaged (no text of "
                f"{layout.length} letters); copy it again"
            )
        texts.append(text)
    return tuple(texts)
