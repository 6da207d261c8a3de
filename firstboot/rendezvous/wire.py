"""Frames: four bytes of length (big endian), then that many bytes of JSON object in UTF-8."""

import json
import socket
import struct
import time
from typing import Any

FRAME_LIMIT = 64 * 1024
_LENGTH = struct.Struct(">I")


class WireError(Exception):
    """What arrived is no frame of ours."""


def send(connection: socket.socket, message: dict[str, Any]) -> None:
    """Send one message. Raises WireError when it exceeds FRAME_LIMIT bytes."""
    body = json.dumps(message, sort_keys=True).encode()
    if len(body) > FRAME_LIMIT:
        raise WireError(f"a message of {len(body)} bytes exceeds {FRAME_LIMIT}")
    connection.sendall(_LENGTH.pack(len(body)) + body)


def receive(connection: socket.socket, *, timeout_s: float) -> dict[str, Any]:
    """Receive one message whole within `timeout_s`, however slowly its bytes come.

    Raises WireError on garbage, an early end or a frame over FRAME_LIMIT, and OSError
    (socket.timeout) when time is up.
    """
    deadline = time.monotonic() + timeout_s
    (length,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size, deadline))
    if length > FRAME_LIMIT:
        raise WireError(f"a frame of {length} bytes exceeds {FRAME_LIMIT}")
    try:
        message = json.loads(_exactly(connection, length, deadline))
    except (ValueError, RecursionError):
        raise WireError("not JSON") from None
    if not isinstance(message, dict):
        raise WireError("not a JSON object")
    return message


def _exactly(connection: socket.socket, count: int, deadline: float) -> bytes:
    received = bytearray()
    while len(received) < count:
        left = deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("no whole message in time")
        connection.settimeout(left)
        chunk = connection.recv(count - len(received))
        if not chunk:
            raise WireError("the connection ended inside a frame")
        received += chunk
    return bytes(received)
