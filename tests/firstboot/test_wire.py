"""Frames that are whole, and everything else that may come."""

import socket
import struct

import pytest

from firstboot.rendezvous import wire


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (struct.pack(">I", wire.FRAME_LIMIT + 1) + b"x", "exceeds 65536"),
        (struct.pack(">I", 0xFFFFFFFF), "exceeds 65536"),
        (struct.pack(">I", 3) + b"[1]", "not a JSON object"),
        (struct.pack(">I", 3) + b"\xff\xfe{", "not JSON"),
        (struct.pack(">I", 60000) + b"[" * 60000, "not JSON"),
        (struct.pack(">I", 9) + b"{}", "ended inside a frame"),
        (b"\x00", "ended inside a frame"),
    ],
)
def test_frames_that_are_none(sent: bytes, why: str) -> None:
    here, there = socket.socketpair()
    with here, there:
        here.sendall(sent)
        here.shutdown(socket.SHUT_WR)
        with pytest.raises(wire.WireError, match=why):
            wire.receive(there, timeout_s=5)


def test_frames_arrive_whole_and_in_time() -> None:
    here, there = socket.socketpair()
    with here, there:
        wire.send(here, {"a": ["ü"] * 1000})
        assert wire.receive(there, timeout_s=5) == {"a": ["ü"] * 1000}
        with pytest.raises(wire.WireError, match="exceeds"):
            wire.send(here, {"a": "x" * wire.FRAME_LIMIT})
        here.sendall(b"\x00\x00")
        with pytest.raises(socket.timeout):
            wire.receive(there, timeout_s=0.2)
