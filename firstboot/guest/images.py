"""Images of guests: made by qemu-img where there is none, looked at where there is one.

An image that exists is never written to.
"""

import json
import os
import posixpath
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from firstboot import files
from firstboot.commands import Run
from firstboot.guest.domain import Image
from firstboot.guest.refusals import is_below

SIZE = re.compile(r"[1-9][0-9]{0,8}[MGT]")  # as qemu-img has it: MiB, GiB, TiB
MADE_TIMEOUT_S = 1800.0  # its blocks are allocated, on both nodes


def sizes(arguments: Sequence[str]) -> dict[str, str]:
    """Path -> qemu-img's size, of virt-install's own --disk PATH,size=GIB. Pure."""
    found = {}
    for before, argument in zip(("", *arguments), arguments):
        option, _, value = argument.partition("=")
        text = value if option == "--disk" else argument if before == "--disk" else ""
        parts = dict(part.partition("=")[::2] for part in text.split(","))
        path = parts.get("path") or text.partition(",")[0]
        if re.fullmatch(r"[0-9]+(\.[0-9]+)?", parts.get("size", "")):
            found[posixpath.normpath(path)] = f"{max(1, round(float(parts['size']) * 1024))}M"
    return found


def faults(root: Path, images: Sequence[Image], place: str, run: Run) -> list[str]:
    """What is not right with images that are there; qemu-img only reads them."""
    found = []
    for image in images:
        path = below(root, image.path)
        if not os.path.lexists(path):
            continue
        real = str(path.resolve())
        if real != str(root.resolve() / image.path.lstrip("/")):
            found.append(f"{image.path} is a link to {real}")
        elif not path.is_file():
            found.append(f"{image.path} is not a file")
        else:
            shown = run(["qemu-img", "info", "--output=json", "--force-share", str(path)]).stdout
            found += judged(shown, image, place)
    return found


def judged(shown: str, image: Image, place: str) -> list[str]:
    """`qemu-img info --output=json` of an image. Pure."""
    told = json.loads(shown)
    found = []
    if told["format"] != image.format:
        found.append(f"{image.path} is {told['format']}, and described as {image.format}")
    backing = told.get("full-backing-filename")
    if backing is not None and not is_below(backing, place):
        found.append(f"{image.path} is based on {backing}, which the other node does not have")
    return found


def missing(root: Path, images: Sequence[Image]) -> list[Image]:
    """Those that are not there."""
    return [image for image in images if not os.path.lexists(below(root, image.path))]


def creation(image: Image, size: str, path: Optional[Path] = None) -> list[str]:
    """qemu-img's arguments for it, with all its blocks: a full file system would stop a guest."""
    where = image.path if path is None else str(path)
    kind = ["-f", image.format, "-o", "preallocation=falloc"]
    return ["create", "-q", *kind, where, size]


def make(root: Path, image: Image, size: str, run: Run) -> None:
    """Make one. Raises FileExistsError where there is one by now, CommandError or OSError."""
    target = below(root, image.path)
    files.make_folder(target.parent, 0o755)
    new = target.with_name(f".{target.name}.new")
    new.unlink(missing_ok=True)
    try:
        run(["qemu-img", *creation(image, size, new)], timeout_s=MADE_TIMEOUT_S)
        files.adopt(new, target, 0o600)
    finally:
        new.unlink(missing_ok=True)


def below(root: Path, path: str) -> Path:
    """Where a node's path is when its root is `root`."""
    return root / path.lstrip("/")
