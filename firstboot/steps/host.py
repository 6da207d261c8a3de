"""What is the node's own: names, clock, kernel settings, logins, labels, whom it tells what."""

from collections.abc import Sequence
from pathlib import Path

from firstboot import files, teller, unread
from firstboot.configfile import ConfigFile
from firstboot.engine import Step
from firstboot.render import alerts, chrony, hosts, kernel, selinux, sshd
from firstboot.steps import Context

SYSTEMD_SYSCTL = "/usr/lib/systemd/systemd-sysctl"
KERNEL_READER, UDEV_READER = "sysctl", "udev"


class Host(Step):
    """Files, and the programs that read them told so. A program that does not run is left alone."""

    name = "host"

    def __init__(self, context: Context) -> None:
        identity = context.identity
        self._context = context
        self._selinux = selinux.render(identity)
        self._readers: dict[str, tuple[ConfigFile, ...]] = {
            "": (*hosts.render(identity), *self._selinux, *alerts.render(identity)),
            "chronyd": chrony.render(identity),
            "sshd": sshd.render(identity),
            KERNEL_READER: tuple(f for f in kernel.render(identity) if f.path == kernel.SYSCTL),
            UDEV_READER: tuple(f for f in kernel.render(identity) if f.path == kernel.UDEV),
        }

    def remark(self) -> str:
        """Why a webhook that is named is not told."""
        return teller.webhook(self._context.identity, self._context.root)[1]

    def check(self) -> Sequence[str]:
        """Files that differ, programs that have not read theirs, and settings not in effect."""
        root = self._context.root
        missing = files.differing(root, [f for own in self._readers.values() for f in own])
        for reader in self._readers:
            missing += unread.marked(root, reader) if reader else []
        for name, value in kernel.settings(self._context.identity).items():
            if (found := _setting(root, name)) != value:
                missing.append(f"{name} is {found}, not {value}")
        return missing + teller.missing(self._context.identity, root) + self._unlabelled()

    def apply(self) -> None:
        """Write what differs, then tell those who read it."""
        root = self._context.root
        for reader, own in self._readers.items():
            if reader and files.differing(root, own):
                unread.mark(root, reader)
            files.write(root, own)
        teller.provide(self._context.identity, root)
        if unread.marked(root, KERNEL_READER) or self._unset():
            self._context.run([SYSTEMD_SYSCTL, str(kernel.SYSCTL)])
            unread.clear(root, KERNEL_READER)
        if unread.marked(root, UDEV_READER):
            self._context.run(["udevadm", "control", "--reload"])
            unread.clear(root, UDEV_READER)
        self._tell("chronyd", "try-restart")
        self._tell("sshd", "try-reload-or-restart")
        if self._unlabelled():
            self._context.run(["semanage", "import", "-f", str(selinux.PATH)])

    def _tell(self, service: str, verb: str) -> None:
        """Have a running service read its files; one that is not installed reads none."""
        if unread.marked(self._context.root, service):
            # 5: no such unit (systemctl(1), "Exit status").
            self._context.run(["systemctl", "--no-block", verb, f"{service}.service"], ok=(0, 5))
            unread.clear(self._context.root, service)

    def _unset(self) -> bool:
        wanted = kernel.settings(self._context.identity)
        return any(_setting(self._context.root, name) != wanted[name] for name in wanted)

    def _unlabelled(self) -> list[str]:
        """Whether SELinux's local rules lack ours; libsemanage writes them where this looks."""
        if not self._selinux:
            return []
        if not any(self._context.root.glob(selinux.MODULES)):
            return [f"SELinux confines {selinux.PERMISSIVE}, in which DRBD can't run"]
        pattern = selinux.pattern(self._context.identity)
        for rules in self._context.root.glob("etc/selinux/*/contexts/files/file_contexts.local"):
            for line in rules.read_text(encoding="utf-8").splitlines():
                words = line.split()
                if words[:1] == [pattern] and f":{selinux.TYPE}:" in words[-1]:
                    return []
        return [f"SELinux has no label for {pattern}"]


def _setting(root: Path, name: str) -> str:
    return (root / "proc/sys" / name.replace(".", "/")).read_text(encoding="ascii").strip()
