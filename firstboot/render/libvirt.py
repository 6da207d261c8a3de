"""libvirt: guests' disks leased, migrations encrypted and over the bond alone, one storage pool.

The defaults are EL9's, with its modular daemons; what stands here is what differs.
"""

import ipaddress
import uuid
from dataclasses import dataclass
from pathlib import PurePosixPath

from firstboot.configfile import ConfigFile
from firstboot.node import RESOURCE, Identity
from firstboot.render.hosts import on_bond

QEMU_CONF = PurePosixPath("/etc/libvirt/qemu.conf")
LOCKD_CONF = PurePosixPath("/etc/libvirt/qemu-lockd.conf")
PROXY_CONF = PurePosixPath("/etc/libvirt/virtproxyd.conf")
SOCKET = PurePosixPath("/etc/systemd/system/virtproxyd-tls.socket.d/ksbuild.conf")
POOL = PurePosixPath("/etc/ksbuild/pool.xml")
POOL_NAME = RESOURCE
TLS_PORT = 16514
PORTS = (49152, 49215)  # of incoming migrations; the ones libvirt has by itself
QEMU = "qemu"  # user and group of EL9's guests

# Where programs look that are given no other place: virsh as a client, virtproxyd, QEMU.
CLIENT_PKI, PROXY_PKI = PurePosixPath("/etc/pki"), PurePosixPath("/etc/pki/libvirt")
QEMU_PKI = PurePosixPath("/etc/pki/qemu")


@dataclass(frozen=True)
class Credential:
    """A file of the pair's credentials, by name, and where a program wants a copy of it.

    Keys are readable by root alone, or by `group` as well.
    """

    name: str
    path: PurePosixPath
    mode: int
    group: str = "root"


# A guest that broke out of QEMU may read QEMU's key. So it is not the node's own: the leaf "guests"
# opens neither the peer's libvirt (tls_allowed_dn_list) nor a session of the agents.
CREDENTIALS = (
    Credential("ca.crt", CLIENT_PKI / "CA/cacert.pem", 0o644),
    Credential("node.crt", PROXY_PKI / "clientcert.pem", 0o644),
    Credential("node.key", PROXY_PKI / "private/clientkey.pem", 0o600),
    Credential("guests.crt", PROXY_PKI / "servercert.pem", 0o644),
    Credential("guests.key", PROXY_PKI / "private/serverkey.pem", 0o600),
    Credential("ca.crt", QEMU_PKI / "ca-cert.pem", 0o644),
    Credential("guests.crt", QEMU_PKI / "server-cert.pem", 0o644),
    Credential("guests.key", QEMU_PKI / "server-key.pem", 0o640, QEMU),
    Credential("guests.crt", QEMU_PKI / "client-cert.pem", 0o644),
    Credential("guests.key", QEMU_PKI / "client-key.pem", 0o640, QEMU),
)


def render(identity: Identity) -> tuple[ConfigFile, ...]:
    """Configuration of the daemons, the socket's drop-in and the pool."""
    return (
        ConfigFile(QEMU_CONF, _qemu(identity), mode=0o600),
        ConfigFile(LOCKD_CONF, _LOCKD),
        ConfigFile(PROXY_CONF, _proxy(identity)),
        ConfigFile(SOCKET, _socket(identity)),
        ConfigFile(POOL, _pool(identity)),
    )


def _qemu(identity: Identity) -> str:
    first, last = PORTS
    return f"""\
# Made by ksbuild from the profile; read when virtqemud starts. Guests go on meanwhile.

# The keys of migrations are this group's to read.
user = "{QEMU}"
group = "{QEMU}"

# No guest starts without a lease on each of its disks: qemu-lockd.conf.
lock_manager = "lockd"

# A migration goes over the bond, encrypted, between two nodes of this pair, or not at all.
migrate_tls_force = 1
default_tls_x509_cert_dir = "{QEMU_PKI}"
default_tls_x509_verify = 1
migration_host = "{on_bond(identity.node)}"
migration_address = "{_bond(identity)}"
migration_port_min = {first}
migration_port_max = {last}
"""


# Leases in a folder of the shared file system ("file_lockspace_dir") would keep virtqemud from
# starting while that is not mounted, and lease something else when it is another folder by then.
_LOCKD = """\
# Made by ksbuild; read when virtqemud starts.

# The lease on a disk is a POSIX lock on the image itself, which GFS2 keeps on both nodes.
auto_disk_leases = 1

# A guest with a disk that can't be leased does not start.
require_lease_for_disks = 1
"""


def _proxy(identity: Identity) -> str:
    return f"""\
# Made by ksbuild from the profile; read when virtproxyd starts.

# Who gets in over TLS is root here: the other node, by its own leaf, and nobody else.
tls_allowed_dn_list = ["CN={identity.peer.name}"]
"""


def _socket(identity: Identity) -> str:
    return f"""\
[Socket]
# The bond alone; it may come after this socket.
ListenStream=
ListenStream={_bond(identity)}:{TLS_PORT}
FreeBind=yes
"""


def _pool(identity: Identity) -> str:
    """The same on both nodes, uuid included."""
    number = uuid.uuid5(uuid.UUID(identity.pair.id), "pool")
    return f"""\
<pool type="dir">
  <name>{POOL_NAME}</name>
  <uuid>{number}</uuid>
  <target>
    <path>{identity.pair.gfs2.mount}</path>
  </target>
</pool>
"""


def _bond(identity: Identity) -> str:
    return str(ipaddress.ip_interface(identity.me.crossover_address).ip)
