"""Fingerprints of OpenPGP public keys, and who issued a signature; nothing is verified here.

RFC 4880 (6.2, 4.2, 12.2; 5.2 for signatures), RFC 9580 (5.5.4.3, 5.2.3) for version 6.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator

from builder.packages.errors import RepositoryError

_BLOCK = re.compile(
    rb"^-----BEGIN PGP PUBLIC KEY BLOCK-----[ \t]*\r?\n(?:[!-~]+: .*\r?\n)*[ \t]*\r?\n"
    rb"([A-Za-z0-9+/=\s]+?)(?:^=([A-Za-z0-9+/]{4})\s*)?^-----END PGP PUBLIC KEY BLOCK-----",
    re.MULTILINE,
)
_SIGNATURE, _PUBLIC_KEY = 2, 6
# RFC 9580, 5.2.3.12 and 5.2.3.35.
_ISSUER, _ISSUER_FINGERPRINT = 16, 33
_HINT = "use the file that the repository publishes as its gpgkey"


def key_fingerprints(armored: bytes) -> tuple[str, ...]:
    """Return the fingerprints of all primary keys; Red Hat's file for EL9 holds two.

    Raises:
        RepositoryError: no key in it, or it is damaged.
    """
    found = []
    try:
        for block in _BLOCK.finditer(armored):
            data = base64.b64decode(b"".join(block[1].split()), validate=True)
            if block[2] and base64.b64decode(block[2]) != _crc24(data):
                raise ValueError("its checksum is wrong")
            found += [_fingerprint(body) for tag, body in _packets(data) if tag == _PUBLIC_KEY]
    except (ValueError, IndexError, binascii.Error) as error:
        raise RepositoryError(f"the key file cannot be read: {error}", _HINT) from error
    if not found:
        raise RepositoryError("the file holds no OpenPGP public key in ASCII armor", _HINT)
    return tuple(found)


def issuers(signature: bytes) -> tuple[str, ...]:
    """Return the key ids that a binary signature names as its makers, 16 upper-case digits each.

    Raises:
        ValueError, IndexError: it is damaged, or of a version that nobody writes.
    """
    found: dict[str, None] = {}
    for tag, body in _packets(signature):
        if tag == _SIGNATURE:
            found |= dict.fromkeys(_issuers(body))
    return tuple(found)


def _issuers(body: bytes) -> Iterator[str]:
    if body[0] == 3:
        yield body[7:15].hex().upper()
        return
    if body[0] not in (4, 6):
        raise ValueError(f"it has a signature of version {body[0]}")
    wide = 2 if body[0] == 4 else 4
    at = 4
    for _ in ("hashed", "unhashed"):
        end = at + wide + int.from_bytes(body[at : at + wide])
        at += wide
        while at < end:
            start, length = _length(body, at, partial=255)
            kind, content = body[start] & 0x7F, body[start + 1 : start + length]
            if kind == _ISSUER:
                yield content.hex().upper()
            elif kind == _ISSUER_FINGERPRINT:
                # The id is the end of a version 4 fingerprint, the beginning of a version 6 one.
                yield (content[-8:] if content[0] == 4 else content[1:9]).hex().upper()
            at = start + length
        at = end


def _crc24(data: bytes) -> bytes:
    """RFC 4880, 6.1."""
    crc = 0xB704CE
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= 0x1864CFB
    return crc.to_bytes(3)


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(data):
        head = data[position]
        if not head & 0x80:
            raise ValueError(f"byte {position} begins no packet")
        new = head & 0x40
        tag = head & 0x3F if new else head >> 2 & 0x0F
        start, length = _length(data, position + 1) if new else _old_length(data, position, head)
        position = start + length
        if position > len(data):
            raise ValueError("it ends within a packet")
        yield tag, data[start:position]


def _length(data: bytes, at: int, *, partial: int = 224) -> tuple[int, int]:
    """Where a packet's body starts, and its length in bytes (RFC 4880, 4.2.2).

    In a subpacket there are no partial lengths: two bytes reach up to 254 (5.2.3.1).
    """
    first = data[at]
    if first < 192:
        return at + 1, first
    if first < partial:
        return at + 2, (first - 192 << 8) + data[at + 1] + 192
    if first < 255:
        raise ValueError("a packet of a key has no partial lengths")
    return at + 5, int.from_bytes(data[at + 1 : at + 5])


def _old_length(data: bytes, position: int, head: int) -> tuple[int, int]:
    """Likewise for the old format (RFC 4880, 4.2.1)."""
    if head & 3 == 3:
        raise ValueError("a packet of a key has no indeterminate length")
    size = 1 << (head & 3)
    return position + 1 + size, int.from_bytes(data[position + 1 : position + 1 + size])


def _fingerprint(body: bytes) -> str:
    if body[0] == 4:
        # RPM keys are identified by it, though SHA-1 is broken for other uses.
        digest = hashlib.sha1(b"\x99" + len(body).to_bytes(2) + body, usedforsecurity=False)
        return digest.hexdigest().upper()
    if body[0] == 6:
        return hashlib.sha256(b"\x9b" + len(body).to_bytes(4) + body).hexdigest().upper()
    raise ValueError(f"it has a key of version {body[0]}, which is too old or unknown")
