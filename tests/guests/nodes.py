"""A node as namespaces: its own /etc, network, processes and systemd, and this machine's libvirt.

systemd runs as a user's instance, which needs no machine of its own.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from firstboot import commands
from firstboot.commands import Result
from firstboot.node import Identity
from firstboot.render import hosts
from tests.firstboot.conftest import an_identity
from tests.guests import standins
from tests.guests.standins import DEFAULT_USER, QEMU_ID

NAMES = ("justinian", "julius")
UP = ("running\n", "degraded\n")
COPIED = ("passwd", "group", "nsswitch.conf", "ld.so.cache")
SCRIPT = """
mount --make-rprivate /
mount -t proc proc /proc
mkdir -p "$1/cgroup"; mount -t cgroup2 none "$1/cgroup"
mkdir -p "$1/cgroup/ksbuild-$2"; echo 0 > "$1/cgroup/ksbuild-$2/cgroup.procs"
exec unshare --cgroup sh -ec "$3" sh "$@"
"""
INSIDE = """
umount "$1/cgroup"; umount -l /sys/fs/cgroup || :; mount -t cgroup2 none /sys/fs/cgroup
for place in /run /var /srv; do mount -t tmpfs -o mode=755 tmpfs $place; done
mkdir -p /run/systemd/system /run/user/home /run/libvirt /run/lock /srv/vmdata
mkdir -p /var/lib/libvirt /var/log; mkdir -m 1777 /var/tmp; ln -s /run /var/run
# Without /dev/kvm: one that does not work has libvirt ask QEMU anew at every start of a guest.
mkdir "$1/dev"; mount -t tmpfs -o mode=755 tmpfs "$1/dev"; mkdir "$1/dev/pts" "$1/dev/shm"
for device in null zero full random urandom; do
  touch "$1/dev/$device"; mount --bind /dev/$device "$1/dev/$device"
done
mount -t devpts devpts "$1/dev/pts"; mount -t tmpfs tmpfs "$1/dev/shm"
mount --rbind "$1/dev" /dev; umount -R "$1/dev"
mount --bind "$4" /srv/vmdata
mount --bind "$1/etc" /etc
hostname "$2"
ip link set lo up
XDG_RUNTIME_DIR=/run/user HOME=/run/user/home /lib/systemd/systemd --user --log-target=console \
  >"$1/systemd.log" 2>&1 &
exec sleep infinity
"""


class Node:
    """One of the two; `root` is what its agent takes for /, of which it has /etc."""

    def __init__(self, name: str, folder: Path, images: Path) -> None:
        self.name, self.root, self._images = name, folder / name, images
        self.identity = on_a_network(name)
        self.pid = 0
        self._lay_etc()

    def _lay_etc(self) -> None:
        etc = self.root / "etc"
        (etc / "libvirt").mkdir(parents=True)
        for name in COPIED:
            shutil.copy(Path("/etc") / name, etc / name)
        shutil.copytree("/etc/alternatives", etc / "alternatives", symlinks=True)
        for name, number in (("qemu", QEMU_ID), DEFAULT_USER):
            with (etc / "passwd").open("a") as file:
                file.write(f"{name}:x:{number}:{number}::/:/usr/sbin/nologin\n")
            with (etc / "group").open("a") as file:
                file.write(f"{name}:x:{number}:\n")
        (etc / "hosts").write_text(hosts.render(self.identity)[0].text)
        (etc / "resolv.conf").touch()
        (self.root / "systemd.log").touch()
        self._lay_units(etc / "systemd/system")
        (etc / "systemd/user").symlink_to("system")

    def _lay_units(self, units: Path) -> None:
        units.mkdir(parents=True)
        number = f"{NAMES.index(self.name):08}-1111-2222-3333-444444444444"
        for name, text in standins.units(f'host_uuid = "{number}"'):
            (units / name).write_text(text)

    def start(self) -> None:
        """Returns once its systemd answers."""
        argv = ["unshare", "--mount", "--net", "--pid", "--uts", "--fork", "--kill-child"]
        argv += ["sh", "-ec", SCRIPT, "sh", str(self.root), self.name, INSIDE, str(self._images)]
        self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
        for _ in range(300):
            time.sleep(0.1)
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
            self.pid = int(children.read_text().split()[0] if children.read_text() else 0)
            if self.pid and self("systemctl", "is-system-running", ok=(0, 1)).stdout in UP:
                (self.root / "proc").symlink_to(f"/proc/{self.pid}")  # its own mounts
                return
        raise TimeoutError(f"{self.name}: {(self.root / 'systemd.log').read_text()}")

    def stop(self) -> None:
        """Everything in it ends with its first process."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        tidy = 'mount -t cgroup2 none "$1"; find "$1/ksbuild-$2" -depth -type d -exec rmdir {} +'
        argv = ["unshare", "--mount", "sh", "-ec", tidy, "sh", str(self.root / "cgroup"), self.name]
        for _ in range(50):  # until the kernel has buried the last process
            if subprocess.run(argv, capture_output=True, check=False).returncode == 0:
                return
            time.sleep(0.1)

    def __call__(self, *argv: str, ok: tuple[int, ...] = (0,)) -> Result:
        """Run a program on the node."""
        return self.run(argv, ok=ok)

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: "str | None" = None,
        ok: tuple[int, ...] = (0,),
        timeout_s: float = 60.0,
    ) -> Result:
        """The agent's door for programs, to the node's own."""
        program, *arguments = argv
        if program == "systemctl":
            arguments = ["--user", *arguments]
        inside = ["nsenter", f"--target={self.pid}", "--all", "env", "XDG_RUNTIME_DIR=/run/user"]
        inside.append("HOME=/run/user/home")
        return commands.run([*inside, program, *arguments], stdin=stdin, ok=ok, timeout_s=timeout_s)


def on_a_network(name: str) -> Identity:
    """The tests' pair, with its bond where two nodes can each have their end of it."""
    identity = an_identity(name)
    nodes = [
        replace(node, crossover_address=f"192.168.40.{number}/24")
        for number, node in enumerate(identity.pair.nodes, start=1)
    ]
    return replace(identity, pair=replace(identity.pair, nodes=(nodes[0], nodes[1])))


def join(first: Node, second: Node) -> None:
    """A cable between the two."""
    ends = ("ks-guests-a", "ks-guests-b")
    subprocess.run(["ip", "link", "add", ends[0], "type", "veth", "peer", ends[1]], check=True)
    for node, end in zip((first, second), ends, strict=True):
        subprocess.run(["ip", "link", "set", end, "netns", str(node.pid)], check=True)
        node("ip", "link", "set", end, "name", "bond0")
        node("ip", "address", "add", node.identity.me.crossover_address, "dev", "bond0")
        node("ip", "link", "set", "bond0", "up")
