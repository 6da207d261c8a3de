"""A folder tree as a disk that forgets at a power cut what nobody had synced."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MEMORY = Path("/dev/shm")  # fast, and it gives no inode twice


def scratch(what: str) -> Path:
    """A folder for played machines, in memory where there is room for such."""
    place = MEMORY if MEMORY.is_dir() else None
    return Path(tempfile.mkdtemp(prefix=f"ksbuild-{what}-", dir=place))


class Cut(BaseException):
    """The agent died, or the power went out: nothing below catches it."""


class Disk:
    """What is durable below `root`: file contents by inode as last synced, folders likewise.

    Dropping everything unsynced is the harshest outcome of a cut; keeping all of it is the mildest,
    a killed agent.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._contents: dict[int, bytes] = {}
        self._entries: dict[Path, dict[str, int]] = {}
        self._links: dict[int, str] = {}  # durable as their folder is
        self.settle()

    def settle(self) -> None:
        """Everything there is becomes durable."""
        self._contents.clear()
        self._entries.clear()
        for folder, _, names in os.walk(self.root):
            self._note_folder(Path(folder))
            for name in names:
                if not (path := Path(folder) / name).is_symlink():
                    self._note_file(path)

    def fsync(self, handle: int) -> None:
        """One file or folder becomes durable."""
        path = os.readlink(f"/proc/self/fd/{handle}")
        if path == str(self.root) or path.startswith(f"{self.root}/"):
            self.note(path)

    def note(self, path: str) -> None:
        """The same, for one that is known to lie below the root."""
        if os.path.isdir(path):
            self._note_folder(Path(path))
        else:
            self._note_file(Path(path))

    def power_cut(self) -> None:
        """Go back to what was durable."""
        self._restore(self.root)
        self.settle()

    def _note_folder(self, folder: Path) -> None:
        entries = list(os.scandir(folder))
        self._entries[folder] = {e.name: e.inode() for e in entries}
        self._links.update({e.inode(): os.readlink(e) for e in entries if e.is_symlink()})

    def _note_file(self, path: Path) -> None:
        self._contents[path.stat().st_ino] = path.read_bytes()

    def _restore(self, folder: Path) -> None:
        durable = self._entries.get(folder, {})
        for entry in list(os.scandir(folder)):
            path = folder / entry.name
            is_folder = entry.is_dir(follow_symlinks=False)
            if entry.name not in durable:
                shutil.rmtree(path) if is_folder else path.unlink()
            elif is_folder:
                self._restore(path)
        for name, inode in durable.items():
            path = folder / name
            if inode in self._links:
                if not path.is_symlink():
                    path.symlink_to(self._links[inode])
            elif not path.is_dir():
                path.write_bytes(self._contents.get(inode, b""))


class Syscalls:
    """The calls that make writes durable, counted, so that a cut can come before any of them.

    The call before which `left` is 0 never happens; None lets all happen.
    """

    def __init__(self, disks: list[Disk], patch: pytest.MonkeyPatch) -> None:
        self.left: int | None = None
        self._disks = disks
        for name in ("fsync", "replace", "link", "unlink"):
            patch.setattr(os, name, self._counted(name, getattr(os, name)))

    def tick(self) -> None:
        """One more call. Raises Cut when it never happens."""
        if self.left is not None:
            if self.left == 0:
                raise Cut
            self.left -= 1

    def _counted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            self.tick()
            answer = real(*arguments, **named)
            if name == "fsync":
                for disk in self._disks:
                    disk.fsync(arguments[0])
            return answer

        return call
