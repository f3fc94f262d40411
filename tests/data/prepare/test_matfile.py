"""MATLAB files against SciPy's own writer, as older machines wrote them, and damaged."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.data.prepare.matfile import read_array

DTYPES = ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=2, max_dims=4, min_side=0, max_side=4))
    ),
    st.booleans(),
    st.sampled_from(["x", "name", "joints", "longer_name"]),
)
def test_what_scipy_writes_is_read(array: np.ndarray, compressed: bool, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "m.mat")
        scipy.io.savemat(file, {"before": "text", name: array, "z": 1.0}, do_compression=compressed)
        read = read_array(file, name)
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


def element(order: str, kind: int, data: bytes) -> bytes:
    return struct.pack(f"{order}II", kind, len(data)) + data + bytes(-len(data) % 8)


@pytest.mark.parametrize("order", ["<", ">"])
def test_doubles_stored_in_fewer_bytes_in_both_byte_orders(tmp_path: Path, order: str) -> None:
    """MATLAB keeps whole doubles as bytes or shorts; a name of up to four letters stands inside its tag."""
    matrix = (
        element(order, 6, struct.pack(f"{order}II", 6, 0))
        + element(order, 5, struct.pack(f"{order}2i", 2, 3))
        + struct.pack(f"{order}I", (1 << 16) | 1)
        + b"x\0\0\0"
        + element(order, 3, struct.pack(f"{order}6h", 1, -2, 3, 300, 5, 6))
    )
    header = b"MATLAB 5.0".ljust(124) + struct.pack(f"{order}H", 0x0100) + (b"IM" if order == "<" else b"MI")
    (tmp_path / "m.mat").write_bytes(header + element(order, 14, matrix))
    read = read_array(tmp_path / "m.mat", "x")
    assert read.dtype == np.float64
    np.testing.assert_array_equal(read, [[1, 3, 5], [-2, 300, 6]])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("hello", "text"),
        (np.array([["a", 1]], dtype=object), "a cell array"),
        ({"field": 1}, "a struct"),
        (np.ones(3) * 1j, "1×3 complex numbers"),
    ],
)
def test_what_is_no_array_of_numbers_is_named(tmp_path: Path, value: object, expected: str) -> None:
    scipy.io.savemat(tmp_path / "m.mat", {"x": value})
    with pytest.raises(DeepPoseError, match=f"x is {expected}; valid: an array of real numbers"):
        read_array(tmp_path / "m.mat", "x")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "not a MATLAB file"),
        (b"<html>" * 100, "not a MATLAB file"),
        (b"MATLAB 7.3".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n" + bytes(400), "version 7.3 .HDF5.; save it"),
        (b"MATLAB 5.0".ljust(124) + b"\x00\x01IM", "no variable 'x'; found nothing"),
        (b"MATLAB 5.0".ljust(124) + b"\x00\x01IM" + struct.pack("<II", 14, 900), "damaged .it ends 900 bytes early"),
        (b"MATLAB 5.0".ljust(124) + b"\x00\x01IM" + b"\x0f\0", "damaged"),
    ],
)
def test_another_or_a_cut_file_is_one_line_that_names_it(tmp_path: Path, data: bytes, expected: str) -> None:
    (tmp_path / "m.mat").write_bytes(data)
    with pytest.raises(DeepPoseError, match=expected) as caught:
        read_array(tmp_path / "m.mat", "x", "archive.zip: m.mat")
    assert str(caught.value).startswith("archive.zip: m.mat: ")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DeepPoseError, match=r"m\.mat: cannot be read \(No such file"):
        read_array(tmp_path / "m.mat", "x")


def test_a_damaged_file_gives_nothing_but_our_error() -> None:
    """SciPy's reader ends the process on some of these."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "m.mat")
        whole = {}
        for compressed in (True, False):
            scipy.io.savemat(file, {"x": np.arange(24.0).reshape(2, 3, 4)}, do_compression=compressed)
            whole[compressed] = file.read_bytes()

    @settings(max_examples=400, deadline=None)
    @given(st.booleans(), st.data())
    def run(compressed: bool, data: st.DataObject) -> None:
        damaged = bytearray(whole[compressed])
        for _ in range(data.draw(st.integers(1, 4))):
            # The tags, rather than the text before them and the numbers behind them.
            damaged[data.draw(st.integers(124, min(len(damaged), 200) - 1))] = data.draw(st.integers(0, 255))
        if data.draw(st.booleans()):
            del damaged[data.draw(st.integers(0, len(damaged) - 1)) :]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "m.mat")
            file.write_bytes(damaged)
            try:
                lines = [f"{read_array(file, 'x').size} numbers"]
            except DeepPoseError as error:
                lines = str(error).splitlines()
            assert len(lines) == 1

    run()
