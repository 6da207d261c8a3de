"""DRBD's resource on the data partitions: two primaries under fencing, in DRBD 9's or 8.4's words.

`fencing` stands in net{} since DRBD 9 and in disk{} before (drbd.conf(5) of either), and 9 calls
its own handlers. Both dialects are in one place so that they cannot grow apart.
"""

import ipaddress
from pathlib import PurePosixPath

from firstboot.configfile import ConfigFile, placeholder
from firstboot.node import RESOURCE, Identity, Node, Pair, partition_uuid
from firstboot.render.cib import DRBD_CLONE

FOLDER = PurePosixPath("/etc/drbd.d")
DEVICE = "/dev/drbd0"
SECRET = "drbd"  # noqa: S105 - the secret's name, not the secret
# Fastest resync either kernel takes: DRBD_C_MAX_RATE_MAX, 4 << 20 KiB/s (linux/drbd_limits.h).
FASTEST_MIB_S = 4096


def render(identity: Identity) -> tuple[ConfigFile, ...]:
    """The resource, private for its secret, and the common section that Debian and EL include."""
    pair = identity.pair
    return (
        ConfigFile(FOLDER / "global_common.conf", _common(pair)),
        ConfigFile(FOLDER / f"{RESOURCE}.res", _resource(pair), 0o600, (SECRET,)),
    )


def _common(pair: Pair) -> str:
    # What drbdsetup may take before drbdadm gives it up; 5 s is too short for a crowded machine.
    short = 5 * pair.cluster.timeout_factor
    return f"global {{\n    usage-count no;\n    cmd-timeout-short {short};\n}}\n"


def _resource(pair: Pair) -> str:
    new = pair.has("drbd9")
    disk = ["on-io-error detach;", *_resync(pair)]
    options = ["on-no-data-accessible suspend-io;"]
    fencing = "fencing resource-and-stonith;"
    if new:
        options += ["auto-promote no;", "quorum off;"]  # fencing decides, and pacemaker promotes
    sections = [
        _section("net", [*_net(pair), *([fencing] if new else [])]),
        _section("disk", disk if new else [fencing, *disk]),
        _section("options", options),
        _section("handlers", _handlers(pair)),
        *(_host(pair, number, node) for number, node in enumerate(pair.nodes)),
    ]
    return f"resource {RESOURCE} {{\n{''.join(sections)}}}\n"


def _net(pair: Pair) -> list[str]:
    factor = pair.cluster.timeout_factor
    return [
        "protocol C;",
        "allow-two-primaries yes;",
        # Data that differs is for a human; only a side without a change of its own gives way.
        "after-sb-0pri discard-zero-changes;",
        "after-sb-1pri disconnect;",
        "after-sb-2pri disconnect;",
        "rr-conflict disconnect;",
        "cram-hmac-alg sha256;",
        f'shared-secret "{placeholder(SECRET)}";',
        f"verify-alg {pair.drbd.verify};",
        # Seconds; the two timeouts are tenths of one, and must stay below these (drbdsetup(8)).
        "connect-int 10;",
        "ping-int 10;",
        f"timeout {min(60 * factor, 90)};",
        f"ping-timeout {min(10 * factor, 90)};",
        "max-buffers 8000;",
        "max-epoch-size 8000;",
    ]


def _resync(pair: Pair) -> list[str]:
    rate = min(pair.drbd.resync_mib_s, FASTEST_MIB_S)
    return [
        f"resync-rate {rate}M;",  # where the controller begins; the next is its limit
        f"c-max-rate {rate}M;",
        f"c-min-rate {min(rate, 16)}M;",
        "c-plan-ahead 20;",
        "c-fill-target 1M;",
    ]


def rates(pair: Pair) -> list[str]:
    """The same as drbdsetup's options."""
    return [f"--{line.rstrip(';').replace(' ', '=')}" for line in _resync(pair)]


def _handlers(pair: Pair) -> list[str]:
    """LINBIT's handlers, told to outlast a fencing: timeout >= dead time, dc-timeout > timeout.

    A half that is not in use when DRBD finds a split brain is not promoted until a human chose:
    each calls the other outdated, so pacemaker would mount both, under one dlm (seen 2026-11-27).
    DRBD refuses a promotion while its handler runs.
    """
    cluster = pair.cluster
    dead_s = cluster.token_ms * 22 // 10000  # token and consensus, 1.2 tokens (corosync.conf(5))
    timeout = max(90, dead_s + 60 * cluster.timeout_factor)
    arguments = f"--timeout {timeout} --dc-timeout {timeout + 10} --suicide-on-failure-if-primary"
    ban = f"crm_resource --ban --promoted --resource {DRBD_CLONE} --node $(uname -n)"
    if pair.has("drbd9"):
        return [
            f'fence-peer "/usr/lib/drbd/crm-fence-peer.9.sh {arguments}";',
            'unfence-peer "/usr/lib/drbd/crm-unfence-peer.9.sh";',
            f'split-brain "drbdadm role {RESOURCE} | grep ^Secondary && {ban}";',
        ]
    return [
        f'fence-peer "/usr/lib/drbd/crm-fence-peer.sh {arguments}";',
        'after-resync-target "/usr/lib/drbd/crm-unfence-peer.sh";',
        f'split-brain "grep ro:Secondary /proc/drbd && {ban}";',
    ]


def _host(pair: Pair, number: int, node: Node) -> str:
    """`on NAME`: DRBD compares the name with uname -n, and its handlers with corosync's nodes."""
    address = ipaddress.ip_interface(node.crossover_address).ip
    host = f"ipv4 {address}" if address.version == 4 else f"ipv6 [{address}]"
    disk = f"/dev/disk/by-partuuid/{partition_uuid(pair.id, node.name, 'data')}"
    lines = [
        *([f"node-id {number};"] if pair.has("drbd9") else []),
        f"device {DEVICE} minor 0;",
        f"disk {disk};",
        "meta-disk internal;",
        f"address {host}:{pair.drbd.port};",
    ]
    return _section(f"on {node.name}", lines)


def _section(title: str, lines: list[str]) -> str:
    body = "".join(f"        {line}\n" for line in lines)
    return f"    {title} {{\n{body}    }}\n"
