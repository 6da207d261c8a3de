"""A small medium for the harness's own tests: any files on a labelled ISO 9660 image."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import pycdlib


def write_iso(path: Path, label: str, files: Mapping[str, bytes]) -> Path:
    """Write an ISO with Rock Ridge names; files are in one folder level at most ("ks/a.cfg")."""
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, rock_ridge="1.09", vol_ident=label)
    made: set[str] = set()
    for number, (name, data) in enumerate(files.items()):
        folder, _, leaf = name.rpartition("/")
        if folder and folder not in made:
            iso.add_directory(f"/{folder.upper()}", rr_name=folder)
            made.add(folder)
        place = f"/{folder.upper()}/F{number}.;1" if folder else f"/F{number}.;1"
        iso.add_fp(io.BytesIO(data), len(data), place, rr_name=leaf)
    iso.write(str(path))
    iso.close()
    return path
