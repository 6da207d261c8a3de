"""Two nodes with real corosync and pacemaker in namespaces of this machine; needs root.

The CIB is ours as rendered, less fencing; pacemaker's Dummy stands in for every resource agent,
systemd and the rest of a node are played by Door. Run as a program it is ksnode on such a node.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from pathlib import Path

from firstboot import commands, latches
from firstboot.commands import Result
from firstboot.health import Finding
from firstboot.render import cib
from firstboot.verbs import health, poweroff
from tests.firstboot.clusterlab import guest, xml
from tests.firstboot.conftest import a_pair, an_identity

REPOSITORY = Path(__file__).parents[2]
NAMES = ("justinian", "julius")
CONFIGURATION = """totem {
 version: 2
 cluster_name: x
 transport: knet
}
nodelist {
 node {
  ring0_addr: 10.9.9.1
  name: justinian
  nodeid: 1
 }
 node {
  ring0_addr: 10.9.9.2
  name: julius
  nodeid: 2
 }
}
quorum {
 provider: corosync_votequorum
 two_node: 1
 wait_for_all: 1
}
logging {
 to_syslog: no
 to_logfile: yes
 logfile: LOG
}
"""
NODE = """cd FOLDER
hostname NAME
mount --bind FOLDER/etc /etc/corosync
for at in /run /var/lib/corosync /dev/shm /var/lib/pacemaker /var/log/pacemaker; do
    mount -t tmpfs none $at
done
mkdir -p /run/corosync /run/crm /run/resource-agents
mkdir /var/lib/pacemaker/cib /var/lib/pacemaker/pengine
chown -R hacluster:haclient /var/lib/pacemaker /var/log/pacemaker /run/crm
ip link set lo up
until ip link set port up 2>/dev/null; do sleep 0.1; done
ip address add 10.9.9.NUMBER/24 dev port
corosync -f &
echo $! >corosync.pid
until corosync-cfgtool -s >/dev/null 2>&1; do sleep 0.2; done
PCMK_logfile=/var/log/pacemaker/pacemaker.log PCMK_logfacility=none pacemakerd -f &
echo $! >pacemaker.pid
wait
sleep infinity
"""


class Nodes:
    """Both, from `with` on: a guest vm1 beside the file system, everything started."""

    before = ""  # what a node does first

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Nodes:
        """Start them and load the CIB. Raises TimeoutError."""
        for number, name in enumerate(NAMES, start=1):
            folder = self._folder / name
            (folder / "etc").mkdir(parents=True)
            text = CONFIGURATION.replace("LOG", str(folder / "corosync.log"))
            (folder / "etc/corosync.conf").write_text(text)
            script = (self.before + NODE).replace("FOLDER", str(folder)).replace("NAME", name)
            script = script.replace("NUMBER", str(number))
            namespaces = ["--mount", "--net", "--uts", "--ipc", "--pid", "--mount-proc"]
            argv = ["unshare", *namespaces, "--fork", "--kill-child", "sh", "-c", script]
            with (folder / "said").open("w") as said:
                self._running.append(subprocess.Popen(argv, stdout=said, stderr=said, text=True))
        first, second = (str(self._inside(name)) for name in NAMES)
        cable = ["ip", "link", "add", "port", "netns", first, "type", "veth"]
        subprocess.run([*cable, "peer", "name", "port", "netns", second], check=True)
        self.wait("both are online", lambda: self.shown().count('online="true"') == len(NAMES))
        (self._folder / "cib.xml").write_text(stand_in(guest(cib.text(a_pair()), "vm1")))
        load = "cibadmin --modify --allow-create --scope configuration --xml-file"
        self.on("justinian", *load.split(), str(self._folder / "cib.xml"))
        self.wait("the guest runs", lambda: self.where() != "")
        return self

    def __exit__(self, *_: object) -> None:
        """Whatever runs in them ends with them."""
        for node in self._running:
            node.kill()
            node.wait()

    def _inside(self, name: str) -> int:
        node = self._running[NAMES.index(name)].pid
        children = Path(f"/proc/{node}/task/{node}/children")
        while not (found := children.read_text().split()):
            time.sleep(0.05)
        return int(found[0])

    def start(self, name: str, *argv: str) -> subprocess.Popen[str]:
        """Start a program on a node."""
        into = ["nsenter", "--target", str(self._inside(name))]
        into += ["--mount", "--net", "--uts", "--ipc", "--pid"]
        return subprocess.Popen(
            [*into, "--", *argv],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=REPOSITORY,
        )

    def on(self, name: str, *argv: str) -> str:
        """What a program says on a node; AssertionError when it fails."""
        program = self.start(name, *argv)
        said, _ = program.communicate(timeout=120)
        assert program.returncode == 0, said
        return said

    def ksnode(self, name: str, *words: str) -> subprocess.Popen[str]:
        """Start ksnode on a node."""
        me = [sys.executable, "-m", "tests.pair.pacemakers", str(self._folder), name]
        return self.start(name, *me, *words)

    def typed(self, name: str, *words: str) -> tuple[int, str]:
        """ksnode's exit status on a node, and what it said."""
        program = self.ksnode(name, *words)
        said, _ = program.communicate(timeout=120)
        return program.returncode, said

    def shown(self, name: str = "justinian") -> str:
        """crm_mon's XML; "" while it does not answer."""
        program = self.start(name, "crm_mon", "--one-shot", "--output-as=xml")
        said, _ = program.communicate(timeout=60)
        return "" if program.returncode else said

    def where(self, name: str = "justinian") -> str:
        """The node that the guest is on, as that node's pacemaker tells."""
        shown = self.shown(name)
        node = xml(shown).find(".//resource[@id='vm1']/node") if shown else None
        return "" if node is None else node.get("name", "")

    def log(self, name: str) -> str:
        """pacemaker's log of a node."""
        return self.on(name, "cat", "/var/log/pacemaker/pacemaker.log")

    def wait(self, what: str, condition: Callable[[], bool], most_s: float = 90.0) -> None:
        """Until the condition holds. Raises TimeoutError."""
        end = time.monotonic() + most_s
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"{what}: not within {most_s:g} s")
            time.sleep(0.5)


def stand_in(text: str) -> str:
    """The CIB without fencing, Dummy for each agent and nothing promoted."""
    root = xml(text.replace('"stonith-enabled" value="true"', '"stonith-enabled" value="false"'))
    for parent in list(root.iter()):
        for child in list(parent):
            id_, name = child.get("id", ""), child.get("name", "")
            if (
                id_.startswith("ks-fence")
                or child.tag in ("instance_attributes", "operations")
                or name in ("target-role", "notify")
                or name.startswith("promot")
            ):
                parent.remove(child)
    for primitive in root.iter("primitive"):
        primitive.attrib.update({"provider": "pacemaker", "type": "Dummy"})
    for order in root.iter("rsc_order"):
        order.set("first-action", "start")
    for beside in root.iter("rsc_colocation"):
        beside.attrib.pop("rsc-role", None)
        beside.attrib.pop("with-rsc-role", None)
    return ET.tostring(root, encoding="unicode")


class Door:
    """The door for programs on such a node."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(
        self,
        argv: Sequence[str],
        *,
        stdin: str | None = None,
        ok: tuple[int, ...] = (0,),
        timeout_s: float = 120.0,
    ) -> Result:
        """Run it; systemctl stops the daemons, and writes down what becomes of the system."""
        if argv[0] != "systemctl":
            return commands.run(argv, stdin=stdin, ok=ok, timeout_s=timeout_s)
        if argv[1] == "stop":
            for daemon in ("pacemaker", "corosync"):
                self._stop(int((self._folder / f"{daemon}.pid").read_text()))
        else:
            (self._folder / "became").write_text(argv[1])
        return Result(tuple(argv), 0, "", "")

    def _stop(self, pid: int) -> None:
        os.kill(pid, signal.SIGTERM)
        while Path(f"/proc/{pid}/exe").exists() and os.readlink(f"/proc/{pid}/exe"):
            time.sleep(0.2)


def main(folder: Path, name: str, words: list[str]) -> int:
    """What was typed on that node."""
    root, identity = folder / name / "root", an_identity(name, "debian12-lab")
    (root / "run").mkdir(parents=True, exist_ok=True)
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/mounts").write_text("")
    latches.set_once(root, latches.COMPLETE, "")
    door = Door(folder / name)
    if words[0] == "tell":
        return int(not health.tell(identity, Finding(words[1], words[2], "as told"), door))
    setattr(poweroff, "run", door)  # noqa: B010 - this process has no other
    typed = argparse.Namespace(
        pair="--pair" in words, reboot=False, force=False, dry_run="--dry-run" in words
    )
    return poweroff.poweroff(identity, root, typed)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
