"""Pair and role in, configuration files out: pure, one module per program configured.

The builder renders the same files for previews and tests that the agent writes and compares.
"""

from typing import Optional

from firstboot.configfile import ConfigFile
from firstboot.node import Identity
from firstboot.render import (
    alerts,
    chrony,
    cib,
    corosync,
    dlm,
    drbd,
    firewalld,
    hosts,
    kernel,
    ksm,
    libvirt,
    networkmanager,
    selinux,
    sshd,
    systemd,
)


def render(identity: Identity, ports: Optional[tuple[str, ...]] = None) -> tuple[ConfigFile, ...]:
    """Every file the agent keeps on this node, in a fixed order.

    `ports` as `networkmanager.render` has it.
    """
    return (
        *networkmanager.render(identity, ports),
        *firewalld.render(identity),
        *hosts.render(identity),
        *chrony.render(identity),
        *kernel.render(identity),
        *sshd.render(identity),
        *selinux.render(identity),
        *alerts.render(identity),
        *drbd.render(identity),
        *corosync.render(identity),
        *dlm.render(identity),
        *cib.render(identity),
        *systemd.render(identity),
        *ksm.render(identity),
        *libvirt.render(identity),
    )
