"""corosync.conf: two knet links, the bond first, encrypted, two votes that wait for each other."""

from pathlib import PurePosixPath

from firstboot.configfile import ConfigFile
from firstboot.node import Identity, Node, Pair

PATH = PurePosixPath("/etc/corosync/corosync.conf")
# Passive mode uses the link with the highest number that is up (corosync.conf(5), link_mode).
BOND_PRIORITY, UPLINK_PRIORITY = 10, 1


def render(identity: Identity) -> tuple[ConfigFile, ...]:
    """corosync.conf, the same text on both nodes."""
    return (ConfigFile(PATH, _text(identity.pair)),)


# corosync's parser wants `{` at the end of its line and `}` on one of its own.
QUORUM_AND_LOGGING = """\
quorum {
    provider: corosync_votequorum
    two_node: 1
    # two_node implies it; said so that nobody takes it away: a node that starts alone must not
    # fence the peer that it has not seen yet.
    wait_for_all: 1
}

logging {
    to_logfile: no
    to_syslog: yes
}
"""


def _text(pair: Pair) -> str:
    nodes = "\n".join(_node(node, number) for number, node in enumerate(pair.nodes, start=1))
    return f"""\
# Made by ksbuild from the profile; a change by hand shows as drift in: ksnode status
totem {{
    version: 2
    cluster_name: {pair.name}
    transport: knet
    ip_version: ipv4
    # Without encryption anybody on the uplink could stop the cluster (CVE-2025-30472).
    crypto_cipher: aes256
    crypto_hash: sha256
    token: {pair.cluster.token_ms}

    interface {{
        linknumber: 0
        knet_link_priority: {BOND_PRIORITY}
    }}

    interface {{
        linknumber: 1
        knet_link_priority: {UPLINK_PRIORITY}
    }}
}}

nodelist {{
{nodes}
}}

{QUORUM_AND_LOGGING}"""


def _node(node: Node, number: int) -> str:
    return f"""\
    node {{
        ring0_addr: {_host(node.crossover_address)}
        ring1_addr: {_host(node.uplink.address)}
        name: {node.name}
        nodeid: {number}
    }}"""


def _host(address: str) -> str:
    return address.split("/", maxsplit=1)[0]
