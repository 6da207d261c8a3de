"""Two machines that run nothing but the agent's storage steps, on a root shared by hostfs.

No installation: Debian's root file system lies unpacked on the host and is mounted read-only; what
a node writes lies in folders of its own, so that it outlives a power cut.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from builder.plan.pair import pair
from builder.profile.load import load
from firstboot.node import SCHEMA, Identity, Pair, partition_uuid, to_json
from tests.firstboot.conftest import a_ca, a_leaf
from tests.uml.lab import Cable, Lab
from tests.uml.machine import Disk, Hardware, Machine, Nic

CHECKOUT = Path(__file__).resolve().parents[2]
PROFILE = CHECKOUT / "profiles/lab.toml"
MIB = 1 << 20
GUEST = "/usr/lib/storage-init"
# What a node keeps, as folders of the host.
KEPT = ("etc/ksbuild", "etc/drbd.d", "var/lib/ksbuild", "var/lib/drbd")

_INIT = """#!/bin/sh
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
for place in /run /tmp /mnt; do mount -t tmpfs tmpfs $place; done; mkdir /run/lock
for place in {kept}; do mount -t hostfs none /$place -o $KEPT_AT/$place; done
mkdir /mnt/checkout && mount -t hostfs none /mnt/checkout -o {checkout},ro
/lib/systemd/systemd-udevd --daemon && udevadm trigger && udevadm settle
hostname $NODE; ip link set lo up; ip address add $ADDRESS dev vec0; ip link set vec0 up
cd /mnt/checkout && PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/mnt/checkout \\
  python3 ${{PROGRAM:-tests/uml/storage_node.py}} $NODE $ADDRESS 2>&1
echo "storage: ended"
sleep 3600
"""


def unpack(rootfs: Path, target: Path) -> Path:
    """The image as a folder, with this test's init in it."""
    target.mkdir()
    subprocess.run(["tar", "-C", target, "-xf", rootfs], check=True)
    init = target / GUEST.lstrip("/")
    init.write_text(_INIT.format(kept=" ".join(KEPT), checkout=CHECKOUT))
    init.chmod(0o755)
    for place in (*KEPT, "proc", "sys", "dev", "run", "tmp", "mnt", "srv/vmdata"):
        (target / place).mkdir(parents=True, exist_ok=True)
    return target


class Node:
    """One of the pair: its folders and its disk, a GPT with the data partition alone."""

    def __init__(self, identity: Identity, ca: Path, folder: Path, disk_mib: int) -> None:
        self.identity = identity
        self.folder = folder
        for place in KEPT:
            (folder / place).mkdir(parents=True)
        a_leaf(ca, folder, identity.node)
        (folder / "etc/ksbuild/node.json").write_text(to_json(identity))
        secrets = folder / "etc/ksbuild/secrets"
        secrets.mkdir()
        (secrets / "drbd").write_text("5ec2e7" * 8)
        self.disk = folder / "disk"
        self.new_disk(disk_mib)

    def new_disk(self, mib: int, name: str = "ks-data") -> None:
        """A blank disk with its data partition."""
        self.disk.unlink(missing_ok=True)
        with self.disk.open("wb") as file:
            file.truncate(mib * MIB)
        uuid = partition_uuid(self.identity.pair.id, self.identity.node, "data")
        table = f'label: gpt\nstart=2048, size={(mib - 2) * 2048}, uuid={uuid}, name="{name}"\n'
        subprocess.run(
            ["sfdisk", "-q", self.disk], input=table, text=True, check=True, capture_output=True
        )

    def forget(self) -> None:
        """As a new operating system beside the old data partition."""
        for path in (self.folder / "var/lib/ksbuild").iterdir():
            path.unlink()

    def latches(self) -> set[str]:
        """What this node's latches say."""
        return {path.name for path in (self.folder / "var/lib/ksbuild").iterdir()}


class StoragePair:
    """Two such nodes and the cable between them."""

    def __init__(self, lab: Lab, root: Path, folder: Path, *, disk_mib: int = 192) -> None:
        self.lab, self.root, self.folder = lab, root, folder
        plan: Pair = pair(load(PROFILE).profile)
        plan = replace(plan, gfs2=replace(plan.gfs2, journal_mib=8))
        ca = a_ca(folder / "ca")
        self.cable: Cable = lab.cable()
        self.nodes = [
            Node(Identity(SCHEMA, node.name, plan), ca, folder / node.name, disk_mib)
            for node in plan.nodes
        ]
        self._boots = 0

    def start(self, number: int, environment: Sequence[str] = ()) -> Machine:
        """Switch one on; words NAME=VALUE reach its program's environment."""
        node = self.nodes[number]
        self._boots += 1
        end = self.cable.a if number == 0 else self.cable.b
        name = node.identity.node
        return Machine(
            self.lab,
            name,
            Hardware(disks=[Disk(node.disk)], nics=[Nic(f"52:54:00:0{number}:00:01", end)]),
            [
                *("root=/dev/root", "rootfstype=hostfs", f"rootflags={self.root}", "ro"),
                *(f"init={GUEST}", f"NODE={name}", f"KEPT_AT={node.folder}"),
                *(f"ADDRESS={node.identity.me.crossover_address}", *environment),
            ],
            console=self.folder / f"console-{self._boots}-{name}",
        )
