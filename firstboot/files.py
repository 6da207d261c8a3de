"""The one door through which the agent writes files: atomic, durable, right mode from byte one.

Where the kernel labels files (SELinux), one that takes another's place takes its label with it, for
the kernel would give it its folder's; a new one is labelled by restorecon, as the policy says.
"""

import contextlib
import errno
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Optional

from firstboot import commands
from firstboot.configfile import ConfigFile, placeholder

SECRETS = Path("etc/ksbuild/secrets")  # one 0600 file per secret, named for it
LABEL = "security.selinux"


def differing(root: Path, files: Iterable[ConfigFile]) -> list[str]:
    """The files below `root` whose text or mode is not as rendered. Reads only."""
    return [f"{f.path} is not as planned" for f in files if not _same(root, f)]


def write(root: Path, files: Iterable[ConfigFile]) -> list[Path]:
    """Write those that differ and say which. Each is old or new after a crash, never half.

    Raises FileNotFoundError when a secret that one needs is not there yet, CommandError when the
    files are written and can't be labelled.
    """
    written = []
    for file in files:
        target = below(root, file)
        if not _same(root, file):
            make_folder(target.parent)
            _put(target, _filled(root, file), file.mode)
            written.append(target)
    relabel(written)
    return written


def below(root: Path, file: ConfigFile) -> Path:
    """Where a node path lies when the node's root is `root`."""
    return root / file.path.relative_to("/")


def replace(target: Path, content: bytes, mode: int) -> None:
    """Write `content` beside `target`, fsync, rename over it, fsync the folder (rename(2))."""
    if _put(target, content, mode):
        relabel([target])


def create(target: Path, content: bytes, mode: int) -> None:
    """Make a file that must not exist yet (a latch), whole or not at all. FileExistsError."""
    make_folder(target.parent)
    new = target.with_name(f".{target.name}.new")
    new.unlink(missing_ok=True)
    _write_synced(new, content, mode)
    try:
        os.link(new, target)  # unlike rename(2) it never takes another's place
    finally:
        new.unlink()
    sync_folder(target.parent)
    relabel([target])


def replace_in(folder: int, name: str, content: bytes, owner: tuple[int, int]) -> None:
    """replace(), 0600 and of `owner` (uid, gid), in a folder that is that user's own.

    `folder` is open: whatever its user puts in the way meanwhile, nothing else is written.
    """
    new = f".{name}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new, dir_fd=folder)
    handle = os.open(
        new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder
    )
    with os.fdopen(handle, "wb") as out:
        os.fchown(out.fileno(), *owner)
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    os.replace(new, name, src_dir_fd=folder, dst_dir_fd=folder)
    os.fsync(folder)


def make_folder_in(folder: int, name: str, owner: tuple[int, int]) -> None:
    """A folder 0700 of `owner` (uid, gid) in one that is open; one that is there stays as it is."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=folder)
        os.chown(name, *owner, dir_fd=folder, follow_symlinks=False)
        os.fsync(folder)


def adopt(new: Path, target: Path, mode: int) -> None:
    """Give a file that a program made its name and mode, durably. FileExistsError; `new` stays."""
    handle = os.open(new, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fchmod(handle, mode)
        os.fsync(handle)
    finally:
        os.close(handle)
    os.link(new, target)
    sync_folder(target.parent)
    relabel([target])


def append(target: Path, content: bytes, mode: int) -> None:
    """Add to the end of a file, durable before this returns; it is made if it is not there."""
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, mode)
    with os.fdopen(handle, "wb") as out:
        new = os.fstat(handle).st_size == 0
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    if new:
        relabel([target])


def label(path: Path) -> Optional[str]:
    """The SELinux label of a file, USER:ROLE:TYPE:RANGE; None where the kernel has none."""
    try:
        return os.getxattr(path, LABEL).rstrip(b"\0").decode("ascii")
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP, errno.ENOENT):
            return None
        raise


def relabel(paths: Sequence[Path]) -> None:
    """Give files the labels that the policy has for their paths, where there are labels."""
    if paths and label(paths[0].parent) is not None:
        # Where it is not installed there is no policy either.
        commands.run(["restorecon", *map(str, paths)], ok=(0, commands.NOT_FOUND))


def make_folder(folder: Path, mode: Optional[int] = None) -> None:
    """Make a folder and its parents durable before anything is put into them.

    They have `mode`, or what the umask leaves; those that are there stay as they are.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent, mode)
    folder.mkdir(exist_ok=True)
    if mode is not None:
        folder.chmod(mode)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """fsync a folder, which makes a rename or creation in it durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _put(target: Path, content: bytes, mode: int) -> bool:
    """replace() without restorecon; whether there was nothing to take a label from."""
    new, known = target.with_name(f".{target.name}.new"), label(target)
    new.unlink(missing_ok=True)
    _write_synced(new, content, mode)
    if known is not None:
        os.setxattr(new, LABEL, known.encode("ascii") + b"\0")
    os.replace(new, target)
    sync_folder(target.parent)
    return known is None


def _write_synced(path: Path, content: bytes, mode: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(handle, "wb") as out:
        os.fchmod(out.fileno(), mode)
        out.write(content)
        out.flush()
        os.fsync(out.fileno())


def _filled(root: Path, file: ConfigFile) -> bytes:
    text = file.text
    for name in file.secrets:
        text = text.replace(placeholder(name), (root / SECRETS / name).read_text(encoding="ascii"))
    return text.encode()


def _same(root: Path, file: ConfigFile) -> bool:
    target = below(root, file)
    try:
        same_mode = target.stat().st_mode & 0o7777 == file.mode
        return same_mode and target.read_bytes() == _filled(root, file)
    except FileNotFoundError:
        return False
