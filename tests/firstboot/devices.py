"""Loop devices that stand for a node's data partition, and what the real tools leave on one."""

import contextlib
import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

from firstboot.data import device
from firstboot.node import Identity

MIB = 1 << 20
SIZE = 48 * MIB


def command(*argv: str, stdin: str = "") -> None:
    """Run a tool that must succeed."""
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def partition(
    root: Path, identity: Identity, *, name: str = "ks-data", size: int = SIZE
) -> Iterator[Path]:
    """A blank loop device below `root` as udev and sysfs would show that partition."""
    image = root / "disk"
    with image.open("wb") as file:
        file.truncate(size)
    argv = ["losetup", "--find", "--show", str(image)]
    made = subprocess.run(argv, capture_output=True, text=True, check=True)
    loop = Path(made.stdout.strip())
    try:
        link = device(root, identity)
        link.parent.mkdir(parents=True)
        link.symlink_to(loop)
        uevent = root / "sys/class/block" / loop.name / "uevent"
        uevent.parent.mkdir(parents=True)
        uevent.write_text(f"DEVTYPE=partition\nPARTN=6\nPARTNAME={name}\n")
        yield loop
    finally:
        command("losetup", "--detach", str(loop))


def digest(loop: Path) -> str:
    """Of every byte of the device."""
    command("blockdev", "--flushbufs", str(loop))
    with loop.open("rb") as file:
        sha = hashlib.sha256()
        while block := file.read(4 * MIB):
            sha.update(block)
    return sha.hexdigest()


def put(loop: Path, offset: int, content: bytes) -> None:
    """Write bytes at an offset, from the end when it is negative."""
    handle = os.open(loop, os.O_WRONLY)
    try:
        os.pwrite(handle, content, offset if offset >= 0 else SIZE + offset)
        os.fsync(handle)
    finally:
        os.close(handle)


Prepare = Callable[[Path], None]


def metadata(version: str, *generation: str) -> Prepare:
    """DRBD's metadata, just created, or with this current, bitmap, history... identifiers."""

    def prepare(loop: Path) -> None:
        drbdmeta = ("drbdmeta", "0", version, str(loop), "internal")
        command(*drbdmeta, "create-md", *(["1"] if version == "v09" else []))
        if generation:
            peer = ["--node-id=1"] if version == "v09" else []
            command(*drbdmeta, "--force", *peer, "set-gi", ":".join(generation))

    return prepare


def gfs2(table: str, blocks: int = SIZE // 4096 - 64) -> Prepare:
    """A GFS2 that leaves room for metadata behind it."""

    def prepare(loop: Path) -> None:
        options = ["-O", "-K", "-p", "lock_dlm", "-t", table, "-j", "2", "-J", "8"]
        command("mkfs.gfs2", *options, str(loop), str(blocks))

    return prepare


def tool(*argv: str) -> Prepare:
    """A program that takes the device as its last argument."""
    return lambda loop: command(*argv, str(loop))


def raw(offset: int, content: bytes) -> Prepare:
    """Bytes at an offset."""
    return lambda loop: put(loop, offset, content)


def both(*parts: Prepare) -> Prepare:
    """One after the other."""

    def prepare(loop: Path) -> None:
        for part in parts:
            part(loop)

    return prepare
