"""Mode `oemdrv`: a tiny companion to an unmodified installation medium.

Anaconda takes /ks.cfg from a volume labelled OEMDRV when nothing else names a kickstart
(anaconda rhel-9, docs/boot-options.rst, inst.ks; dracut/kickstart-genrules.sh). It has to be a
device of its own, since the installation medium is mounted as a whole.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from pycdlib import PyCdlib

from builder.media import readback
from builder.media.errors import MediumError
from builder.media.frozen import pycdlib_at

LABEL = "OEMDRV"
KICKSTART = "ks.cfg"
# Joliet: 64 UCS-2 characters (Joliet specification, "Allowed Character Set").
_LONGEST_NAME = 64


def write_oemdrv(out: BinaryIO, tree: Mapping[str, bytes], *, when: int) -> None:
    """Write the volume: `tree` in one folder, under Rock Ridge and Joliet names, no boot loader.

    The same arguments give the same bytes.

    Args:
        out: binary file, empty and seekable.
        tree: name -> content, with ks.cfg; no folders.
        when: date of everything, seconds since 1970.

    Raises:
        MediumError: no ks.cfg, or a name that cannot be on it.
        OSError: `out` cannot be written.
    """
    if KICKSTART not in tree:
        raise MediumError(f"the tree has no {KICKSTART}", "report this")
    for name in tree:
        if "/" in name or name in ("", ".", "..") or len(name) > _LONGEST_NAME:
            raise MediumError(f"{name!r} cannot be on an {LABEL} volume", "report this")
    iso = PyCdlib()
    with pycdlib_at(when):
        iso.new(interchange_level=3, vol_ident=LABEL, rock_ridge="1.09", joliet=3)
        try:
            for number, (name, content) in enumerate(sorted(tree.items())):
                iso.add_fp(
                    io.BytesIO(content),
                    len(content),
                    # Nobody reads these, except for the one every reader has to find.
                    "/KS.CFG;1" if name == KICKSTART else f"/FILE{number:04}.;1",
                    rr_name=name,
                    joliet_path=f"/{name}",
                    file_mode=0o100444,
                )
            iso.write_fp(out)
        finally:
            iso.close()


def verify_oemdrv(path: Path, tree: Mapping[str, bytes]) -> None:
    """Read a written volume back and compare it with what it was made from.

    Raises:
        MediumError: says what differs.
    """
    with readback.opened(path, LABEL) as iso:
        there = {
            child.rock_ridge.name().decode("utf-8", "replace")
            for child in iso.list_children(rr_path="/")
            if child.is_file() and child.rock_ridge
        }
        if there != tree.keys():
            odd = ", ".join(sorted(there ^ tree.keys()))
            raise MediumError(f"{path} has other files than were written: {odd}", readback.AGAIN)
        for name, content in sorted(tree.items()):
            readback.compare(iso, path, name, content)
            readback.compare(iso, path, name, content, "joliet_path")
