"""libvirt: configured, its sockets open, the pair's leaves where it looks for them, one pool.

Guests are pacemaker's: libvirt itself starts, suspends and stops none.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

from firstboot import files, mount, units, unread, virsh
from firstboot.engine import Refused, Step, StepFailed
from firstboot.render import libvirt, selinux
from firstboot.render.libvirt import Credential
from firstboot.rendezvous.credentials import FOLDERS, PAIR
from firstboot.steps import Context

# The service behind each starts with the first connection and goes when idle; virtlockd stays as
# long as it holds a lease, and is never restarted here, for that would drop them all.
SOCKETS = (
    *("virtlogd.socket", "virtlockd.socket", "virtqemud.socket", "virtstoraged.socket"),
    *("virtnetworkd.socket", "virtnodedevd.socket", "virtproxyd.socket", "virtproxyd-tls.socket"),
)
TLS_SOCKET = SOCKETS[-1]
SUSPENDER = "libvirt-guests.service"  # would suspend what pacemaker wants to move or stop
QEMU_READER, PROXY_READER = "virtqemud", "virtproxyd"
DEFAULT_NETWORK = Path("etc/libvirt/qemu/networks/autostart/default.xml")
LISTENING_S = 30
OPEN = 0o755  # a folder that others than root enter, whatever the agent's umask


class Guests(Step):
    """What a guest needs on both nodes to be started, leased and moved."""

    name = "guests"

    def __init__(self, context: Context, sleep: Callable[[float], None] = time.sleep) -> None:
        self._context = context
        self._sleep = sleep
        self._files = libvirt.render(context.identity)
        self._folder = context.root / context.identity.pair.gfs2.mount.lstrip("/")

    def check(self) -> Sequence[str]:
        """Files, leaves, units, the default network and the pool, in words."""
        root, run = self._context.root, self._context.run
        missing = files.differing(root, self._files)
        missing += [f"{c.path} is not the pair's {c.name}" for c in self._stale()]
        missing += [f"/{folder} keeps QEMU out" for folder in self._shut()]
        missing += unread.marked(root, QEMU_READER) + unread.marked(root, PROXY_READER)
        if not_open := self._not_open():
            return [*missing, *not_open]
        found = units.states(run, [SUSPENDER])[SUSPENDER]
        if found.enabled or found.active:
            missing.append(f"{SUSPENDER} is {'enabled' if found.enabled else 'active'}")
        if (root / DEFAULT_NETWORK).is_symlink():
            missing.append("the network default starts by itself")
        return missing + self._unlabelled() + self._pool_faults()

    def apply(self) -> None:
        """All of it, in that order; guests that run go on."""
        self._write()
        self._open()
        self._keep_from_suspending()
        # libvirt's own way would start the network first: its daemon does so as it starts.
        (self._context.root / DEFAULT_NETWORK).unlink(missing_ok=True)
        if self._unlabelled():
            files.relabel([self._folder])
        virsh.make_pool(self._context.run, virsh.pool(self._context.run))

    def _unlabelled(self) -> list[str]:
        """A file system just made has no label, and libvirt may not look into it then."""
        place = self._context.identity.pair.gfs2.mount
        if mount.options(mount.table(self._context.root), place) is None:
            return []  # what lies below it is not for guests
        found = files.label(self._folder)
        if found is None or f":{selinux.TYPE}:" in found:
            return []
        return [f"{place} is labelled {found}, not {selinux.TYPE}"]

    def _pool_faults(self) -> list[str]:
        found, place = virsh.pool(self._context.run), self._context.identity.pair.gfs2.mount
        name = libvirt.POOL_NAME
        if found is None:
            return [f"there is no storage pool {name}"]
        if found.path != place:
            raise Refused(
                f"the storage pool {name} is at {found.path}, not {place}",
                f"virsh pool-destroy {name}; virsh pool-undefine {name}; ksnode run",
            )
        faults = [] if found.active else [f"the storage pool {name} is not started"]
        return faults if found.autostart else [*faults, f"{name} does not start by itself"]

    def _write(self) -> None:
        root = self._context.root
        of_proxy = [f for f in self._files if f.path in (libvirt.PROXY_CONF, libvirt.SOCKET)]
        of_qemu = [f for f in self._files if f.path in (libvirt.QEMU_CONF, libvirt.LOCKD_CONF)]
        stale = self._stale()
        if stale or files.differing(root, of_proxy):
            unread.mark(root, PROXY_READER)
        if files.differing(root, of_qemu):
            unread.mark(root, QEMU_READER)
        files.write(root, self._files)
        for credential in stale:
            self._copy(credential)
        for folder in self._shut():
            (root / folder).chmod(OPEN)

    def _open(self) -> None:
        """Sockets listen as now written, and daemons that run read their files anew."""
        root, run = self._context.root, self._context.run
        if unread.marked(root, PROXY_READER):
            # A socket can't be started while its service runs; the next connection starts that.
            run(["systemctl", "daemon-reload"])
            run(["systemctl", "--no-block", "stop", "virtproxyd.service"], ok=(0, 5))
            run(["systemctl", "--no-block", "restart", TLS_SOCKET])
            unread.clear(root, PROXY_READER)
        run(["systemctl", "enable", *SOCKETS])
        run(["systemctl", "--no-block", "start", *SOCKETS])
        if unread.marked(root, QEMU_READER):
            run(["systemctl", "--no-block", "try-restart", "virtqemud.service"])
            unread.clear(root, QEMU_READER)
        for _ in range(LISTENING_S):
            if not self._not_open():
                return
            self._sleep(1.0)
        raise StepFailed(self.name, self._not_open())

    def _not_open(self) -> list[str]:
        found = units.states(self._context.run, SOCKETS)
        return [
            f"{name} is not {'listening' if unit.enabled else 'enabled'}"
            for name, unit in found.items()
            if not (unit.enabled and unit.active)
        ]

    def _keep_from_suspending(self) -> None:
        run = self._context.run
        if units.states(run, [SUSPENDER])[SUSPENDER].enabled:
            run(["systemctl", "disable", SUSPENDER])
        if not units.states(run, [SUSPENDER])[SUSPENDER].active:
            return
        if running := virsh.guests(run):
            raise Refused(
                f"{SUSPENDER} is active: stopping it would suspend {', '.join(running)}",
                f"move them to the peer, then: systemctl stop {SUSPENDER}; ksnode run",
            )
        run(["systemctl", "stop", SUSPENDER])

    def _shut(self) -> list[Path]:
        """QEMU, which is not root, looks for its credentials in these."""
        folders = [path.relative_to("/") for path in (libvirt.CLIENT_PKI, libvirt.QEMU_PKI)]
        there = [Path(folder) for folder in folders if (self._context.root / folder).is_dir()]
        return [f for f in there if (self._context.root / f).stat().st_mode & 0o5 != 0o5]

    def _stale(self) -> list[Credential]:
        return [c for c in libvirt.CREDENTIALS if not self._same(c)]

    def _same(self, credential: Credential) -> bool:
        target = self._target(credential)
        try:
            found = target.stat()
            same_content = target.read_bytes() == self._source(credential).read_bytes()
        except FileNotFoundError:
            return False
        owner = (found.st_uid, found.st_gid, found.st_mode & 0o7777)
        return same_content and owner == (0, self._group(credential.group), credential.mode)

    def _copy(self, credential: Credential) -> None:
        """Until it has its group, a key is readable by root alone."""
        target = self._target(credential)
        files.make_folder(target.parent)
        files.replace(target, self._source(credential).read_bytes(), credential.mode)
        os.chown(target, 0, self._group(credential.group))

    def _source(self, credential: Credential) -> Path:
        return self._context.root / FOLDERS[PAIR] / credential.name

    def _target(self, credential: Credential) -> Path:
        return self._context.root / credential.path.relative_to("/")

    def _group(self, name: str) -> int:
        for line in (self._context.root / "etc/group").read_text(encoding="utf-8").splitlines():
            group, _, number = line.split(":")[:3]
            if group == name:
                return int(number)
        raise Refused(f"there is no group {name}", "dnf install qemu-kvm, then: ksnode run")
