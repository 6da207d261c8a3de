"""Mode `patch`: the source itself, cloned, with the profile's menus and kickstarts laid over it.

Everything that EL9's installation medium has stays where it is: loaders, signatures, packages, the
ways it boots. Some dozens of blocks differ, whatever the size of the source; a local repository's
files, when there are any, come behind them.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from builder.media.errors import MediumError, SourceError
from builder.media.iso9660 import Progress
from builder.media.local import LocalFile
from builder.media.output import check_target, replacing
from builder.media.patch.checksum import IsoMd5
from builder.media.patch.clone import How, clone, write_blocks
from builder.media.patch.menus import check_tree
from builder.media.patch.overlay import BLOCK
from builder.media.patch.planning import Patch, plan_patch
from builder.media.patch.verify import verify_patched
from builder.media.patch.volume import APPLICATION_USE, FIRST

Md5 = Literal["implant", "drop"]


@dataclass(frozen=True, slots=True)
class Patched:
    """What was done.

    Attributes:
        how: the way the source's bytes came over.
        size: the medium's bytes.
        grown: bytes by which it is larger than its source.
        changed: numbers of the blocks of 2 KiB that were planned to differ from the source, those
            of `extras` aside.
    """

    how: How
    size: int
    grown: int
    changed: frozenset[int]


def patch_medium(
    out_path: Path,
    tree: Mapping[str, bytes],
    source_path: Path,
    *,
    when: int,
    extras: Mapping[str, LocalFile] | None = None,
    md5: Md5 = "implant",
    force: bool = False,
    progress: Progress | None = None,
) -> Patched:
    """Write and verify a medium that is its source with `tree` on it.

    The volume id stays the source's. The same source, tree, `when` and `md5` give the same bytes.
    The source is only read. `out_path` appears whole and verified, or not at all.

    Args:
        out_path: the medium's file.
        tree: path -> content, with both boot menus. Paths that the source has are replaced; others
            have to be plain names, and go to the root folder.
        source_path: an EL9 installation ISO.
        when: date of added records, seconds since 1970 (SOURCE_DATE_EPOCH).
        extras: path in a folder that the source has not -> file that is streamed into it.
        md5: record the media checksum as implantisomd5 does, or leave it out.
        force: replace `out_path`; take a source that ksbuild patched before.
        progress: called with bytes done and bytes in all.

    Raises:
        SourceError: the source is damaged, or laid out in a way that cannot be patched.
        MediumError: the tree does not fit the source, or verification found a difference.
        OutputError: `out_path` cannot be written, or there is no room.
        RefusedError: the source was patched before, without `force`.
    """
    extras = extras or {}
    check_tree(tree, md5)
    check_target(out_path, force=force)
    with _opened(source_path) as descriptor:
        if out_path.exists() and out_path.samefile(source_path):
            raise MediumError(f"{out_path} is the source itself", "name another file with --output")
        size = os.fstat(descriptor).st_size
        patch = plan_patch(descriptor, size, tree, extras, when=when, force=force)
        with replacing(out_path, force=force) as out:
            summed = IsoMd5(patch.volume_blocks) if md5 == "implant" else None
            how = clone(patch, out, summed, progress)
            if summed is not None:
                _implant(patch, summed)
                write_blocks(out, {FIRST: patch.overlay.blocks[FIRST]})
            verify_patched(Path(out.name), tree, source_path, patch)
    return Patched(how, patch.size, patch.size - size, frozenset(patch.overlay.blocks))


def _implant(patch: Patch, summed: IsoMd5) -> None:
    patch.overlay.write(FIRST * BLOCK + APPLICATION_USE, summed.application_use())


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    if path.exists() and not path.is_file():
        raise SourceError(f"{path} is not a file", "check the path of --source")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}", "check the path of --source") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)
