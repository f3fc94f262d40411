"""Images decoded once: never other pixels than the file's, whatever befalls the cache."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import shutil
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.data.loading import image_cache as module
from deeppose_cli.data.loading.image_cache import DataSetCache, ImageCache
from deeppose_cli.media.images import read_image

COUNT = 6


def draw(file: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cv2.imwrite(str(file), rng.integers(0, 256, [*rng.integers(20, 50, 2), 3], np.uint8))


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """JPEGs of noise, of different sizes, in the folder of set `one` below the data root."""
    folder = tmp_path / "one" / "images"
    folder.mkdir(parents=True)
    names = [folder / f"{i}.jpg" for i in range(COUNT)]
    for seed, file in enumerate(names):
        draw(file, seed)
    return names


def place(files: list[Path]) -> Path:
    return files[0].parents[1] / ".cache" / "images"


def made(files: list[Path]) -> ImageCache:
    return ImageCache(files[0].parents[2], files)


def is_kept(cache: ImageCache, file: Path) -> bool:
    return cache.sets["one"].get(file) is not None


def assert_true_pixels(cache: ImageCache, files: list[Path]) -> None:
    for file in files:
        np.testing.assert_array_equal(cache.read(file), read_image(file))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of files that the cache has had decoded."""
    names: list[str] = []

    def spy(file: Path) -> np.ndarray:
        names.append(file.name)
        return read_image(file)

    monkeypatch.setattr(module, "read_image", spy)
    return names


def test_images_are_decoded_once_and_are_what_the_files_hold(files: list[Path], decoded: list[str]) -> None:
    first = made(files)
    assert decoded == [file.name for file in files]
    assert str(place(files)) in first.said
    assert f"{COUNT} images" in first.said
    again = made(files)
    for cache in (first, again):
        assert_true_pixels(cache, files)
    assert len(decoded) == COUNT
    assert not again.said
    assert sorted(os.listdir(place(files).parent)) == ["images", "lock"]


def test_images_are_the_mapped_file_itself_and_cannot_be_written_to(files: list[Path]) -> None:
    cache = made(files)
    one, same = cache.read(files[2]), cache.read(files[2])
    assert np.shares_memory(one, same)
    with pytest.raises(ValueError, match="read-only"):
        one[0, 0, 0] = 1
    # The system lists the file among what this process has mapped, shared with all others; the image lies there.
    maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if str(place(files)) in line]
    bounds = [[int(end, 16) for end in span.split("-")] for span, rights, *_ in maps if rights == "r--s"]
    assert any(low <= one.ctypes.data < high for low, high in bounds)


def test_a_copy_for_another_process_holds_no_pixels_and_maps_the_file_again(files: list[Path]) -> None:
    cache = made(files)
    sent = pickle.dumps(cache)
    assert len(sent) < 1000
    there = pickle.loads(sent)
    assert all(is_kept(there, file) for file in files)
    assert_true_pixels(there, files)


def test_files_that_changed_are_read_from_their_place_and_made_anew_the_next_time(
    files: list[Path], decoded: list[str]
) -> None:
    cache = made(files)
    draw(files[1], 100)
    status = files[3].stat()
    os.utime(files[3], ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    files[4].unlink()
    assert [is_kept(cache, file) for file in files] == [True, False, True, False, False, True]
    assert_true_pixels(cache, files[:4])
    with pytest.raises(DeepPoseError, match=r"4\.jpg"):
        cache.read(files[4])
    decoded.clear()
    again = made(files)
    assert decoded == ["1.jpg", "3.jpg"]
    assert [is_kept(again, file) for file in files] == [True] * 4 + [False, True]
    assert_true_pixels(again, files[:4] + files[5:])
    assert f"5 of {COUNT}" in again.said
    assert not made(files).said, "what is gone must not have the cache written again each time"
    assert_true_pixels(cache, files[:4])  # a training that began with the old file goes on with it


def test_what_others_put_there_stays_as_long_as_it_is_true(files: list[Path], decoded: list[str]) -> None:
    made(files[:3])
    draw(files[0], 100)
    decoded.clear()
    made(files[3:])
    assert decoded == ["3.jpg", "4.jpg", "5.jpg"]
    both = made(files[1:])
    assert not both.said
    assert not is_kept(both, files[0])


def test_an_unreadable_image_is_reported_as_ever_and_looked_at_once(files: list[Path], decoded: list[str]) -> None:
    files[2].write_bytes(files[2].read_bytes()[:-40])
    made(files)
    decoded.clear()
    cache = made(files)
    assert not decoded
    assert not cache.said
    with pytest.raises(DeepPoseError, match=r"2\.jpg: the JPEG is truncated"):
        cache.read(files[2])
    draw(files[2], 7)
    assert_true_pixels(made(files), files)


@pytest.mark.parametrize("part", ["first pixel", "last pixel", "index", "length", "checksum"])
def test_a_changed_byte_is_noticed_wherever_it_is(files: list[Path], part: str) -> None:
    made(files)
    whole = bytearray(place(files).read_bytes())
    pixels = sum(read_image(file).nbytes for file in files)
    at = {"first pixel": 0, "last pixel": pixels - 1, "index": pixels + 30, "length": -12, "checksum": -1}[part]
    whole[at] ^= 0x10
    place(files).write_bytes(whole)
    there = DataSetCache(files[0].parents[1])
    kept = sum(there.get(file) is not None for file in files)
    assert kept == (COUNT - 1 if "pixel" in part else 0)
    assert_true_pixels(made(files), files)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99, 0.9999])
def test_a_cut_file_is_made_anew(files: list[Path], share: float) -> None:
    made(files)
    whole = place(files).read_bytes()
    for cut in (whole[: int(share * len(whole))], whole[int((1 - share) * len(whole)) :][1:]):
        place(files).write_bytes(cut)
        cache = made(files)
        assert "images are kept" in cache.said
        assert all(is_kept(cache, file) for file in files)
        assert_true_pixels(cache, files)


def test_another_decoder_makes_it_anew(files: list[Path], decoded: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    made(files)
    monkeypatch.setattr(module, "_FORMAT", "1, OpenCV of next year")
    made(files)
    assert len(decoded) == 2 * COUNT


def test_a_file_cut_under_a_running_training_does_not_kill_it(files: list[Path]) -> None:
    cache = made(files)
    cache.read(files[0])
    os.truncate(place(files), 0)
    assert_true_pixels(cache, files)
    assert not any(is_kept(cache, file) for file in files)


def test_a_cache_deleted_under_a_running_training_serves_it_to_its_end(files: list[Path]) -> None:
    cache = made(files)
    sent = pickle.dumps(cache)
    shutil.rmtree(place(files).parent)
    assert all(is_kept(cache, file) for file in files)
    assert_true_pixels(cache, files)
    assert_true_pixels(pickle.loads(sent), files)


def test_a_full_disk_costs_the_cache_only(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    made(files[:2])

    class Full:
        """A disk that takes a few images more."""

        def __init__(self, stream: object) -> None:
            self.stream, self.left = stream, 9000

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            self.stream.close()

        def write(self, data: memoryview) -> int:
            self.left -= len(bytes(data))
            if self.left < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.stream.write(data)

    opened = Path.open

    def full(path: Path, mode: str = "r", **more: object) -> object:
        stream = opened(path, mode, **more)
        return Full(stream) if mode == "wb" else stream

    monkeypatch.setattr(Path, "open", full)
    cache = made(files)
    assert "No space left" in cache.said
    assert "\n" not in cache.said
    assert [is_kept(cache, file) for file in files] == [True, True, False, False, False, False]
    assert_true_pixels(cache, files)
    assert sorted(os.listdir(place(files).parent)) == ["images", "lock"]


def test_images_that_have_no_room_are_decoded_each_time(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [read_image(file).nbytes for file in files]
    monkeypatch.setattr(module, "_memory", lambda: (sum(sizes[:3]) + 1) / module.ROOM)
    cache = made(files)
    assert [is_kept(cache, file) for file in files[:4]] == [True, True, True, False]
    assert f" of {COUNT} images" in cache.said
    assert_true_pixels(cache, files)
    assert not made(files).said
    monkeypatch.undo()
    assert all(is_kept(made(files), file) for file in files[:4])  # there is room now


def test_what_is_held_is_not_given_up_where_there_is_less_room_now(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    made(files[:3])
    monkeypatch.setattr(module, "_memory", lambda: read_image(files[0]).nbytes / module.ROOM)
    cache = made(files)
    assert [is_kept(cache, file) for file in files[:4]] == [True, True, True, False]
    assert_true_pixels(cache, files)


def test_a_data_folder_that_cannot_be_written_does_without(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    place(files).parent.write_text("a file where the folder should be")  # root may write everywhere else
    cache = made(files)
    assert cache.said.startswith("images are decoded each time: ")
    assert "\n" not in cache.said
    assert_true_pixels(cache, files)


def test_each_data_set_has_its_own_and_files_elsewhere_none(files: list[Path], tmp_path: Path) -> None:
    other, elsewhere = tmp_path / "two" / "a.png", tmp_path.parent / f"{tmp_path.name}.png"
    other.parent.mkdir()
    for file in (other, elsewhere):
        draw(file, 50)
    cache = ImageCache(tmp_path, [*files, other, elsewhere])
    assert set(cache.sets) == {"one", "two"}
    assert (tmp_path / "two" / ".cache" / "images").is_file()
    assert_true_pixels(cache, [*files, other, elsewhere])
    shutil.move(tmp_path / "one", tmp_path / "moved")
    moved = [tmp_path / "moved" / file.relative_to(tmp_path / "one") for file in files]
    there = ImageCache(tmp_path, moved)
    assert not there.said, "a data set that is moved takes its cache along"
    assert all(there.sets["moved"].get(file) is not None for file in moved)


def test_what_a_killed_process_left_is_removed(files: list[Path]) -> None:
    place(files).parent.mkdir()
    left = place(files).with_name(".images.12345.tmp")
    left.write_bytes(b"half of it")
    made(files)
    assert not left.exists()


def _make(root: Path, files: list[Path], ready: object, answers: object) -> None:
    count = 0

    def spy(file: Path) -> np.ndarray:
        nonlocal count
        count += 1
        time.sleep(0.1)  # so that the other process comes before this one is done
        return read_image(file)

    module.read_image = spy
    ready.wait()
    cache = ImageCache(root, files)
    built = count
    answers.put((built, all(np.array_equal(cache.read(file), read_image(file)) for file in files), cache.said))


def test_two_processes_at_once_make_it_once_and_both_have_it(files: list[Path]) -> None:
    context = multiprocessing.get_context("fork")
    ready, answers = context.Barrier(2), context.Queue()
    both = [context.Process(target=_make, args=(files[0].parents[2], files, ready, answers)) for _ in range(2)]
    for process in both:
        process.start()
    found = sorted(answers.get(timeout=60) for _ in both)
    for process in both:
        process.join()
    assert [built for built, *_ in found] == [0, COUNT]
    assert all(right for _, right, _ in found)
    assert [bool(said) for *_, said in found] == [False, True]
