"""UML's management console: one datagram to a unix socket, the answer in one or more."""

from __future__ import annotations

import socket
import struct
import tempfile
from pathlib import Path

_HEADER = struct.Struct("=III")
_MAGIC = 0xCAFEBABE
_VERSION = 2
_ROOM = 512


class Refused(Exception):
    """The kernel answered with an error; the text is its own."""


def encode(command: str) -> bytes:
    """Return the request: magic, version, length, command padded to 512 bytes."""
    data = command.encode()
    if len(data) >= _ROOM:
        raise ValueError(f"management console commands hold {_ROOM - 1} bytes, not {len(data)}")
    return _HEADER.pack(_MAGIC, _VERSION, len(data)) + data.ljust(_ROOM, b"\0")


def decode(datagram: bytes) -> tuple[bool, bool, str]:
    """Return (error, more to come, text) of one answer; the text's end is NUL."""
    error, more, length = _HEADER.unpack_from(datagram)
    data = datagram[_HEADER.size : _HEADER.size + length]
    return bool(error), bool(more), data.rstrip(b"\0").decode(errors="replace")


def ask(address: Path, command: str, timeout: float = 30.0) -> str:
    """Send command to the machine whose console socket is address; return its answer.

    The own end is a socket with a path, because abstract names do not cross network namespaces.
    Raises Refused, or OSError when nobody answers within timeout seconds.
    """
    with (
        tempfile.TemporaryDirectory(prefix="mc-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own,
    ):
        own.bind(f"{folder}/s")
        own.settimeout(timeout)
        own.sendto(encode(command), str(address))
        text, more = "", True
        while more:
            error, more, part = decode(own.recv(_HEADER.size + 65536))
            text += part
            if error:
                raise Refused(f"{command}: {text}")
    return text
