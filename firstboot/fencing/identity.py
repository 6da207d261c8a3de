"""Is the BMC that would be fired at the peer's? Pure."""

import re
import uuid
from typing import Optional

_GUID = re.compile(r"^System GUID\s*:\s*([0-9A-Fa-f-]{32,36})\s*$", re.MULTILINE)


def parse_guid(printed: str) -> Optional[str]:
    """The GUID in what `ipmitool mc guid` prints; it guesses the byte order, or shows raw bytes."""
    found = _GUID.search(printed)
    try:
        return str(uuid.UUID(found.group(1))) if found else None
    except ValueError:
        return None


def same(guid: str, dmi: str) -> bool:
    """Whether a BMC's GUID is a machine's DMI UUID, in any byte order that firmware uses.

    SMBIOS keeps the first three fields little-endian (DSP0134, 7.2.1), IPMI 2.0 (20.8) sends all
    bytes in reverse, and BMCs mix the two.
    """
    try:
        bmc, machine = uuid.UUID(guid), uuid.UUID(dmi)
    except ValueError:
        return False
    turned = uuid.UUID(bytes=bmc.bytes[::-1])
    orders = (bmc.bytes, bmc.bytes_le, bmc.bytes_le[::-1], turned.bytes, turned.bytes_le)
    return machine.bytes in orders


def objection(guid: Optional[str], mine: str, peers: str, *, marked: bool) -> str:
    """Why the BMC must not be fired at; "" when it is shown to be the peer's.

    `mine` and `peers` are DMI UUIDs, "" on machines without DMI. `marked`: the peer itself gave its
    BMC, in-band, the random password by which we are logged in, so this BMC is no other.
    Without DMI nothing can show it beforehand: there the peer's own death and return is the proof,
    and whoever else is hit by mistake is switched on again.
    """
    if guid and mine and same(guid, mine):
        return f"it answers with this node's own UUID {mine}"
    if marked or not peers or (guid and same(guid, peers)):
        return ""
    if guid is None:
        return f"it tells no UUID that could be compared with the peer's, {peers}"
    return f"it answers with {guid}, the peer's UUID is {peers}"
