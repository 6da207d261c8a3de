"""Who gets a kickstart: decided from what the store knows and what the installer sent. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_MAC = re.compile(r"[0-9A-F]{2}(?::[0-9A-F]{2}){5}")
_MOST_PORTS = 64


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the store knows of a node's right to be installed; times in seconds since 1970.

    `fetched` is the first fetch of this generation, `installed` when the node said that it is.
    """

    generation: int
    expires: float
    fetched: float | None = None
    installed: float | None = None


@dataclass(frozen=True, slots=True)
class Hardware:
    """By what a node is known: MACs of its uplink's ports, and a serial number if there is one."""

    macs: frozenset[str]
    serial: str | None


def closed(allowance: Allowance, now: float, refetch_s: float) -> str:
    """Why the kickstart is not for anybody any more, or nothing.

    Anaconda fetches it once for every port that comes up, so one fetch does not close it.
    """
    if allowance.installed is not None:
        return "it is installed"
    if now >= allowance.expires:
        return "the time it could be installed in is over"
    if allowance.fetched is not None and now >= allowance.fetched + refetch_s:
        return "its kickstart was fetched already, and too long ago to be fetched again"
    return ""


def other_hardware(hardware: Hardware, headers: Mapping[str, str]) -> str:
    """Why the request does not come from that node's installer, or nothing.

    X-RHN-Provisioning-MAC-N is "NAME MAC", and X-System-Serial-Number is padded by some firmware
    (anaconda, dracut/fetch-kickstart-net.sh).
    """
    sent = (headers.get(f"x-rhn-provisioning-mac-{n}", "") for n in range(_MOST_PORTS))
    macs = {word for value in sent for word in value.upper().split()[-1:] if _MAC.fullmatch(word)}
    if not macs:
        return "the installer sent no MAC: its boot line needs inst.ks.sendmac"
    if not macs & hardware.macs:
        return "none of the installer's ports is one of this node's uplink"
    if hardware.serial is None:
        return ""
    serial = headers.get("x-system-serial-number")
    if serial is None:
        return "the installer sent no serial number: its boot line needs inst.ks.sendsn"
    if serial.strip() != hardware.serial.strip():
        return "the installer's serial number is not this node's"
    return ""
