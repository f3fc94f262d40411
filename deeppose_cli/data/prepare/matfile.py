"""Arrays of numbers out of MATLAB files, versions 5 to 7.2, in which the classic data sets keep their labels.

SciPy's reader brings the whole process down (a segmentation fault, no exception) on some damaged files, and labels are
downloaded, copied and cut off like any other file. So this reads the kinds of variable that are needed (arrays of
numbers here, structs in `matstruct.py`), checks each length before using it, and gives one line for whatever is wrong.
The format is in MathWorks' "MAT-File Format": a header of 128 bytes, then elements, each a type, a length and that many
bytes; a matrix is an element made of elements.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.errors import DeepPoseError

MAX_BYTES = 256 * 2**20
"""Of the file, and of a variable in it: the largest label file of the sets read here takes 4 MB."""

_HEADER = 128
_HDF5_MAJOR = 2
INT8, INT32, UINT32, MATRIX, COMPRESSED = 1, 5, 6, 14, 15
"""Types of an element."""
STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""Element type → how the bytes are to be read, where they are numbers."""
STRUCT, TEXT = 2, 4
"""Two classes of a matrix."""
NUMBERS = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
"""Matrix class → what it is in MATLAB, which stores whole numbers in fewer bytes than their class has."""
_OTHERS = {1: "a cell array", 2: "a struct", 3: "an object", 4: "text", 5: "a sparse matrix"}
_COMPLEX = 0x800


class Damaged(ValueError):
    """A length or a type that cannot be."""


class Unfit(ValueError):
    """Whole, but not what was asked for; the message says what it is."""


class Element(NamedTuple):
    """What a file is made of."""

    kind: int
    content: memoryview
    start: int
    """Of the content, in the bytes that were given."""
    end: int
    """Where the next element starts."""


class Matrix(NamedTuple):
    """A variable, or a part of one, its content not yet read."""

    kind: int
    """MATLAB's class."""
    complex: bool
    shape: tuple[int, ...]
    name: str
    content: memoryview
    """The elements behind the name."""

    @property
    def what(self) -> str:
        """For an error: `text`, `3×4 numbers`."""
        size = "×".join(map(str, self.shape))
        if self.kind in NUMBERS:
            return f"{size} complex numbers" if self.complex else f"{size} numbers"
        return _OTHERS.get(self.kind, f"of class {self.kind}")


def read_array(file: Path, name: str, shown: str | None = None) -> NDArray[np.number]:
    """The real array of numbers that the file calls `name`, in the shape and number type that MATLAB gives it.

    Raises DeepPoseError, one line that calls the file `shown`: not readable, another format, damaged, no such variable,
    or one that is no array of numbers.
    """
    shown = shown or str(file)
    with reporting(shown, name, "an array of real numbers"):
        matrix, order = find(file, name, shown)
        if matrix.kind not in NUMBERS or matrix.complex:
            raise Unfit(matrix.what)
        stored, values, *_ = element(matrix.content, 0, order)
        dtype = number_type(stored, order)
        if prod(matrix.shape) * dtype.itemsize != len(values):
            raise Damaged(f"a matrix of size {matrix.shape} with {len(values)} bytes of numbers")
        return np.frombuffer(values, dtype).astype(NUMBERS[matrix.kind]).reshape(matrix.shape, order="F")


@contextmanager
def reporting(shown: str, what: str, valid: str) -> Iterator[None]:
    """Whatever is wrong in a file becomes one line."""
    try:
        yield
    except Unfit as error:
        raise DeepPoseError(f"{shown}: {what} is {error}; valid: {valid}") from None
    except (Damaged, struct.error, zlib.error) as error:
        raise DeepPoseError(f"{shown}: the MATLAB file is damaged ({error}); copy it again") from None


def find(file: Path, name: str, shown: str) -> tuple[Matrix, str]:
    """(the variable that the file calls `name`, the byte order as `struct` says it).

    Raises DeepPoseError: not readable, another format, no such variable; Damaged or its kin, see `reporting`.
    """
    try:
        with file.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            # Not "at most so many": Python sets aside what is asked for.
            data = stream.read(min(size, MAX_BYTES))
    except OSError as error:
        raise DeepPoseError(f"{shown}: cannot be read ({error.strerror or error})") from None
    if size > MAX_BYTES:
        raise DeepPoseError(f"{shown}: larger than {MAX_BYTES} bytes; no label file is")
    order = _byte_order(data, shown)
    found = []
    for content in _variables(memoryview(data)[_HEADER:], order):
        matrix = parse(content, order)
        if matrix.name == name:
            return matrix, order
        found.append(matrix.name)
    others = ", ".join(map(repr, found)) or "nothing"
    raise DeepPoseError(f"{shown}: no variable {name!r}; found {others[:200]}")


def parse(content: memoryview, order: str) -> Matrix:
    """The content of a MATRIX element. Raises Damaged."""
    parts: list[Element] = []
    at = 0
    while at < len(content) and len(parts) < 3:
        parts.append(element(content, at, order))
        at = parts[-1].end
    if [part.kind for part in parts] != [UINT32, INT32, INT8] or len(parts[1].content) % 4:
        raise Damaged("a matrix without class, size and name")
    flags, sizes, name = (part.content for part in parts)
    (word,) = struct.unpack_from(f"{order}I", flags)
    shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
    if min(shape, default=-1) < 0:
        raise Damaged(f"a matrix of size {shape}")
    return Matrix(word & 0xFF, bool(word & _COMPLEX), shape, bytes(name).decode("latin-1"), content[at:])


def element(data: memoryview, at: int, order: str) -> Element:
    """The element that starts there. Raises Damaged."""
    kind, size = struct.unpack_from(f"{order}II", data, at)
    start = at + 8
    if kind >> 16:  # up to four bytes stand in the tag itself, in place of the length
        kind, size, start = kind & 0xFFFF, kind >> 16, at + 4
        if size > 4:
            raise Damaged(f"a short element of {size} bytes")
    content = data[start : start + size]
    if len(content) < size:
        raise Damaged(f"it ends {size - len(content)} bytes early")
    end = start + size
    return Element(kind, content, start, end if kind == COMPRESSED else end + -end % 8)


def _elements(data: memoryview, order: str) -> Iterator[Element]:
    at = 0
    while at < len(data):
        part = element(data, at, order)
        yield part
        at = part.end


def number_type(stored: int, order: str) -> np.dtype[np.number]:
    """How numbers of this element type lie in the file. Raises Damaged for a type that is none."""
    if stored not in STORED:
        raise Damaged("a matrix without numbers")
    return np.dtype(order + STORED[stored])


def _byte_order(data: bytes, shown: str) -> str:
    order = {b"IM": "<", b"MI": ">"}.get(data[_HEADER - 2 : _HEADER])
    if order is None:
        raise DeepPoseError(f"{shown}: not a MATLAB file of version 5 to 7.2")
    (version,) = struct.unpack_from(f"{order}H", data, _HEADER - 4)
    if version >> 8 == _HDF5_MAJOR:
        raise DeepPoseError(f"{shown}: a MATLAB file of version 7.3 (HDF5); save it in MATLAB with -v7")
    return order


def _variables(data: memoryview, order: str) -> Iterator[memoryview]:
    for kind, content, *_ in _elements(data, order):
        if kind == COMPRESSED:
            stream = zlib.decompressobj()
            unpacked = stream.decompress(content, MAX_BYTES)
            if not stream.eof:
                raise Damaged("a compressed variable that does not end")
            yield from (part.content for part in _elements(memoryview(unpacked), order) if part.kind == MATRIX)
        elif kind == MATRIX:
            yield content
