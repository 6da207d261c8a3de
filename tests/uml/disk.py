"""Disk images of machines that are off: made, measured, and read without root."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.uml.images import Images
from tests.uml.lab import Lab
from tests.uml.machine import Disk, Hardware, Machine, scratch_folder
from tests.uml.running import MachineError

SECTOR = 512
_READ_SECONDS = 120


@dataclass(frozen=True)
class Partition:
    """One entry of a GPT; start and size in sectors of 512 bytes."""

    number: int
    start: int
    size: int
    uuid: str  # PARTUUID, lower case
    kind: str  # type GUID, lower case
    name: str


def blank_disk(path: Path, gib: int) -> Path:
    """Make a sparse disk image of gib GiB; it takes no room until written to."""
    with path.open("xb") as image:
        image.truncate(gib << 30)
    return path


def written_extents(path: Path) -> list[tuple[int, int]]:
    """Byte ranges [start, end) of a sparse image that anyone ever wrote, zeros included."""
    extents: list[tuple[int, int]] = []
    with path.open("rb") as image, suppress(OSError):  # ENXIO: no more data
        end = 0
        while True:
            start = os.lseek(image.fileno(), end, os.SEEK_DATA)
            end = os.lseek(image.fileno(), start, os.SEEK_HOLE)
            extents.append((start, end))
    return extents


def is_blank(image: Path) -> bool:
    """Whether nothing was ever written to it."""
    return image.stat().st_blocks == 0


def partitions(image: Path) -> list[Partition]:
    """Read the GPT as sfdisk does. Raises ValueError when there is none."""
    done = subprocess.run(["sfdisk", "-J", str(image)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"{image.name}: {done.stderr.strip()}")
    table = json.loads(done.stdout)["partitiontable"]
    if table["label"] != "gpt":
        raise ValueError(f"{image.name}: the label is {table['label']}, not gpt")
    return [
        Partition(
            number=int(entry["node"].removeprefix(str(image)).lstrip("p")),
            start=entry["start"],
            size=entry["size"],
            uuid=entry["uuid"].lower(),
            kind=entry["type"].lower(),
            name=entry.get("name", ""),
        )
        for entry in table.get("partitions", [])
    ]


def partition(image: Path, name_or_uuid: str) -> Partition:
    """Return the one partition with this name or PARTUUID; LookupError unless exactly one fits."""
    wanted = name_or_uuid.lower()
    fits = [p for p in partitions(image) if wanted in (p.name.lower(), p.uuid)]
    if len(fits) != 1:
        raise LookupError(f"{image.name}: {len(fits)} partitions are {name_or_uuid!r}")
    return fits[0]


def read_files(images: Images, image: Path, number: int, paths: Iterable[str]) -> dict[str, bytes]:
    """Return the content of the regular files at paths on partition number; absent ones missing.

    A small machine mounts the partition read-only, which replays its journal as the next boot
    would, into an overlay: the image stays as it is. A folder's path returns all files below it.
    Raises MachineError when the partition can't be mounted. The image's machine must be off.
    """
    with tempfile.TemporaryDirectory(prefix="ksr-", dir=scratch_folder()) as name, Lab() as lab:
        folder = Path(name)
        (folder / "paths").write_text("".join(f"{path.lstrip('/')}\n" for path in paths))
        reader = Machine(
            lab,
            "reader",
            Hardware(disks=[Disk(image, overlay=folder / "overlay")], memory=512),
            [f"standin.out={folder}", "standin.task=read", f"standin.device=/dev/ubda{number}"],
            console=folder / "console",
            initrd=images.installer,
        )
        reader.wait_off(_READ_SECONDS)
        answer = folder / "files.tar"
        if not answer.exists():
            tail = "\n".join(reader.console_text().splitlines()[-15:])
            raise MachineError(f"partition {number} of {image.name} cannot be read:\n{tail}")
        with tarfile.open(answer) as tar:
            content = {f"/{m.name}": tar.extractfile(m) for m in tar if m.isreg()}
            return {path: data.read() for path, data in content.items() if data is not None}
