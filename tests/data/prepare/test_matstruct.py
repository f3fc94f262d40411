"""Arrays of records against SciPy's own writer, as older machines wrote them, and damaged."""

from __future__ import annotations

import re
import struct
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.data.prepare.matstruct import Records, read_struct
from tests.data.prepare.test_matfile import element

LETTERS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)


def save(file: Path, records: list[dict[str, object]], compressed: bool = False, axis: int = 1) -> None:
    array = np.empty(len(records), dtype=[(name, object) for name in records[0]])
    for row, record in enumerate(records):
        for name, value in record.items():
            array[row][name] = value
    scipy.io.savemat(file, {"before": 1.0, "s": np.expand_dims(array, 1 - axis)}, do_compression=compressed)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "skipped": st.sampled_from([np.ones((3, 5)), "text", np.array([[1j]]), np.zeros((0, 0)), {"a": 1}]),
                "matrix": st.lists(st.floats(width=32), min_size=6, max_size=6),
                "type": st.sampled_from(["f8", "f4", "i4"]),
                "flag": st.booleans(),
                "small": st.integers(-128, 2**31),
                "words": LETTERS,
            }
        ),
        min_size=1,
        max_size=6,
    ),
    st.booleans(),
    st.sampled_from([0, 1]),
)
def test_what_scipy_writes_is_read(values: list[dict[str, object]], compressed: bool, axis: int) -> None:
    records = []
    for value in values:
        matrix = np.array(value["matrix"]).reshape(2, 3)
        if value["type"] == "i4":
            matrix = np.nan_to_num(matrix).clip(-1000, 1000)
        small = int(value["small"])
        records.append(
            {
                "skipped": value["skipped"],
                "matrix": matrix.astype(str(value["type"])),
                "flag": np.array([[value["flag"]]]),
                "small": np.array([[small]], np.int64 if small >= 2**31 else np.min_scalar_type(small)),
                "words": value["words"],
            }
        )
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder, "m.mat"), records, compressed, axis)
        numbers = {"matrix": (2, 3), "flag": (1, 1), "small": (1, 1)}
        read = read_struct(Path(folder, "m.mat"), "s", numbers, ["words"])
    assert read.count == len(records)
    assert read.texts == {"words": tuple(record["words"] for record in records)}
    for name in numbers:
        assert read.numbers[name].dtype == np.float64
        np.testing.assert_array_equal(read.numbers[name], np.stack([record[name] for record in records]))


# ---- as other machines and MATLAB itself write


def matrix(order: str, kind: int, shape: tuple[int, ...], value: bytes, name: bytes = b"") -> bytes:
    return element(
        order,
        14,
        element(order, 6, struct.pack(f"{order}II", kind, 0))
        + element(order, 5, struct.pack(f"{order}{len(shape)}i", *shape))
        + element(order, 1, name)
        + value,
    )


def in_tag(order: str, kind: int, value: bytes) -> bytes:
    """Up to four bytes, which stand in the tag itself."""
    word = (len(value) << 16) | kind
    return struct.pack(f"{order}I", word) + value.ljust(4, b"\0")


def struct_file(order: str, fields: list[str], values: list[bytes], shape: tuple[int, int] | None = None) -> bytes:
    """A whole file with one struct `s`; the values record by record."""
    names = b"".join(field.encode().ljust(8, b"\0") for field in fields)
    shape = shape or (1, len(values) // max(len(fields), 1))
    content = in_tag(order, 5, struct.pack(f"{order}i", 8)) + element(order, 1, names) + b"".join(values)
    header = b"MATLAB 5.0".ljust(124) + struct.pack(f"{order}H", 0x0100) + (b"IM" if order == "<" else b"MI")
    return header + matrix(order, 2, shape, content, b"s")


@pytest.mark.parametrize("order", ["<", ">"])
def test_every_way_to_store_numbers_and_text_in_both_byte_orders(tmp_path: Path, order: str) -> None:
    utf16 = "utf-16-le" if order == "<" else "utf-16-be"
    utf32 = "utf-32-le" if order == "<" else "utf-32-be"
    words = [
        (in_tag(order, 16, b"ab"), "ab"),
        (element(order, 16, "Amélie Ω".encode()), "Amélie Ω"),
        (in_tag(order, 17, "é!".encode(utf16)), "é!"),
        (element(order, 4, "Heat 2".encode(utf16)), "Heat 2"),
        (element(order, 18, "Léon".encode(utf32)), "Léon"),
        (in_tag(order, 1, b"mi2"), "mi2"),
        (element(order, 2, "fünfte".encode("latin-1")), "fünfte"),
        (element(order, 17, "\N{CLAPPER BOARD}a".encode(utf16)), "\N{CLAPPER BOARD}a"),
        (element(order, 16, b""), ""),
    ]
    sizes = [(1, len(text.encode("utf-16-le")) // 2) for _, text in words]
    # The same double in all the types that hold it; some in the tag, some behind it.
    numbers = [
        in_tag(order, 2, b"\x07"),
        in_tag(order, 1, b"\x07"),
        in_tag(order, 3, struct.pack(f"{order}h", 7)),
        in_tag(order, 5, struct.pack(f"{order}i", 7)),
        element(order, 6, struct.pack(f"{order}I", 7)),
        element(order, 7, struct.pack(f"{order}f", 7)),
        element(order, 9, struct.pack(f"{order}d", 7)),
        element(order, 12, struct.pack(f"{order}q", 7)),
        in_tag(order, 2, b"\x07"),
    ]
    values = []
    for (word, _), size, number in zip(words, sizes, numbers, strict=True):
        # A named part has a longer header than the usual one.
        values += [matrix(order, 4, size, word), element(order, 14, b""), matrix(order, 6, (1, 1), number, b"n" * 9)]
    (tmp_path / "m.mat").write_bytes(struct_file(order, ["word", "empty", "number"], values))
    read = read_struct(tmp_path / "m.mat", "s", {"number": (1, 1)}, ["word"])
    assert read.texts["word"] == tuple(text for _, text in words)
    np.testing.assert_array_equal(read.numbers["number"], np.full((9, 1, 1), 7.0))


def test_two_headers_that_begin_alike_are_told_apart(tmp_path: Path) -> None:
    """Sizes, names and types that differ in their last byte only, one after the other."""
    values = [
        matrix("<", 6, (1, 2), element("<", 9, struct.pack("<2d", 1, 2))),
        matrix("<", 6, (1, 2), element("<", 7, struct.pack("<2f", 3, 4))),
        matrix("<", 6, (1, 2), in_tag("<", 2, b"\x05\x06")),
        matrix("<", 6, (1, 2), in_tag("<", 3, struct.pack("<2h", 7, 8))),
        matrix("<", 6, (1, 2), element("<", 2, b"\x09\x0a")),
        matrix("<", 6, (1, 2), in_tag("<", 2, b"\x0b\x0c")),
    ]
    (tmp_path / "m.mat").write_bytes(struct_file("<", ["x"], values))
    read = read_struct(tmp_path / "m.mat", "s", {"x": (1, 2)})
    np.testing.assert_array_equal(read.numbers["x"].ravel(), np.arange(1, 13))


def test_a_known_header_with_a_wrong_length_is_not_believed(tmp_path: Path) -> None:
    """The length of the value is part of what is compared."""
    value = matrix("<", 6, (1, 2), element("<", 9, struct.pack("<2d", 1, 2)))
    wrong = value[:52] + struct.pack("<I", 8) + value[56:]
    (tmp_path / "m.mat").write_bytes(struct_file("<", ["x"], [value, value, wrong]))
    with pytest.raises(DeepPoseError, match=r"record 3, field x: .* damaged .*8 bytes of numbers"):
        read_struct(tmp_path / "m.mat", "s", {"x": (1, 2)})


def test_no_records_and_one(tmp_path: Path) -> None:
    (tmp_path / "m.mat").write_bytes(struct_file("<", ["x"], [], (1, 0)))
    read = read_struct(tmp_path / "m.mat", "s", {"x": (2, 3)}, [])
    assert (read.count, read.numbers["x"].shape) == (0, (0, 2, 3))
    scipy.io.savemat(tmp_path / "m.mat", {"s": {"x": np.ones((2, 3))}})
    assert read_struct(tmp_path / "m.mat", "s", {"x": (2, 3)}).count == 1


# ---- what cannot be right

ONE: dict[str, object] = {"a": np.ones((2, 3)), "t": "text", "other": 5.0}


def with_second(**changes: object) -> Callable[[Path], None]:
    return lambda file: save(file, [ONE, {**ONE, **changes}])


def raw(
    *values: bytes, fields: tuple[str, ...] = ("a", "t"), shape: tuple[int, int] | None = None
) -> Callable[[Path], None]:
    return lambda file: file.write_bytes(struct_file("<", list(fields), list(values), shape)) and None


A = matrix("<", 6, (2, 3), element("<", 9, bytes(48)))
T = matrix("<", 4, (1, 1), in_tag("<", 16, b"x"))

WRONG: dict[str, tuple[Callable[[Path], None], str]] = {
    "size": (with_second(a=np.ones((3, 2))), "record 2, field a: 3×2 numbers; valid: 2×3 numbers"),
    "axes": (with_second(a=np.ones((2, 3, 2))), "record 2, field a: 2×3×2 numbers; valid: 2×3 numbers"),
    "complex": (with_second(a=np.ones((2, 3)) * 1j), "record 2, field a: 2×3 complex numbers; valid: 2×3"),
    "text for numbers": (with_second(a="hello"), "record 2, field a: text; valid: 2×3 numbers"),
    "numbers for text": (with_second(t=3.0), "record 2, field t: 1×1 numbers; valid: one line of text"),
    "two lines": (with_second(t=np.array(["ab", "cd"])), "record 2, field t: 2×2 letters; valid: one line of text"),
    "cell": (with_second(t=np.array([["a", 1]], dtype=object)), "record 2, field t: a cell array; valid: one line"),
    "struct": (with_second(a={"b": 1}), "record 2, field a: a struct; valid: 2×3 numbers"),
    "nothing": (raw(A, T, element("<", 14, b""), T), "record 2, field a: empty; valid: 2×3 numbers"),
    "no value": (
        raw(A, matrix("<", 4, (1, 1), b"")),
        "record 1, field t: the MATLAB file is damaged .a matrix without",
    ),
    "no matrix": (raw(A, element("<", 9, bytes(8))), "record 1, field t: .*an element of type 9 where a matrix"),
    "cut": (raw(A, T, A, shape=(1, 2)), "record 2, field t: the MATLAB file is damaged"),
    "cut in the last": (raw(T, A, T, A[:-8], fields=("t", "a")), "record 2, field a: .*it ends 8 bytes early"),
    "not UTF-8": (
        raw(A, matrix("<", 4, (1, 1), in_tag("<", 16, b"\xff"))),
        "record 1, field t: .*no text of 1 letters",
    ),
    "letters": (raw(A, matrix("<", 4, (1, 3), in_tag("<", 16, b"ab"))), "record 1, field t: .*no text of 3 letters"),
    "no letters": (raw(A, matrix("<", 4, (1, 1), element("<", 9, bytes(8)))), "field t: .*a text without letters"),
    "no numbers": (raw(matrix("<", 6, (2, 3), element("<", 16, bytes(48))), T), "field a: .*a matrix without numbers"),
    "too many records": (raw(A, T, shape=(1, 2**31 - 1)), "record 2, field a: the MATLAB file is damaged"),
    "no such field": (raw(A, fields=("a",)), "s has no field t; found a"),
    "one field twice": (raw(A, A, fields=("a", "a")), "a struct with fields named 'a', 'a'"),
    "a field of two lines": (raw(A, A, fields=("a", "t\n")), r"fields named 'a', 't\\n'"),
    "two by two": (raw(A, T, A, T, A, T, A, T, shape=(2, 2)), "s is a 2×2 struct; valid: a 1×N struct"),
    "an array": (lambda file: scipy.io.savemat(file, {"s": np.ones(3)}), "s is 1×3 numbers; valid: a 1×N struct"),
    "a cell array": (lambda file: scipy.io.savemat(file, {"s": np.array([{"a": 1}] * 2)}), "s is a cell array; valid"),
    "another name": (lambda file: scipy.io.savemat(file, {"e": {"a": 1}}), "no variable 's'; found 'e'"),
    "empty": (lambda file: file.write_bytes(b"") and None, "not a MATLAB file"),
}


def read(file: Path) -> Records:
    return read_struct(file, "s", {"a": (2, 3)}, ["t"], "zip: m.mat")


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_right_is_named(tmp_path: Path, case: str) -> None:
    make, expected = WRONG[case]
    make(tmp_path / "m.mat")
    with pytest.raises(DeepPoseError, match=expected) as caught:
        read(tmp_path / "m.mat")
    assert str(caught.value).startswith("zip: m.mat: ")
    assert "\n" not in str(caught.value)


def test_a_file_cut_anywhere_is_an_error(tmp_path: Path) -> None:
    for compressed in (False, True):
        save(tmp_path / "m.mat", [ONE, ONE], compressed)
        whole = (tmp_path / "m.mat").read_bytes()
        assert read(tmp_path / "m.mat").count == 2
        for size in range(0, len(whole) - 8):
            (tmp_path / "cut.mat").write_bytes(whole[:size])
            with pytest.raises(DeepPoseError):
                read(tmp_path / "cut.mat")


def damage(data: bytes, random: Random) -> bytes:
    """Bytes changed, lengths set to tempting values, pieces cut out, doubled or off the end."""
    damaged = bytearray(data)
    for _ in range(random.choice([1, 1, 1, 2, 4])):
        at = random.randrange(len(damaged))
        kind = random.random()
        if kind < 0.4:
            damaged[at] = random.randrange(256)
        elif kind < 0.8:
            at -= at % 4
            word = random.choice(
                [0, 1, 7, 8, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 8, 2**32 - 1, random.randrange(2000)]
            )
            damaged[at : at + 4] = struct.pack("<I", word)
        elif kind < 0.9:
            piece = damaged[at : at + random.randrange(1, 64)]
            damaged[at : at + (0 if random.random() < 0.5 else len(piece))] = piece if random.random() < 0.5 else b""
        else:
            del damaged[at:]
        damaged = damaged or bytearray(1)
    return bytes(damaged)


def test_ten_thousand_damaged_files_give_nothing_but_our_error(tmp_path: Path) -> None:
    """One line or plausible values; no hang, no more memory than a file of this size can need."""
    file = tmp_path / "m.mat"
    wholes = []
    for compressed in (False, True):
        save(file, [ONE, ONE, ONE], compressed)
        wholes.append(file.read_bytes())
    random = Random(5)
    lines = []
    slowest, peak = 0.0, 0
    for case in range(10_000):
        if case % 10 == 0:  # it doubles the time
            tracemalloc.start()
        file.write_bytes(damage(wholes[case % 5 == 0], random))
        start = time.process_time()
        try:
            found = read(file)
        except DeepPoseError as error:
            lines.append(str(error))
        else:
            assert found.numbers["a"].shape == (found.count, 2, 3)
            assert len(found.texts["t"]) == found.count
        slowest = max(slowest, time.process_time() - start)
        peak = max(peak, tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert slowest < 1
    assert peak < 5e6
    assert all(line.isprintable() and len(line) < 400 for line in lines)
    assert len(lines) > 3000, "the damage hits"
    assert sum(bool(re.search(r"record \d, field \w+: ", line)) for line in lines) > 1000
