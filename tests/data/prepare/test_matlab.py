"""MATLAB files: what SciPy wrote is read, and any fault is one line that names the file."""

from __future__ import annotations

import struct
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import scipy.io

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.data.prepare import matlab
from deeppose_cli.data.prepare.matlab import _read_apart, read_array, read_struct, require

READ_APART = _read_apart
"""Before the tests' fixture replaces it."""
HEADER = b"MATLAB 5.0".ljust(124) + b"\x00\x01IM"


def structs(file: Path, **columns: list[Any]) -> Path:
    count = len(next(iter(columns.values())))
    array = np.empty((1, count), dtype=[(name, object) for name in columns])
    for name, values in columns.items():
        for row, value in enumerate(values):
            array[0, row][name] = value
    scipy.io.savemat(file, {"people": array})
    return file


@pytest.mark.parametrize("dtype", ["f8", "f4", "u1", "i2"])
@pytest.mark.parametrize("compressed", [True, False])
def test_an_array_is_read_as_it_was_written(tmp_path: Path, dtype: str, compressed: bool) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    scipy.io.savemat(tmp_path / "m.mat", {"before": "text", "x": array}, do_compression=compressed)
    found = read_array(tmp_path / "m.mat", "x", "m")
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype


def test_records_become_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matlab, "_read_apart", READ_APART)
    points = [np.arange(6.0).reshape(2, 3) + i for i in range(3)]
    file = structs(
        tmp_path / "m.mat", points=points, flag=[np.array([[i == 1]]) for i in range(3)], name=["a", "bé", ""]
    )
    columns = read_struct(file, "people", {"points": (2, 3), "flag": (1, 1)}, ["name"], "m")
    np.testing.assert_array_equal(columns["points"], points)
    assert columns["points"].dtype == columns["flag"].dtype == np.float64
    assert columns["flag"].ravel().tolist() == [0, 1, 0]
    assert columns["name"].tolist() == ["a", "bé", ""]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"points": [np.ones((2, 3)), np.ones((2, 2))]}, "record 2, points: 2×2 of type float64; valid: 2×3 numbers"),
        ({"points": [np.ones((2, 3)), "text"]}, "record 2, points: 1 of type <U4; valid: 2×3 numbers"),
        ({"points": [np.ones((2, 3)) * 1j] * 2}, "record 1, points: 2×3 of type complex128"),
        ({"name": ["a", np.ones((1, 1))]}, "record 2, name: 1×1 of type float64; valid: one text"),
        ({"other": ["a", "b"], "name": None}, "people has no field name; found points, other"),
    ],
)
def test_a_record_of_another_kind_is_named(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    columns: dict[str, Any] = {"points": [np.ones((2, 3))] * 2, "name": ["a", "b"]} | change
    file = structs(tmp_path / "m.mat", **{name: values for name, values in columns.items() if values is not None})
    with pytest.raises(DeepPoseError, match=f"^m: {expected}"):
        read_struct(file, "people", {"points": (2, 3)}, ["name"], "m")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("hello", "x is text; valid: an array of real numbers"),
        (np.array([["a", 1]], dtype=object), "x is of type object"),
        ({"field": 1}, "x is a struct"),
        (np.ones(3) * 1j, "x is of type complex128"),
    ],
)
def test_what_is_no_array_of_numbers_is_named(tmp_path: Path, value: object, expected: str) -> None:
    scipy.io.savemat(tmp_path / "m.mat", {"x": value})
    with pytest.raises(DeepPoseError, match=f"^m: {expected}"):
        read_array(tmp_path / "m.mat", "x", "m")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "not a MATLAB file"),
        (b"<html>" * 100, "not a MATLAB file"),
        (HEADER[:-4] + b"\x00\x02IM" + bytes(384) + b"\x89HDF\r\n\x1a\n", "not a MATLAB file of versions 5 to 7.2"),
        (HEADER, "no variable 'x'; found nothing"),
        (HEADER + struct.pack("<II", 14, 900), "or damaged .*; copy it again"),
        (HEADER + b"\x0f\0", "or damaged .*; copy it again"),
    ],
)
def test_another_or_a_cut_file_is_one_line_that_names_it(tmp_path: Path, data: bytes, expected: str) -> None:
    (tmp_path / "m.mat").write_bytes(data)
    with pytest.raises(DeepPoseError, match=expected) as caught:
        read_array(tmp_path / "m.mat", "x", "archive.zip: m.mat")
    assert str(caught.value).startswith("archive.zip: m.mat: ")
    assert "\n" not in str(caught.value)


def test_a_missing_variable_and_a_large_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "m.mat"
    scipy.io.savemat(file, {"joints": np.ones(3), "y": 1})
    with pytest.raises(DeepPoseError, match=r"^m: no variable 'x'; found 'joints', 'y'$"):
        read_array(file, "x", "m")
    monkeypatch.setattr(matlab, "MAX_BYTES", 100)
    with pytest.raises(DeepPoseError, match=r"valid: at most 100$"):
        read_array(file, "x", "m")


@pytest.mark.parametrize(("program", "timeout"), [("import os; os.abort()", 60), ("import time; time.sleep(60)", 0.2)])
def test_a_reader_that_crashes_or_hangs_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, timeout: float
) -> None:
    scipy.io.savemat(tmp_path / "m.mat", {"x": np.ones(3)})
    monkeypatch.setattr(matlab, "_read_apart", READ_APART)
    monkeypatch.setattr(matlab, "_READER", program)
    monkeypatch.setattr(matlab, "TIMEOUT", timeout)
    with pytest.raises(DeepPoseError, match=r"^m: not a MATLAB file .*damaged \(the reader crashed\); copy it again$"):
        read_array(tmp_path / "m.mat", "x", "m")


@pytest.mark.slow
def test_a_damaged_file_is_read_or_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matlab, "_read_apart", READ_APART)
    file = tmp_path / "m.mat"
    scipy.io.savemat(file, {"x": np.arange(24.0).reshape(2, 3, 4)})
    whole, random = file.read_bytes(), Random(3)
    for _ in range(5):
        damaged = bytearray(whole)
        for _ in range(random.randrange(1, 5)):
            damaged[random.randrange(128, 200)] = random.randrange(256)
        file.write_bytes(damaged[: random.choice([len(whole), random.randrange(128, len(whole))])])
        try:
            lines = [str(read_array(file, "x", "m").shape)]
        except DeepPoseError as error:
            lines = str(error).splitlines()
        assert len(lines) == 1


def test_the_first_value_that_cannot_be_right_is_named() -> None:
    values = np.arange(12.0).reshape(3, 2, 2)
    names = (("neck", "nose"), "xy")
    require(values < 12, values, "below 12", "m", names)
    with pytest.raises(DeepPoseError, match=r"^m: record 2, coords nose x is 6; valid: below 6$"):
        require(values < 6, values, "below 6", "m", names, "coords")
    with pytest.raises(DeepPoseError, match=r"^m: record 1, file is 'a/b'; valid: no folder$"):
        require(np.array([False]), np.array(["a/b"]), "no folder", "m", field="file")
