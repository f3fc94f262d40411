"""Annotated videos: every frame at its time, sound as it was, in a form that browsers play."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from deeppose_cli.core.errors import UsageError
from deeppose_cli.media.video import open_video
from deeppose_cli.media.video_writer import VideoWriter, check_codec
from tests.helpers.media_files import TIMES, UNEVEN, VIDEOS, encode, image


def write(path: Path, times: tuple[float, ...], sound: Path | None = None) -> Path:
    with VideoWriter(path, 10, sound=sound) as writer:
        for i, time in enumerate(times):
            writer.write(image(20 * i, (95, 63)), time)
    return path


def sound_packets(path: Path) -> list[tuple[float, bytes]]:
    with av.open(str(path)) as file:
        start = (file.start_time or 0) / 1e6
        (track,) = file.streams.audio
        return [(round(float(p.pts * p.time_base) - start, 3), bytes(p)) for p in file.demux(track) if p.size]


@pytest.mark.parametrize("times", [TIMES, UNEVEN, (0.0, 2.0, 4.0), (0.0, 0.0, 0.1)])
def test_each_frame_is_at_its_time(tmp_path: Path, times: tuple[float, ...]) -> None:
    with open_video(write(tmp_path / "a.mp4", times)) as video:
        np.testing.assert_allclose([frame.time for frame in video], times, atol=0.001)


def test_browsers_can_play_it(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", TIMES)
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height) == (96, 64)  # even, as the format needs
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # so that it plays before all of it is there


def test_a_frame_of_another_size_is_scaled_to_the_first(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", 10) as writer:
        for i, size in enumerate([(96, 64), (48, 32), (95, 63), (200, 20)]):
            writer.write(image(0, size), i / 10)
    with open_video(tmp_path / "a.mp4") as video:
        assert [frame.image.shape for frame in video] == [(64, 96, 3)] * 4


@pytest.mark.parametrize("name", ["sound.mp4", "sound.webm", "sound.mov"])
def test_sound_is_kept_bit_for_bit(tmp_path: Path, name: str) -> None:
    source = tmp_path / name
    next(file for file in VIDEOS if file.name == name).make(source)
    kept = sound_packets(write(tmp_path / "a.mp4", TIMES, source))
    given = sound_packets(source)
    assert b"".join(data for _, data in kept) == b"".join(data for _, data in given)
    assert len(given) > 3
    for (at, _), (was, _) in zip(kept[:3], given[:3], strict=True):
        assert at == pytest.approx(was, abs=0.002)


def test_sound_that_an_mp4_cannot_hold_is_encoded_again(tmp_path: Path) -> None:
    encode(tmp_path / "a.avi", "mpeg4", "avi", sound="pcm_mulaw")
    path = write(tmp_path / "a.mp4", TIMES, tmp_path / "a.avi")
    with av.open(str(path)) as file:
        (track,) = file.streams.audio
        assert track.codec_context.name == "aac"
        samples = sum(frame.samples for frame in file.decode(track))
    assert samples / 48_000 == pytest.approx(0.6, abs=0.1)


def test_sound_ends_with_the_frames(tmp_path: Path) -> None:
    encode(tmp_path / "s.mp4", sound="aac")
    path = write(tmp_path / "a.mp4", TIMES[:2], tmp_path / "s.mp4")
    assert sound_packets(path)[-1][0] <= 0.21


def test_a_source_without_sound(tmp_path: Path) -> None:
    encode(tmp_path / "s.mp4")
    with av.open(str(write(tmp_path / "a.mp4", TIMES, tmp_path / "s.mp4"))) as file:
        assert len(file.streams.audio) == 0


def test_codecs() -> None:
    check_codec("libx265")
    for name in ("h265x", "aac", "gif", ""):
        with pytest.raises(UsageError, match=f"--codec {name}: cannot write an .mp4; valid"):
            check_codec(name)
