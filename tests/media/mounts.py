"""File systems for tests: small ones, read-only ones, and ones that share blocks between files."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.media.patch.trees import said

MEBIBYTE = 1024 * 1024
# Says when it is mounted, and keeps it until its standard input ends.
_HOLD = 'mount "$@" && echo mounted && exec cat'


@contextlib.contextmanager
def mounted(folder: Path, *options: str | Path) -> Iterator[Path]:
    """Mount something at `folder` and yield where it is to be seen.

    Without root only what the kernel lets users mount, as tmpfs: in namespaces of a child's own,
    looked at through its /proc/PID/root.
    """
    folder.mkdir(exist_ok=True)
    if os.getuid() == 0:
        said("mount", *options, folder)
        try:
            yield folder
        finally:
            said("umount", folder)
        return
    argv = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", _HOLD, "sh"]
    holder = subprocess.Popen(
        [*argv, *options, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"mounted\n", "users may not mount here"
        try:
            yield Path(f"/proc/{holder.pid}/root{folder}")
        finally:
            holder.stdin.close()


@pytest.fixture
def xfs(tmp_path: Path) -> Iterator[Path]:
    """A file system that shares blocks between files; its tests are marked `root`."""
    image = tmp_path / "xfs.img"
    with image.open("wb") as file:
        file.truncate(512 * MEBIBYTE)
    said("mkfs.xfs", "-q", "-m", "reflink=1", image)
    with mounted(tmp_path / "xfs", "-o", "loop", image) as folder:
        yield folder
