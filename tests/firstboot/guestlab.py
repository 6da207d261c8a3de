"""A node of a mounted pair, for what humans type about guests.

pacemaker is its own tools over a CIB in a file, and crm_simulate, which does what pacemaker would
each time somebody looks. libvirt is its own virsh and test driver, one of them for each node;
virt-install and qemu-img are what they are.
"""

import functools
import os
import re
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Optional

import pytest

from firstboot import files, latches
from firstboot.__main__ import main
from firstboot.commands import NOT_FOUND, CommandError, Result
from firstboot.guest import cluster
from firstboot.node import Identity, to_json
from firstboot.render import cib, libvirt
from tests.firstboot.clusterlab import UP_TO_DATE, online, simulate
from tests.firstboot.conftest import an_identity
from tests.firstboot.test_steps import lay

PACEMAKER = {"cibadmin", "crm_resource"}
MOUNTED = "/dev/drbd0 /srv/vmdata gfs2 rw,noatime,nodiratime 0 0"
DOMAIN = """\
<domain type="kvm">
  <name>vm1</name>
  <memory unit="MiB">512</memory>
  <vcpu>1</vcpu>
  <os><type arch="x86_64" machine="q35">hvm</type></os>
  <devices>
    <disk type="file" device="disk">
      <driver name="qemu" type="raw"/>
      <source file="/srv/vmdata/vm1.raw"/>
      <target dev="vda" bus="virtio"/>
    </disk>
    <interface type="bridge"><source bridge="br0"/><model type="virtio"/></interface>
    <console type="pty"/>
  </devices>
</domain>
"""


@functools.lru_cache
def mounted() -> str:
    """The CIB of a pair that is up."""
    return worked(online(cib.text(an_identity().pair), (UP_TO_DATE, UP_TO_DATE)))[1]


@functools.cache
def worked(before: str, *options: str) -> "tuple[list[str], str]":
    """What crm_simulate makes of a CIB, which is always the same."""
    with tempfile.TemporaryDirectory() as folder:
        return simulate(before, Path(folder), *options)


@functools.cache
def answer(argv: "tuple[str, ...]", of: str) -> Result:
    """What a program that only reads says of a file's content, which FILE stands for."""
    with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
        file.write(of)
        file.flush()
        here = [argument.replace("FILE", file.name) for argument in argv]
        environment = dict(os.environ, LANG="C.UTF-8", CIB_file=file.name)
        done = subprocess.run(here, capture_output=True, text=True, check=False, env=environment)
        return Result(argv, done.returncode, done.stdout, done.stderr)


class Lab:
    """Justinian as its agent sees it, and the door through which that runs programs."""

    def __init__(self, folder: Path) -> None:
        self.root, self.cib = folder / "root", folder / "cib.xml"
        self.identity: Identity = an_identity()
        self.done: list[str] = []  # what the agent ran
        self.actions: list[str] = []  # what pacemaker did
        self.hung = False  # pacemaker does nothing of what it is told
        self.failing: tuple[str, ...] = ()  # operations that fail, as crm_simulate has them
        self.without: set[str] = set()  # programs that are not installed
        lay(self.root, "etc/ksbuild/node.json", to_json(self.identity))
        lay(self.root, "proc/mounts", MOUNTED)
        (self.root / "run").mkdir()
        (self.root / "srv/vmdata").mkdir(parents=True)
        kept = (libvirt.QEMU_CONF, libvirt.LOCKD_CONF)
        files.write(self.root, [f for f in libvirt.render(self.identity) if f.path in kept])
        latches.set_once(self.root, latches.COMPLETE, "")
        self._settled = ""
        self.cib.write_text(mounted())
        self._domains: dict[str, str] = {}
        for node in self.identity.pair.nodes:
            self.domains(node.name)

    def domains(self, node: str, *descriptions: str) -> None:
        """What libvirt has there, outside the cluster."""
        found = "".join(d.replace('type="kvm"', 'type="test"') for d in descriptions)
        self._domains[node] = f"<node>{found}</node>"

    def ksnode(self, *typed: str) -> int:
        """As a human types it; 2 for wrong usage."""
        try:
            return main(["--root", str(self.root), "guest", *typed])
        except SystemExit as end:
            return int(end.code or 0)

    def place(self, name: str = "vm1", text: str = DOMAIN) -> Path:
        """A file with a domain's XML, wherever a human may have it."""
        path = self.root.parent / f"{name}.given.xml"
        path.write_text(text.replace("vm1", name))
        return path

    def image(self, name: str = "vm1.raw", kind: str = "raw", *more: str) -> Path:
        """An image on the shared file system."""
        path = self.root / "srv/vmdata" / name
        argv = ["qemu-img", "create", "-q", "-f", kind, *more, str(path), "1M"]
        subprocess.run(argv, check=True, capture_output=True)
        return path

    def configuration(self) -> str:
        """All that is not status."""
        found = ET.fromstring(self.cib.read_text()).find("configuration")  # noqa: S314
        assert found is not None
        return ET.tostring(found, encoding="unicode")

    def settle(self, *options: str) -> None:
        """Let pacemaker do what there is to do; it is added to `actions`."""
        before = self.cib.read_text()
        if options or before != self._settled:
            actions, self._settled = worked(before, *options)
            self.cib.write_text(self._settled)
            self.actions += actions

    def __call__(
        self,
        argv: Sequence[str],
        *,
        stdin: Optional[str] = None,
        ok: tuple[int, ...] = (0,),
        timeout_s: float = 0,
    ) -> Result:
        del timeout_s
        self.done.append(" ".join(argv))
        if argv[0] == "crm_mon" and not self.hung:
            self.settle(*(f"--op-fail={operation}" for operation in self.failing))
        result = self._ran(self._here(list(argv)), list(argv), stdin)
        if result.returncode not in ok:
            raise CommandError(result)
        return result

    def _here(self, argv: "list[str]") -> "list[str]":
        """The same command where there is no libvirt but the test driver's."""
        driver = {"virsh": "test://FILE", "virt-install": "test:///default"}.get(argv[0])
        if driver is not None:
            argv[argv.index("--connect") + 1] = driver
        return [self._path(argument) for argument in argv]

    def _node(self, argv: Sequence[str]) -> str:
        there = "qemu+tls://julius-bond/system" in argv
        return "julius" if there else "justinian"

    def _path(self, argument: str) -> str:
        return re.sub(r"(?<!\w)/srv/vmdata", f"{self.root}/srv/vmdata", argument)

    def _ran(self, here: "list[str]", argv: "list[str]", stdin: Optional[str]) -> Result:
        environment = dict(os.environ, LANG="C.UTF-8")
        if argv in (["cibadmin", "--query"], ["crm_mon", "--one-shot", "--output-as=xml"]):
            return answer(tuple(argv), self.cib.read_text())
        if here[0] in PACEMAKER:
            here, environment["CIB_file"] = list(argv), str(self.cib)
        if here[0] in self.without:
            return Result(tuple(argv), NOT_FOUND, "", "not installed")
        if here[0] == "virsh":
            return answer(tuple(here), self._domains[self._node(argv)])
        done = subprocess.run(
            here, input=stdin or "", capture_output=True, text=True, check=False, env=environment
        )
        shown = done.stdout
        if argv[0] == "virt-install":
            shown = shown.replace(str(self.root), "").replace('type="test"', 'type="kvm"')
        return Result(tuple(argv), done.returncode, shown, done.stderr)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Iterator[Lab]":
    made = Lab(tmp_path)
    monkeypatch.setattr("firstboot.verbs.guest.run", made)
    monkeypatch.setattr(cluster, "POLL_S", 400.0)  # what time is for, without its passing
    monkeypatch.setattr("firstboot.guest.cluster.time.sleep", lambda _: None)
    yield made
    assert "cli-" not in made.configuration(), "a move's constraint was left"


def add(lab: Lab, *typed: str, name: str = "vm1") -> int:
    return lab.ksnode("add", name, "--xml", str(lab.place(name)), *typed)
