"""A pair of nodes with everything the step lays, and the guest that the tests run on them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from firstboot import commands
from firstboot.commands import Result
from firstboot.rendezvous import authority
from firstboot.rendezvous.session import Meeting
from firstboot.rendezvous.store import Store
from firstboot.steps import Context
from firstboot.steps.guests import Guests
from tests.firstboot.conftest import Told
from tests.guests import standins
from tests.guests.nodes import NAMES, Node, join

IMAGE = "/srv/vmdata/vm1.raw"
GUEST = f"""\
<domain type="qemu" xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0">
  <name>vm1</name>
  <memory unit="MiB">32</memory>
  <os><type arch="x86_64" machine="pc">hvm</type></os>
  <devices>
    <disk type="file" device="disk">
      <driver name="qemu" type="raw" cache="none" io="native"/>
      <source file="{IMAGE}"/>
      <target dev="vda" bus="virtio"/>
    </disk>
    <controller type="usb" model="none"/>
    <memballoon model="none"/>
  </devices>{{}}
</domain>
"""


class Two:
    """Both nodes, and the CA of their pair."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.images = folder, folder / "images"
        self.images.mkdir()
        self.said: dict[str, list[str]] = {}  # what each libvirt said when it started
        self.first, self.second = self.nodes = [Node(n, folder, self.images) for n in NAMES]
        make_ca(folder / "ca")
        for node in self.nodes:
            give_leaves(folder / "ca", node)

    def step(self, node: Node) -> Guests:
        meeting = Meeting(node.identity, node.root, "boot")
        return Guests(Context(node.identity, node.root, node.run, Told(), meeting))

    def guest(self, more: str = "") -> str:
        """Where its XML lies; the image is there as well."""
        (self.images / "vm1.xml").write_text(GUEST.format(more))
        with (self.images / "vm1.raw").open("ab") as file:
            file.truncate(8 << 20)
        return "/srv/vmdata/vm1.xml"

    def running(self) -> list[str]:
        """The nodes on which the guest runs."""
        return [n.name for n in self.nodes if "vm1" in virsh(n, "list", "--name").stdout.split()]


def make_ca(folder: Path) -> None:
    folder.mkdir()
    authority.make_key(commands.run, folder / "ca.key")
    (folder / "ca.crt").write_text(authority.sign_itself(commands.run, folder / "ca.key", "pair"))


def give_leaves(ca: Path, node: Node) -> None:
    at = Store(node.root)
    at.put(at.ca, (ca / "ca.crt").read_text())
    for key, leaf, name in (
        (at.key, at.leaf, node.name),
        (at.guests_key, at.guests_leaf, f"{node.name}-bond"),
    ):
        authority.make_key(commands.run, key)
        asked = authority.request(commands.run, key, name)
        at.put(leaf, authority.sign(commands.run, ca, asked, name))


def virsh(node: Node, *arguments: str) -> Result:
    return node("virsh", "--connect", "qemu:///system", *arguments)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    two = Two(tmp_path_factory.mktemp("guests"))
    started: list[Node] = []
    try:
        for node in two.nodes:
            started.append(node)
            node.start()
        join(two.first, two.second)
        for node in two.nodes:
            before = os.umask(0o077)  # the agent's own
            try:
                two.step(node).apply()
            finally:
                os.umask(before)
            two.said[node.name] = node("cat", standins.LOG).stdout.splitlines()
        yield two
    finally:
        for node in started:
            node.stop()


@pytest.fixture
def no_guest(two: Two) -> Iterator[None]:
    yield
    for node in two.nodes:
        node("virsh", "--connect", "qemu:///system", "destroy", "vm1", ok=(0, 1))


@pytest.fixture(params=NAMES)
def node(two: Two, request: pytest.FixtureRequest) -> Node:
    return two.nodes[NAMES.index(request.param)]
