"""The last write to a GFS2, read from one that mkfs.gfs2 made."""

import struct
import subprocess
from pathlib import Path
from typing import Optional

import pytest

from firstboot import gfs2

BLOCK, JOURNAL_MIB = 4096, 8


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    image = tmp_path_factory.mktemp("gfs2") / "image"
    with image.open("wb") as out:
        out.truncate(64 << 20)
    argv = ["mkfs.gfs2", "-O", "-K", "-p", "lock_dlm", "-t", "lab:FS0", "-j", "2"]
    subprocess.run([*argv, "-J", str(JOURNAL_MIB), image], check=True, capture_output=True)
    return image


@pytest.fixture
def content(made: Path) -> bytearray:
    return bytearray(made.read_bytes())


def log_headers(content: bytearray) -> list[int]:
    """Where they are: in the journals alone."""
    wanted = struct.pack(">II", gfs2.MAGIC, gfs2.IS_LOG_HEADER)
    return [at for at in range(0, len(content), BLOCK) if content[at : at + 8] == wanted]


def last_write(content: bytearray) -> Optional[float]:
    return gfs2.last_write(lambda offset, length: bytes(content[offset : offset + length]))


def write(content: bytearray, at: int, seconds: int, nanoseconds: int = 0) -> None:
    """As the kernel does: gfs2_write_log_header()."""
    struct.pack_into(">IQ", content, at + 52, nanoseconds, seconds)


def test_nobody_wrote_yet(content: bytearray) -> None:
    assert len(log_headers(content)) == 2 * JOURNAL_MIB * (1 << 20) // BLOCK
    assert last_write(content) is None


def test_the_newest_of_both_journals_counts(content: bytearray) -> None:
    headers = log_headers(content)
    half = len(headers) // 2
    write(content, headers[0], 1_700_000_000)
    assert last_write(content) == 1_700_000_000
    write(content, headers[half + 5], 1_700_000_500, 250_000_000)
    write(content, headers[half - 1], 1_700_000_400)
    assert last_write(content) == 1_700_000_500.25
    write(content, headers[-1], 1_700_000_600)
    assert last_write(content) == 1_700_000_600


def test_what_is_no_journal_does_not_count(content: bytearray) -> None:
    """A guest's image may hold a GFS2 of its own."""
    header = log_headers(content)[0]
    place = len(content) - BLOCK
    content[place:] = content[header : header + BLOCK]
    write(content, place, 1_900_000_000)
    assert last_write(content) is None


def test_anything_else_is_refused(content: bytearray) -> None:
    for damage in (
        bytearray(len(content)),
        bytearray(b""),
        content[: gfs2.SUPERBLOCK] + bytearray(len(content) - gfs2.SUPERBLOCK),
        content[: gfs2.SUPERBLOCK + 512],
    ):
        with pytest.raises(gfs2.NotGfs2):
            last_write(damage)
    struct.pack_into(">I", content, gfs2.SUPERBLOCK + 36, 123)
    with pytest.raises(gfs2.NotGfs2, match="blocks of 123 bytes"):
        last_write(content)
