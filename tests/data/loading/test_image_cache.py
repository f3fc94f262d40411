"""Images decoded once: never other pixels than the file's, whatever happens to the cache."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.data.loading import image_cache as module
from deeppose_cli.data.loading.image_cache import ImageCache
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


def folder_of(files: list[Path]) -> Path:
    return files[0].parents[1] / ".cache"


def opened(files: list[Path]) -> ImageCache:
    return ImageCache(files[0].parents[2], files)


def filled(files: list[Path]) -> ImageCache:
    cache = opened(files)
    for file in files:
        cache.read(file)
    return cache


def kept_file(files: list[Path], number: int) -> Path:
    file = opened(files).file_of(files[number])
    assert file is not None
    return Path(file)


def assert_true_pixels(cache: ImageCache, files: list[Path]) -> None:
    for file in files:
        np.testing.assert_array_equal(cache.read(file), read_image(file))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of files that the cache has decoded."""
    names: list[str] = []

    def spy(file: Path) -> np.ndarray:
        names.append(file.name)
        return read_image(file)

    monkeypatch.setattr(module, "read_image", spy)
    return names


def test_images_are_decoded_once_and_are_what_the_files_hold(files: list[Path], decoded: list[str]) -> None:
    first = opened(files)
    assert str(folder_of(files)) in first.summary
    assert not decoded
    for cache in (first, opened(files), first):
        assert_true_pixels(cache, files)
    assert decoded == [file.name for file in files]
    assert not opened(files).summary


def test_images_are_mapped_and_cannot_be_written_to(files: list[Path]) -> None:
    image = filled(files).read(files[2])
    with pytest.raises(ValueError, match="read-only"):
        image[0, 0, 0] = 1
    # The system lists the file among what this process has mapped, shared with all others; the image lies there.
    kept = str(kept_file(files, 2))
    maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(kept)]
    bounds = [[int(end, 16) for end in span.split("-")] for span, rights, *_ in maps if rights == "r--s"]
    assert any(low <= image.ctypes.data < high for low, high in bounds)


def test_a_copy_for_another_process_holds_no_pixels(files: list[Path], decoded: list[str]) -> None:
    sent = pickle.dumps(filled(files))
    assert len(sent) < 2000
    decoded.clear()
    assert_true_pixels(pickle.loads(sent), files)
    assert not decoded


def test_files_that_changed_are_decoded_again(files: list[Path], decoded: list[str]) -> None:
    cache = filled(files)
    draw(files[1], 100)
    status = files[3].stat()
    os.utime(files[3], ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    files[4].unlink()
    decoded.clear()
    for again in (cache, opened(files)):
        assert_true_pixels(again, files[:4] + files[5:])
        with pytest.raises(DeepPoseError, match=r"4\.jpg"):
            again.read(files[4])
    assert [name for name in decoded if name != "4.jpg"] == ["1.jpg", "3.jpg"]


def test_an_unreadable_image_is_an_error_with_and_without_the_cache(files: list[Path]) -> None:
    files[2].write_bytes(files[2].read_bytes()[:-40])
    cache = opened(files)
    for _ in range(2):
        with pytest.raises(DeepPoseError, match=r"2\.jpg: the JPEG is truncated"):
            cache.read(files[2])
    draw(files[2], 7)
    assert_true_pixels(cache, files)


@pytest.mark.parametrize("at", [0, 4, 8, 12, -1])
def test_a_changed_byte_is_noticed_wherever_it_is(files: list[Path], at: int, decoded: list[str]) -> None:
    """In the height, width, checksum, the first and the last pixel."""
    filled(files)
    whole = bytearray(kept_file(files, 3).read_bytes())
    whole[at] ^= 0x10
    kept_file(files, 3).write_bytes(whole)
    decoded.clear()
    for _ in range(2):
        assert_true_pixels(opened(files), files)
    assert decoded == ["3.jpg"], "and the damaged file is replaced"


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.9999])
def test_a_cut_file_is_made_anew(files: list[Path], share: float, decoded: list[str]) -> None:
    cache = filled(files)
    size = kept_file(files, 3).stat().st_size
    os.truncate(kept_file(files, 3), int(share * size))
    decoded.clear()
    for again in (cache, opened(files)):
        assert_true_pixels(again, files)
    assert decoded == ["3.jpg"]


def test_another_decoder_makes_it_anew(files: list[Path], decoded: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    filled(files)
    monkeypatch.setattr(module, "VERSION", "images-of-next-year")
    filled(files)
    assert len(decoded) == 2 * COUNT
    assert os.listdir(folder_of(files)) == ["images-of-next-year"], "the old one is removed"


def test_a_cache_deleted_under_a_running_training_does_not_stop_it(files: list[Path]) -> None:
    cache = filled(files)
    image = cache.read(files[0])
    shutil.rmtree(folder_of(files))
    np.testing.assert_array_equal(image, read_image(files[0]))
    assert_true_pixels(cache, files)


def test_a_full_disk_costs_the_cache_only(
    files: list[Path], monkeypatch: pytest.MonkeyPatch, decoded: list[str]
) -> None:
    filled(files[:2])
    cache = opened(files)
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        write(path, data[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    decoded.clear()
    for _ in range(2):
        assert_true_pixels(cache, files)
    assert decoded == [f"{i}.jpg" for i in range(2, COUNT)] * 2
    assert len([file for file in folder_of(files).rglob("*") if file.is_file()]) == 2, "nothing half-written"


@pytest.mark.parametrize("short", ["memory", "disk"])
def test_images_that_have_no_room_are_decoded_each_time(
    files: list[Path], monkeypatch: pytest.MonkeyPatch, decoded: list[str], short: str
) -> None:
    size = sum(read_image(file).nbytes for file in files)
    if short == "memory":
        monkeypatch.setattr(module, "_memory", lambda: 0.9 * size / module.ROOM)
    else:
        usage = shutil.disk_usage(files[0])._replace(free=int(0.9 * size / module.ROOM))
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    cache = opened(files)
    assert cache.summary.startswith("images are decoded each time: there is no room")
    assert_true_pixels(cache, files)
    assert not folder_of(files).exists()
    monkeypatch.undo()
    assert str(folder_of(files)) in opened(files).summary  # there is room now


def test_what_is_kept_is_used_where_there_is_less_room_now(
    files: list[Path], monkeypatch: pytest.MonkeyPatch, decoded: list[str]
) -> None:
    filled(files[:3])
    monkeypatch.setattr(module, "_memory", lambda: 100.0)
    decoded.clear()
    assert_true_pixels(opened(files), files)
    assert decoded == ["3.jpg", "4.jpg", "5.jpg"]


def test_a_data_folder_that_cannot_be_written_does_without(files: list[Path]) -> None:
    folder_of(files).write_text("a file in place of the folder")  # root may write everywhere else
    cache = opened(files)
    assert cache.summary.startswith("images are decoded each time: ")
    assert "\n" not in cache.summary
    assert_true_pixels(cache, files)


def test_each_data_set_has_its_own_and_files_elsewhere_none(
    files: list[Path], tmp_path: Path, decoded: list[str]
) -> None:
    second, elsewhere = tmp_path / "two" / "a.png", tmp_path.parent / f"{tmp_path.name}.png"
    second.parent.mkdir()
    for file in (second, elsewhere):
        draw(file, 50)
    everything = [*files, second, elsewhere]
    assert_true_pixels(ImageCache(tmp_path, everything), everything)
    assert (tmp_path / "two" / ".cache").is_dir()
    assert ImageCache(tmp_path, everything).file_of(elsewhere) is None
    shutil.move(tmp_path / "one", tmp_path / "moved")
    moved = [tmp_path / "moved" / file.relative_to(tmp_path / "one") for file in files]
    decoded.clear()
    there = ImageCache(tmp_path, moved)
    assert_true_pixels(there, moved)
    assert not decoded, "a data set that is moved takes its cache along"


def _read_all(root: Path, files: list[Path], ready: object, results: object) -> None:
    cache = ImageCache(root, files)
    ready.wait()  # type: ignore[attr-defined]
    results.put(all(np.array_equal(cache.read(file), read_image(file)) for _ in range(5) for file in files))  # type: ignore[attr-defined]


def test_two_processes_fill_it_at_once(files: list[Path], decoded: list[str]) -> None:
    context = multiprocessing.get_context("fork")
    ready, results = context.Barrier(2), context.Queue()
    both = [context.Process(target=_read_all, args=(files[0].parents[2], files, ready, results)) for _ in range(2)]
    for process in both:
        process.start()
    assert all(results.get(timeout=60) for _ in both)
    for process in both:
        process.join()
    assert_true_pixels(opened(files), files)
    assert not decoded
