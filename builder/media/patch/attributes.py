"""Rock Ridge entries for new records, made like those that a source has.

IEEE P1282 4.1.1 to 4.1.6, and the RR entry of the 1991 draft that genisoimage still writes.
"""

import struct
from dataclasses import dataclass

from builder.media.patch.overlay import Overlay
from builder.media.patch.records import Record, both, both_endian, date, susp
from builder.media.patch.refusal import damaged

_REGULAR_READABLE, _FOLDER_READABLE = 0o100444, 0o040555
_RR_PX, _RR_NM, _RR_TF = 0x01, 0x08, 0x80
_TF_LONG = 0x80
_PX_WITH_SERIAL = 44


@dataclass(frozen=True, slots=True)
class Attributes:
    """The kinds, versions and lengths to imitate; none in a Joliet tree."""

    like: dict[bytes, bytes] | None

    @staticmethod
    def of(image: Overlay, joliet: bool, records: list[Record]) -> "Attributes":
        """Those of a file in the root folder, or the folder's own."""
        if joliet:
            return Attributes(None)
        files = [record for record in records if not record.is_folder] or records[:1]
        like = dict(susp(image, files[0]))
        if b"PX" not in like:
            raise damaged("a file in its root folder has no Rock Ridge attributes")
        return Attributes(like)

    def make(self, name: str, when: int, serial: int, *, links: int = 0) -> bytes:
        """The system use area of a record.

        Args:
            name: as users see it; "" for a folder's records of itself and its parent.
            when: seconds since 1970.
            serial: the file serial number.
            links: of a folder, itself and its subfolders' records of it included; 0 for a file.
        """
        if self.like is None:
            return b""
        px = both(_FOLDER_READABLE if links else _REGULAR_READABLE) + both(links or 1)
        px += both(0) + both(0)
        if len(self.like[b"PX"]) >= _PX_WITH_SERIAL:
            px += both(serial & 0xFFFFFFFF)
        entries, present = [_entry(b"PX", px)], _RR_PX
        if name:
            entries.append(_entry(b"NM", b"\0" + name.encode("ascii")))
            present |= _RR_NM
        if (tf := self.like.get(b"TF", b"")) and len(tf) > 4:
            stamps = (tf[4] & ~_TF_LONG).bit_count()
            entries.append(_entry(b"TF", bytes([tf[4] & ~_TF_LONG]) + date(when) * stamps))
            present |= _RR_TF
        if b"RR" in self.like:
            entries.insert(0, _entry(b"RR", bytes([present])))
        return b"".join(entries)


def with_links(image: Overlay, record: Record, more: int) -> bytes:
    """A folder's record of itself or its parent, with `more` subfolders in its link count."""
    for signature, entry in susp(image, record):
        if signature == b"PX" and entry in record.raw:
            count = both_endian(entry, 12, "a number of links") + more
            return record.raw.replace(entry, entry[:12] + both(count) + entry[20:])
    return record.raw


def _entry(signature: bytes, body: bytes) -> bytes:
    return signature + struct.pack("BB", len(body) + 4, 1) + body
