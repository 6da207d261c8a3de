"""Units: the gate that starts the cluster, the look at health while it runs, and what outlives it.

No unit of corosync, pacemaker or DRBD is ever enabled; a node that boots waits for the gate.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from firstboot.configfile import ConfigFile
from firstboot.node import Identity

UNITS = PurePosixPath("/etc/systemd/system")
GATE = "ksbuild-gate.service"
HEALTH, HEALTH_TIMER = "ksbuild-health.service", "ksbuild-health.timer"
HEALTH_EVERY_S = 60
CLUSTER = ("corosync.service", "pacemaker.service")
UNESCAPED = re.compile(r"[A-Za-z0-9:_.]")
AGENT = "/usr/bin/python3 /usr/lib/ksbuild/firstboot.pyz"

# The gate asks systemctl and ping, and writes its record. Its mount namespace ends with it, before
# anything is mounted. Not NoNewPrivileges=, as SELinux might keep it in init_t then.
GATE_NEEDS_NO_MORE = (
    ("UMask", "0077"),
    ("CapabilityBoundingSet", "CAP_NET_RAW"),
    ("LockPersonality", "yes"),
    ("PrivateTmp", "yes"),
    ("ProtectControlGroups", "yes"),
    ("ProtectHome", "yes"),
    ("ProtectHostname", "yes"),
    ("ProtectKernelLogs", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectKernelTunables", "yes"),
    ("ProtectSystem", "strict"),
    ("ReadWritePaths", "/var/lib/ksbuild"),
    ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6 AF_NETLINK"),
    ("RestrictNamespaces", "yes"),
    ("RestrictRealtime", "yes"),
    ("RestrictSUIDSGID", "yes"),
    ("SystemCallArchitectures", "native"),
    ("SystemCallErrorNumber", "EPERM"),
    ("SystemCallFilter", "@system-service"),
)

# It asks drbdsetup, attrd_updater, smartctl, ipmitool and the RAID controller's tool, which need
# the machine's devices, has the kernel load the BMC's, and tells what alerts held back. No
# mount namespace is made: it would hold a copy of the shared file system's mount.
HEALTH_NEEDS_NO_MORE = (
    ("UMask", "0077"),
    ("LockPersonality", "yes"),
    ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6 AF_NETLINK"),
    ("RestrictNamespaces", "yes"),
    ("RestrictRealtime", "yes"),
    ("RestrictSUIDSGID", "yes"),
    ("SystemCallArchitectures", "native"),
)

# Sections of a unit, a key with several values as several lines.
Unit = Mapping[str, Sequence[tuple[str, str]]]


def render(identity: Identity) -> tuple[ConfigFile, ...]:
    """The gate, the look at health, and drop-ins for the order in which things stop."""
    return (
        _unit(GATE, _gate()),
        _unit(HEALTH, _health()),
        _unit(HEALTH_TIMER, _health_timer()),
        _unit("corosync.service.d/ksbuild.conf", _corosync()),
        _unit("pacemaker.service.d/ksbuild.conf", {"Unit": [("Wants", HEALTH_TIMER)]}),
        _unit("resource-agents-deps.target.d/ksbuild.conf", _dependencies(identity)),
    )


def _gate() -> Unit:
    return {
        "Unit": [
            ("Description", "Starts the cluster once the other node is there"),
            # The cluster of an unfinished node is started by the agent alone.
            ("ConditionPathExists", "/var/lib/ksbuild/complete"),
            ("After", "NetworkManager.service firewalld.service"),
            # So it stops after them, and only then was this boot ended cleanly.
            ("Before", " ".join(CLUSTER)),
        ],
        "Service": [
            ("Type", "exec"),
            ("ExecStart", f"{AGENT} gate"),
            ("ExecStop", f"{AGENT} gate --stopped"),
            ("RemainAfterExit", "yes"),
            ("Restart", "on-failure"),
            ("RestartSec", "15"),
            ("StandardOutput", "journal+console"),
            *GATE_NEEDS_NO_MORE,
        ],
        "Install": [("WantedBy", "multi-user.target")],
    }


def _health() -> Unit:
    return {
        "Unit": [
            ("Description", "Tells the cluster how this node is as a place for guests"),
            ("ConditionPathExists", "/var/lib/ksbuild/complete"),
            ("After", "pacemaker.service"),
        ],
        "Service": [
            ("Type", "oneshot"),
            ("ExecStart", f"{AGENT} health --tell"),
            ("TimeoutStartSec", "120"),
            *HEALTH_NEEDS_NO_MORE,
        ],
    }


def _health_timer() -> Unit:
    """Wanted by pacemaker.service, and gone with it."""
    return {
        "Unit": [
            ("Description", "Looks after this node's health while its cluster runs"),
            ("PartOf", "pacemaker.service"),
            ("After", "pacemaker.service"),
        ],
        "Timer": [
            ("OnActiveSec", "15"),  # before guests come back to a node that has just joined
            ("OnUnitInactiveSec", f"{HEALTH_EVERY_S}"),
            ("AccuracySec", "5"),
        ],
    }


def _corosync() -> Unit:
    # network-online.target may be there without the bond; what is named here stops after corosync.
    return {"Unit": [("After", "NetworkManager.service")]}


def _dependencies(identity: Identity) -> Unit:
    """What pacemaker's resources need: started before it, stopped after it (pacemaker.service)."""
    # A guest is stopped or moved away by pacemaker, through libvirt.
    needed = ["network-online.target", "virtqemud.service", "virtlockd.service"]
    # systemd would unmount beside pacemaker's own stopping, whose monitor fences over a lost mount.
    stopped_later = [*needed, mount_unit(identity.pair.gfs2.mount)]
    return {"Unit": [("Wants", " ".join(needed)), ("After", " ".join(stopped_later))]}


def mount_unit(place: str) -> str:
    """The unit that systemd makes of what is mounted there (systemd-escape(1), --path)."""
    name = ""
    for byte in place.strip("/").encode():
        letter = chr(byte)
        if letter == "/":
            name += "-"
        elif UNESCAPED.match(letter) and (name or letter != "."):
            name += letter
        else:
            name += f"\\x{byte:02x}"
    return f"{name}.mount"


def _unit(name: str, sections: Unit) -> ConfigFile:
    blocks = (
        "\n".join([f"[{title}]", *(f"{key}={value}" for key, value in lines)])
        for title, lines in sections.items()
    )
    return ConfigFile(UNITS / name, "\n\n".join(blocks) + "\n")
