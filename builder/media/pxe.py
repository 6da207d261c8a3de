"""Network boot: the planned tree and the source's files as a folder that servers serve."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from builder.media.boot import EFI_OPTIONAL, EFI_REQUIRED, STAGE2
from builder.media.errors import MediumError, OutputError, SourceError
from builder.media.folder import Staging
from builder.media.iso9660 import EFI_IMAGE, Progress
from builder.media.source import Source
from builder.media.unpack import Packed, files
from builder.plan.netboot import HTTP, IMAGES, PXELINUX, TFTP

MANIFEST = "ksbuild-pxe.json"
SCHEMA = "ksbuild/pxe-tree/1"
PRIVATE = f"{HTTP}/pairs/"
SYSLINUX = ("ldlinux.c32", "libcom32.c32", "libutil.c32", "vesamenu.c32")
KERNEL, INITRD = f"{IMAGES}/vmlinuz", f"{IMAGES}/initrd.img"
_SMALL = (KERNEL, INITRD, STAGE2, ".treeinfo", ".discinfo")
# Loaders and menus come from elsewhere; the ISO's own would install nothing of ours.
_NOT_SERVED = ("isolinux/", "EFI/", EFI_IMAGE)
_MOST_LOADER_BYTES = 1024 * 1024
_IDENTITY_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Served:
    """What of a source goes into a tree: its files by path, and which source that is."""

    files: Mapping[str, Packed]
    identity: Mapping[str, Any]


def survey(image: BinaryIO, source: Source, *, packages: bool) -> Served:
    """What of an open source is served: with `packages` all but its loaders.

    Raises:
        SourceError: damaged, or without what a network boot needs.
    """
    found = {each.path: each for each in files(image)}
    if packages:
        chosen = {p: each for p, each in found.items() if not p.startswith(_NOT_SERVED)}
    else:
        chosen = {path: found[path] for path in _SMALL if path in found}
    if missing := {KERNEL, INITRD} - chosen.keys():
        raise SourceError(
            f"the source has no {', '.join(sorted(missing))}",
            "use an unmodified EL9 installation ISO as source",
        )
    image.seek(0)
    # Descriptors with their date, and the media's own checksum where it has one.
    head = hashlib.sha256(image.read(_IDENTITY_BYTES)).hexdigest()
    identity = {
        "volume_id": source.volume_id,
        "release": source.release,
        "bytes": image.seek(0, 2),
        "head_sha256": head,
        "files": len(chosen),
    }
    return Served(dict(sorted(chosen.items())), identity)


def loaders(source: Source, pxelinux: bytes | None) -> dict[str, bytes]:
    """Path in tftp/ -> bytes of what firmware is given to start.

    UEFI gets the source's own shim and GRUB, as they are signed. EL9 media have no PXELINUX; the
    modules beside it are theirs.

    Raises:
        MediumError: `pxelinux` is something else.
        SourceError: the source cannot be read.
    """
    paths = [*EFI_REQUIRED, *(path for path in EFI_OPTIONAL if source.has(path))]
    found = {path: source.read(path) for path in paths}
    if pxelinux is not None:
        if b"PXELINUX" not in pxelinux or len(pxelinux) > _MOST_LOADER_BYTES:
            raise MediumError(
                "what --pxelinux names is not PXELINUX",
                "take pxelinux.0 of the package syslinux-tftpboot",
            )
        found |= {PXELINUX: pxelinux}
        found |= {name: source.read(f"isolinux/{name}") for name in SYSLINUX}
    return found


def same_source(out: Path, served: Served) -> bool:
    """Whether the tree at `out` was made of the same source."""
    try:
        manifest = json.loads((out / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and manifest.get("source") == dict(served.identity)


def bytes_to_copy(served: Served) -> int:
    """How much room the source's files take."""
    return sum(each.size for each in served.files.values())


def write_source(
    staging: Staging,
    served: Served,
    image: BinaryIO,
    progress: Progress | None = None,
) -> int:
    """Put the source's files into http/, kernel and initrd into tftp/ as well, each stored once.

    Returns how many bytes were copied; the others an older tree had.

    Raises:
        SourceError: the image ends before.
        OSError: they cannot be written.
    """
    total, done, copied = bytes_to_copy(served), 0, 0
    for path, packed in served.files.items():
        if not staging.unpacked(f"{HTTP}/{path}", packed):
            staging.unpack(f"{HTTP}/{path}", packed, image)
            copied += packed.size
        done += packed.size
        if progress:
            progress(done, total)
    for path in (KERNEL, INITRD):
        staging.link(f"{TFTP}/{path}", f"{HTTP}/{path}")
    return copied


def write_loaders(staging: Staging, found: Mapping[str, bytes], when: int) -> None:
    """Put the loaders into tftp/, and those that UEFI HTTP Boot asks for into http/.

    Where a DHCP server names shim in option 67 alone, shim sees no folder (its netboot.c) and asks
    for GRUB in the root.
    """
    for path, content in found.items():
        staging.put(f"{TFTP}/{path}", content, when)
        if path.startswith("EFI/"):
            staging.link(f"{HTTP}/{path}", f"{TFTP}/{path}")
    staging.link(f"{TFTP}/grubx64.efi", f"{TFTP}/EFI/BOOT/grubx64.efi")


def need_room(folder: Path, free: int, needed: int) -> None:
    """Refuse before anything is written. Raises OutputError."""
    if free < needed:
        raise OutputError(
            f"{folder}: {needed} bytes are needed and {free} are free",
            "free some room or choose another disk with --out",
        )


def manifest(
    url: str,
    served: Served,
    pairs: Iterable[Mapping[str, Any]],
    own: Mapping[str, str],
    *,
    demonstration: bool,
) -> bytes:
    """What the tree is: `own` are path -> sha256 of the files that are not the source's."""
    content = {
        "schema": SCHEMA,
        "url": url,
        "demonstration": demonstration,
        "source": dict(served.identity),
        "pairs": list(pairs),
        "files": dict(sorted(own.items())),
    }
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()
