"""Cameras of a network on this machine: frames that come one after the other, over HTTP and over RTSP."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tests.helpers.media_files import encode

FRAMES, RATE = 60, 25
_PACKET = 188
"""Bytes of a packet of MPEG-TS."""


@dataclass
class Camera:
    """A camera that sends FRAMES frames at RATE a second."""

    address: str
    sent: float = 0.0
    """Share of the frames that were sent."""


def _mjpeg() -> Iterator[bytes]:
    """As web cameras send: JPEG files with a line between them."""
    for number in range(FRAMES):
        image = np.full((48, 64, 3), number, np.uint8)
        data = cv2.imencode(".jpg", image)[1].tobytes()
        yield b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(data), data)


def _transport_stream(folder: Path) -> list[bytes]:
    """FRAMES pieces of MPEG-TS, whole packets each."""
    file = folder / "camera.ts"
    encode(file, codec="mpeg2video", container="mpegts", times=[i / RATE for i in range(FRAMES)], rate=RATE)
    data = file.read_bytes()
    packets = [data[i : i + _PACKET] for i in range(0, len(data), _PACKET)]
    places = np.linspace(0, len(packets), FRAMES + 1).astype(int)
    return [b"".join(packets[start:stop]) for start, stop in pairwise(places)]


def _send_slowly(camera: Camera, pieces: Iterator[bytes], send: Any) -> None:
    try:
        for number, piece in enumerate(pieces, start=1):
            send(piece)
            camera.sent = number / FRAMES
            time.sleep(1 / RATE)
    except OSError:  # the reader has gone
        pass


def _serve_http(connection: socket.socket, camera: Camera, kind: str, pieces: Iterator[bytes]) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nConnection: close\r\n\r\n" % kind.encode())
    _send_slowly(camera, pieces, connection.sendall)


def _serve_rtsp(connection: socket.socket, camera: Camera, pieces: Iterator[bytes]) -> None:
    """MPEG-TS over RTP over UDP (RFC 2326, RFC 2250)."""
    description = b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:track\r\n"
    port, sequence = 0, 0
    data = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def send(piece: bytes) -> None:
        nonlocal sequence
        for start in range(0, len(piece), 7 * _PACKET):
            header = struct.pack("!BBHII", 0x80, 33, sequence % 2**16, sequence * 3600 % 2**32, 1)
            data.sendto(header + piece[start : start + 7 * _PACKET], ("127.0.0.1", port))
            sequence += 1

    with data:
        while request := connection.recv(65536).decode():
            method, *_ = request.split(" ")
            number = request.lower().split("cseq:")[1].split("\r\n")[0].strip()
            body, headers = b"", f"RTSP/1.0 200 OK\r\nCSeq: {number}\r\nSession: 1\r\n"
            if method == "DESCRIBE":
                body, headers = description, headers + "Content-Type: application/sdp\r\n"
            elif method == "SETUP":
                port = int(request.split("client_port=")[1].split("-")[0])
                headers += f"Transport: RTP/AVP/UDP;unicast;client_port={port}-{port + 1};server_port=9000-9001\r\n"
            elif method == "OPTIONS":
                headers += "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
            connection.sendall(f"{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            if method == "PLAY":
                _send_slowly(camera, pieces, send)
                return


@contextmanager
def network_camera(kind: str, folder: Path) -> Iterator[Camera]:
    """A camera of the kind `mjpeg`, `mpegts` or `rtsp`, for one reader."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        protocol = "rtsp" if kind == "rtsp" else "http"
        camera = Camera(f"{protocol}://127.0.0.1:{server.getsockname()[1]}/camera")
        pieces = _mjpeg() if kind == "mjpeg" else iter(_transport_stream(folder))

        def serve() -> None:
            with server.accept()[0] as connection:
                if kind == "rtsp":
                    _serve_rtsp(connection, camera, pieces)
                else:
                    form = "multipart/x-mixed-replace; boundary=frame" if kind == "mjpeg" else "video/mp2t"
                    _serve_http(connection, camera, form, pieces)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield camera
        thread.join(10)
