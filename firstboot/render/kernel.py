"""Kernel settings: bridge netfilter off, short write stalls, patience with reordered packets."""

from pathlib import PurePosixPath

from firstboot.configfile import ConfigFile
from firstboot.node import Identity

SYSCTL = PurePosixPath("/etc/sysctl.d/90-ksbuild.conf")
UDEV = PurePosixPath("/etc/udev/rules.d/90-ksbuild.rules")

# Guests' frames are not for the host's firewall: what the article's physdev rule was for.
NETFILTER = tuple(
    f"net.bridge.bridge-nf-call-{table}" for table in ("iptables", "ip6tables", "arptables")
)
# balance-rr hands out one stream's packets in turn, so they come out of order, and TCP takes three
# (the default) for a loss. 127 is the "maximum useful value" of the kernel's own
# Documentation/networking/bonding.txt, 12.1.1.
REORDERING = 127
MIB = 1024 * 1024


def render(identity: Identity) -> tuple[ConfigFile, ...]:
    """sysctl.d and udev rules."""
    return (ConfigFile(SYSCTL, _sysctl(identity)), ConfigFile(UDEV, _UDEV))


def settings(identity: Identity) -> dict[str, str]:
    """Name -> value of the settings that every kernel has."""
    dirty = identity.pair.guests.dirty_mib * MIB
    found = {"vm.dirty_bytes": str(dirty), "vm.dirty_background_bytes": str(dirty // 4)}
    if identity.pair.crossover.mode == "balance-rr":
        found["net.ipv4.tcp_reordering"] = str(REORDERING)
    return found


def _sysctl(identity: Identity) -> str:
    # A leading "-": no error where br_netfilter is not loaded, as it should be (sysctl.d(5)).
    lines = [f"-{name} = 0" for name in NETFILTER]
    lines += [f"{name} = {value}" for name, value in settings(identity).items()]
    return "\n".join(lines) + "\n"


# Loading br_netfilter sets its switches to 1, whatever was set before.
_UDEV = (
    'ACTION=="add", SUBSYSTEM=="module", KERNEL=="br_netfilter", '
    'RUN+="/usr/lib/systemd/systemd-sysctl --prefix=/net/bridge"\n'
)
