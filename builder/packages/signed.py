"""By which keys an RPM says that it is signed.

Only who is named is read, not whether the signature is good: rpm itself verifies that, in the
installed system. Layout: rpm 4.16, docs/manual/format.md and signature tags of lib/rpmtag.h.
"""

import struct
from pathlib import Path
from typing import BinaryIO

from builder.packages.errors import RepositoryError
from builder.packages.openpgp import issuers

_LEAD_BYTES = 96
_LEAD, _HEADER = b"\xed\xab\xee\xdb", b"\x8e\xad\xe8\x01"
# What %post asks for: RSAHEADER. With DSA, EC or Ed25519 keys nobody signs EL9.
_TAG = 268
_BINARY = 7
_MOST_BYTES = 1024 * 1024
_HINT = "copy it again; rpm -K says more"


def signers(path: Path) -> tuple[str, ...]:
    """Return the key ids, 16 upper-case digits each, that a package names; none when unsigned.

    Raises:
        RepositoryError: not an RPM, or damaged.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        try:
            return tuple(dict.fromkeys(i for data in _signatures(file) for i in issuers(data)))
        except (ValueError, IndexError, struct.error) as error:
            why = f"{path} cannot be read as a package: {error}"
            raise RepositoryError(why, _HINT) from None


def _signatures(file: BinaryIO) -> list[bytes]:
    if not file.read(_LEAD_BYTES).startswith(_LEAD):
        raise ValueError("it does not begin like one")
    head = file.read(16)
    count, size = struct.unpack_from(">II", head, 8)
    if head[:4] != _HEADER or count * 16 + size > _MOST_BYTES:
        raise ValueError("it has no signature header")
    index, store = file.read(count * 16), file.read(size)
    if len(index) != count * 16 or len(store) != size:
        raise ValueError("it is cut short")
    found = []
    for tag, kind, offset, length in struct.iter_unpack(">IIII", index):
        if tag == _TAG and kind == _BINARY:
            found.append(store[offset : offset + length])
    return found
