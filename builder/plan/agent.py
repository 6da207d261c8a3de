"""Pack the agent into the one file that the node's own python3 runs."""

import io
import zipfile
from collections.abc import Mapping

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest a zip file can say
_START = b"import sys\n\nfrom firstboot.__main__ import main\n\nsys.exit(main())\n"


def archive(sources: Mapping[str, bytes]) -> bytes:
    """firstboot.pyz from path -> source: the same bytes for the same sources."""
    out = io.BytesIO(b"#!/usr/bin/python3\n")
    out.seek(0, io.SEEK_END)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in sorted({"__main__.py": _START, **sources}.items()):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.external_attr = 0o644 << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return out.getvalue()
