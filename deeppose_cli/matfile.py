"""Arrays of numbers out of MATLAB files, versions 5 to 7.2, in which the classic data sets keep their labels.

SciPy's reader brings the whole process down (a segmentation fault, no exception) on some damaged files, and labels are
downloaded, copied and cut off like any other file. So this reads the one kind of variable that is needed, checks each
length before using it, and gives one line for whatever is wrong. The format is in MathWorks' "MAT-File Format": a
header of 128 bytes, then elements, each a type, a length and that many bytes; a matrix is an element made of elements.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.errors import DeepPoseError

MAX_BYTES = 256 * 2**20
"""Of the file, and of a variable in it: the largest label file of the sets read here takes 4 MB."""

_HEADER = 128
_HDF5_MAJOR = 2
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""Element type → how the bytes are to be read."""
_NUMBERS = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
"""Matrix class → what it is in MATLAB, which stores whole numbers in fewer bytes than their class has."""
_OTHERS = {1: "a cell array", 2: "a struct", 3: "an object", 4: "text", 5: "a sparse matrix"}
_COMPLEX = 0x800


class _Damaged(ValueError):
    """A length or a type that cannot be."""


def read_array(file: Path, name: str, shown: str | None = None) -> NDArray[np.number]:
    """The real array of numbers that the file calls `name`, in the shape and number type that MATLAB gives it.

    Raises DeepPoseError, one line that calls the file `shown`: not readable, another format, damaged, no such variable,
    or one that is no array of numbers.
    """
    shown = shown or str(file)
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise DeepPoseError(f"{shown}: cannot be read ({error.strerror or error})") from None
    if len(data) > MAX_BYTES:
        raise DeepPoseError(f"{shown}: larger than {MAX_BYTES} bytes; no label file is")
    order = _byte_order(data, shown)
    found = []
    try:
        for matrix in _matrices(memoryview(data)[_HEADER:], order):
            parts = list(_elements(matrix, order))
            if len(parts) < 3 or [kind for kind, _ in parts[:3]] != [_UINT32, _INT32, _INT8]:
                raise _Damaged("a matrix without class, size and name")
            if (called := bytes(parts[2][1]).decode("latin-1")) == name:
                return _array(parts, order)
            found.append(called)
    except (_Damaged, struct.error, zlib.error) as error:
        raise DeepPoseError(f"{shown}: the MATLAB file is damaged ({error}); copy it again") from None
    except TypeError as error:
        raise DeepPoseError(f"{shown}: {name} is {error}; valid: an array of real numbers") from None
    others = ", ".join(map(repr, found)) or "nothing"
    raise DeepPoseError(f"{shown}: no variable {name!r}; found {others[:200]}")


def _byte_order(data: bytes, shown: str) -> str:
    order = {b"IM": "<", b"MI": ">"}.get(data[_HEADER - 2 : _HEADER])
    if order is None:
        raise DeepPoseError(f"{shown}: not a MATLAB file of version 5 to 7.2")
    (version,) = struct.unpack_from(f"{order}H", data, _HEADER - 4)
    if version >> 8 == _HDF5_MAJOR:
        raise DeepPoseError(f"{shown}: a MATLAB file of version 7.3 (HDF5); save it in MATLAB with -v7")
    return order


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """(type, content) of each element."""
    at = 0
    while at < len(data):
        kind, size = struct.unpack_from(f"{order}II", data, at)
        start = at + 8
        if kind >> 16:  # up to four bytes stand in the tag itself, in place of the length
            kind, size, start = kind & 0xFFFF, kind >> 16, at + 4
            if size > 4:
                raise _Damaged(f"a short element of {size} bytes")
        content = data[start : start + size]
        if len(content) < size:
            raise _Damaged(f"it ends {size - len(content)} bytes early")
        yield kind, content
        at = start + size
        if kind != _COMPRESSED:
            at += -at % 8


def _matrices(data: memoryview, order: str) -> Iterator[memoryview]:
    for kind, content in _elements(data, order):
        if kind == _COMPRESSED:
            stream = zlib.decompressobj()
            unpacked = stream.decompress(content, MAX_BYTES)
            if not stream.eof:
                raise _Damaged("a compressed variable that does not end")
            yield from (inner for inner_kind, inner in _elements(memoryview(unpacked), order) if inner_kind == _MATRIX)
        elif kind == _MATRIX:
            yield content


def _array(parts: list[tuple[int, memoryview]], order: str) -> NDArray[np.number]:
    """Raises TypeError, saying what it is, for a matrix that is no real array of numbers."""
    (_, flags), (_, sizes), _, *contents = parts
    (word,) = struct.unpack_from(f"{order}I", flags)
    kind = word & 0xFF
    if kind not in _NUMBERS:
        raise TypeError(_OTHERS.get(kind, f"of class {kind}"))
    if word & _COMPLEX:
        raise TypeError("complex")
    if len(sizes) % 4 or not contents or contents[0][0] not in _STORED:
        raise _Damaged("a matrix without size or numbers")
    shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
    stored, values = contents[0]
    dtype = np.dtype(order + _STORED[stored])
    if min(shape, default=-1) < 0 or prod(shape) * dtype.itemsize != len(values):
        raise _Damaged(f"a matrix of size {shape} with {len(values)} bytes of numbers")
    return np.frombuffer(values, dtype).astype(_NUMBERS[kind]).reshape(shape, order="F")
