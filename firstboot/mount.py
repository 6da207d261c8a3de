"""The shared file system's mount point: what is mounted there, and that nothing else can be."""

from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from firstboot import files
from firstboot.engine import Refused
from firstboot.render.cib import DEVICE, MOUNT_OPTIONS
from firstboot.steps import Context

IMMUTABLE = "i"  # lsattr's letter, chattr(1)


def options(mounts: str, place: str) -> Optional[tuple[str, ...]]:
    """/proc/mounts -> the options of our file system at `place`; None when it is not there."""
    found = None
    for line in mounts.splitlines():
        device, target, kind, flags = line.split()[:4]
        if target == place:  # the last one covers those before it
            found = tuple(flags.split(",")) if (device, kind) == (DEVICE, "gfs2") else None
    return found


def faults(mounts: str, place: str) -> list[str]:
    """What is not right with the mounted file system, in words."""
    found = options(mounts, place)
    if found is None:
        return [f"{place} is not mounted"]
    wanted = ("rw", *MOUNT_OPTIONS)
    return [f"{place} is mounted without {option}" for option in wanted if option not in found]


def table(root: Path) -> str:
    """/proc/mounts."""
    return (root / "proc/mounts").read_text(encoding="utf-8")


def unprepared(context: Context) -> Sequence[str]:
    """Whether a guest's image could land on the system's own disk while nothing is mounted.

    Raises Refused when that has happened. Says nothing while the file system is mounted.
    """
    place = _place(context)
    if _mounted(context):
        return ()
    folder = context.root / place.lstrip("/")
    if not folder.is_dir():
        return [f"there is no {place}"]
    entries = sorted(path.name for path in folder.iterdir())
    flags = [] if entries else context.run(["lsattr", "-d", place]).stdout.split(maxsplit=1)
    if _mounted(context):  # by pacemaker meanwhile: the file system itself was seen
        return ()
    if entries:
        raise Refused(
            f"{place} is not mounted and holds {', '.join(entries[:5])} on the system's own disk",
            f"ls -la {place}; move that elsewhere, then: ksnode run",
        )
    return [] if flags and IMMUTABLE in flags[0] else [f"{place} can be written to while unmounted"]


def prepare(context: Context) -> None:
    """Make the mount point, and keep everybody from writing below it while nothing is mounted."""
    if not unprepared(context):
        return
    folder = context.root / _place(context).lstrip("/")
    files.make_folder(folder)
    folder.chmod(0o755)
    context.run(["chattr", "+i", _place(context)])


def _mounted(context: Context) -> bool:
    return options(table(context.root), _place(context)) is not None


def _place(context: Context) -> str:
    return context.identity.pair.gfs2.mount
