"""What %packages asks for: by which package each thing comes that a node's agent works with.

Where EL9 keeps them: `builder.packages.known`. What they bring: fence-agents.spec and libvirt.spec
of EL9, drbd9x-utils.spec and kmod-drbd9x.spec of github.com/elrepo/packages. gfs2 and dlm are in
kernel-modules-core, which every kernel brings (EL9's kernel, def_variants.yaml.rhel).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from builder.profile.model import Profile
from firstboot.node import CAPABILITIES

LAB = ("debian12-lab", "debian12-qemu")


@dataclass(frozen=True, slots=True)
class Source:
    """A package by its name on EL9, and on the lab's Debian ("": what it brings is there anyway).

    `brings` are programs, units, resource agents (as class:provider:type) and kernel modules;
    without the platform's capability `needs` nothing asks for them.
    """

    package: str
    debian: str
    brings: tuple[str, ...]
    needs: str = ""


# On every node.
_ALWAYS = (
    Source("NetworkManager", "network-manager", ("nmcli", "NetworkManager.service")),
    Source("audit", "", ("ausearch",), "selinux"),
    Source("chrony", "chrony", ("chronyc", "chronyd.service")),
    Source(
        "corosync",
        "corosync",
        ("corosync-cfgtool", "corosync-cmapctl", "corosync.service"),
    ),
    Source("dnf", "dnf", ("dnf",)),
    Source("grubby", "", ("grubby",)),
    Source("dlm", "dlm-controld", ("dlm_tool", "dlm_controld")),
    # ELRepo's; its module is built for one kernel, which the check of packages looks at.
    Source("drbd9x-utils", "", ("drbdadm", "drbdmeta", "drbdsetup", "ocf:linbit:drbd"), "drbd9"),
    Source("kmod-drbd9x", "", ("drbd.ko",), "drbd9"),
    Source("e2fsprogs", "e2fsprogs", ("chattr", "lsattr")),
    Source("firewalld", "firewalld", ("firewall-cmd", "firewalld.service"), "firewall"),
    Source("gfs2-utils", "gfs2-utils", ("mkfs.gfs2",)),
    Source("iproute", "iproute2", ("ip",)),
    Source("iputils", "iputils-ping", ("ping",)),
    Source("kmod", "kmod", ("modinfo", "modprobe")),
    Source("openssh", "", ("ssh-keygen",)),
    Source("openssh-server", "openssh-server", ("sshd.service",)),
    Source("openssl", "openssl", ("openssl",)),
    Source(
        "pacemaker",
        "pacemaker",
        (
            *("attrd_updater", "cibadmin", "crm_attribute", "crm_mon", "crm_resource"),
            *("crm_standby", "stonith_admin", "pacemaker.service", "ocf:pacemaker:controld"),
        ),
    ),
    # For people alone; the lab does without.
    Source("pcs", "", ("pcs",), "dmi"),
    Source("policycoreutils", "", ("restorecon",), "selinux"),
    Source("policycoreutils-python-utils", "", ("semanage",), "selinux"),
    Source("python3", "python3", ("python3",)),
    Source(
        "resource-agents",
        "resource-agents",
        ("ocf:heartbeat:Filesystem", "ocf:heartbeat:VirtualDomain"),
    ),
    # The lab's disks are files.
    Source("smartmontools", "", ("smartctl",), "dmi"),
    Source(
        "systemd",
        "",
        ("busctl", "journalctl", "systemctl", "/usr/lib/systemd/systemd-sysctl"),
    ),
    Source("systemd-udev", "udev", ("udevadm",)),
    Source(
        "util-linux",
        "util-linux",
        ("dmesg", "findmnt", "lsblk", "partx", "setpriv", "setsid", "sfdisk", "wipefs"),
    ),
)

# libvirt of EL 9.3 and later has these apart: guests, leases, the door for the other node.
_GUESTS = (
    Source("ksmtuned", "ksmtuned", ("ksm.service", "ksmtuned.service"), "ksm"),
    Source("libvirt-client", "libvirt-clients", ("virsh", "libvirt-guests.service")),
    Source("libvirt-daemon-driver-storage-core", "", ("virtstoraged.socket",)),
    Source(
        "libvirt-daemon-kvm",
        "",
        (
            *("virtqemud.socket", "virtqemud.service", "virtnetworkd.socket"),
            *("virtnodedevd.socket", "virtlogd.socket"),
        ),
    ),
    Source("libvirt-daemon-lock", "", ("virtlockd.socket", "virtlockd.service")),
    Source("libvirt-daemon-plugin-lockd", "", ("lockd.so",)),
    Source(
        "libvirt-daemon-proxy",
        "",
        ("virtproxyd.socket", "virtproxyd-tls.socket", "virtproxyd.service"),
    ),
    Source("qemu-img", "qemu-utils", ("qemu-img",)),
    Source("virt-install", "", ("virt-install",)),
)

# Debian's own DRBD 8.4 and all fence agents stand in.
_LAB = (
    Source("", "drbd-utils", ("drbdadm", "drbdmeta", "drbdsetup", "ocf:linbit:drbd")),
    Source("", "fence-agents", ("fence_ipmilan", "fence_redfish")),
    Source("", "pacemaker-cli-utils", ("crm_mon", "crm_resource")),
)

# By the profile's fence devices. The module of ipmitool's in-band door is the kernel's; that is
# where the account for Redfish is made as well.
_IPMI = Source("ipmitool", "ipmitool", ("ipmitool",))
_BY_IPMI = Source("fence-agents-ipmilan", "", ("fence_ipmilan", "fence_ilo4", "fence_ilo5"))
_BY_REDFISH = Source("fence-agents-redfish", "", ("fence_redfish",))
_FENCING = {
    "ipmilan": (_IPMI, _BY_IPMI),
    "ilo4": (_IPMI, _BY_IPMI),
    "ilo5": (_IPMI, _BY_IPMI),
    "redfish": (_IPMI, _BY_REDFISH),
    "custom": (),  # a command of the profile's own; install.packages names its package
}


def sources(profile: Profile) -> tuple[Source, ...]:
    """Where everything comes from that the profile's nodes work with."""
    return tuple(dict.fromkeys(_sources(profile)))


def packages(profile: Profile) -> tuple[str, ...]:
    """The lines of %packages: groups first, each once, the profile's own among them."""
    lab = profile.pair.platform in LAB
    names = (source.debian if lab else source.package for source in sources(profile))
    wanted = {"@core", *filter(None, names), *profile.install.packages}
    return tuple(sorted(wanted, key=lambda name: (name[0] != "@", name)))


def _sources(profile: Profile) -> Iterator[Source]:
    capabilities = CAPABILITIES[profile.pair.platform]
    for source in (*_ALWAYS, *_GUESTS):
        if not source.needs or source.needs in capabilities:
            yield source
    if profile.pair.platform in LAB:
        yield from _LAB
    for node in profile.node:
        for device in node.fencing:
            yield from _FENCING[device.agent]
