"""Read a finished medium back: the files ksbuild put on it."""

import io
import struct
from pathlib import Path

from pycdlib import PyCdlib
from pycdlib.pycdlibexception import PyCdlibException

from builder.media.errors import SourceError
from builder.plan import manifest

_PARSER_ERRORS = (PyCdlibException, struct.error, ValueError, LookupError, TypeError, EOFError)
_NOT_OURS = "give a medium that ksbuild iso wrote"


def read_tree(path: Path) -> dict[str, bytes]:
    """Path -> content of the manifest and every file it names that is there.

    Raises:
        SourceError: not an ISO, or none that ksbuild wrote.
        OSError: the file cannot be read.
    """
    iso = PyCdlib()
    try:
        iso.open(str(path))
    except _PARSER_ERRORS as error:
        raise SourceError(f"{path} is not an ISO image ({error})", _NOT_OURS) from error
    try:
        files = {manifest.PATH: _read(iso, manifest.PATH)}
        for name in manifest.read(files[manifest.PATH])["files"]:
            files[name] = _read(iso, name)
    except _PARSER_ERRORS as error:
        raise SourceError(f"{path} has no readable {manifest.PATH}: {error}", _NOT_OURS) from error
    finally:
        iso.close()
    return files


def _read(iso: PyCdlib, name: str) -> bytes:
    out = io.BytesIO()
    iso.get_file_from_iso_fp(out, rr_path=f"/{name}")
    return out.getvalue()
