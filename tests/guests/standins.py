"""What Debian 12 lacks of EL9's libvirt: units by those names, before its one daemon.

Debian's libvirtd does the work of EL9's virtqemud, virtstoraged and virtproxyd. It runs as
virtproxyd.service here, behind the sockets and the configuration that a node's agent lays.
"""

from collections.abc import Iterator

QEMU_ID = 9107  # of the user and group that EL9's qemu-kvm makes
DEFAULT_USER = ("libvirt-qemu", 9108)  # what Debian's libvirtd looks for before it reads qemu.conf
LOG = "/run/libvirtd.log"
_SOCKET = "[Socket]\nListenStream={}\n{}\n[Install]\nWantedBy=sockets.target\n"
# Guests go on when it stops. It stops after what stops them, as EL9's virtqemud does.
# It brings its socket along, or systemd would open that no more ("Socket service already active").
_SERVICE = """\
[Unit]
Requires={socket}
After={socket}
Before=resource-agents-deps.target

[Service]
KillMode=process
{start}
"""
_DAEMON = f"""\
ExecStartPre=/bin/sh -c "(cat /etc/libvirt/virtproxyd.conf; echo '{{}}') >/run/all"
StandardError=append:{LOG}
ExecStart=/usr/sbin/libvirtd --config /run/all"""
_IDLE = "ExecStart=/bin/sleep infinity"
_OWN = ("log", "lock")  # daemons that Debian has by EL9's names


def units(host_uuid: str) -> Iterator[tuple[str, str]]:
    """Name and text of each; `host_uuid` is a line of libvirtd.conf, as these hosts have no DMI."""
    sockets = {name: f"/run/stand-in/{name}" for name in ("qemu", "storage", "network", "nodedev")}
    sockets["proxy"] = "/run/libvirt/libvirt-sock"
    sockets |= {name: f"/run/libvirt/virt{name}d-sock" for name in _OWN}
    starts = {name: f"ExecStart=/usr/sbin/virt{name}d" for name in _OWN}
    starts["proxy"] = _DAEMON.format(host_uuid.replace('"', '\\"'))
    for name, place in sockets.items():
        named = "FileDescriptorName=libvirtd.socket\n" if name == "proxy" else ""
        yield f"virt{name}d.socket", _SOCKET.format(place, named)
        start = starts.get(name, _IDLE)
        text = _SERVICE.format(socket=f"virt{name}d.socket", start=start)
        yield f"virt{name}d.service", text
    tls = "FileDescriptorName=libvirtd-tls.socket\nService=virtproxyd.service\n"
    yield "virtproxyd-tls.socket", _SOCKET.format("16514", tls)
    yield "virt-guest-shutdown.target", "[Unit]\n"  # pacemaker's agent starts it beside a guest
    yield (
        "libvirt-guests.service",
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"
        "[Install]\nWantedBy=default.target\n",
    )
