"""What the step lays is what libvirt, QEMU and pacemaker's agent work with, between two nodes.

The folder of images stands for GFS2. It lies on one machine, so its locks are the kernel's own; and
libvirt, which knows GFS2 for a shared file system, has to be told that this one is (--unsafe).
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from firstboot.commands import CommandError, Result
from firstboot.engine import Refused
from firstboot.guest.domain import complete
from firstboot.guest.resource import Guest, additions
from firstboot.rendezvous.store import Store
from tests.firstboot.clusterlab import xml
from tests.firstboot.conftest import an_identity
from tests.guests.conftest import IMAGE, Two, give_leaves, make_ca, virsh
from tests.guests.nodes import Node
from tests.guests.standins import QEMU_ID

pytestmark = [pytest.mark.qemu, pytest.mark.usefixtures("no_guest")]
PARAMETERS = ".//instance_attributes/nvpair"
AGENT = "/usr/lib/ocf/resource.d/heartbeat/VirtualDomain"
# What is not there, and a migration_host that is a name, as it should be.
NOISE = "dnsmasq|ethtool|dmi|/dev/kvm|system bus|Cannot parse socket address '[a-z]+-bond'"
# Without its own lock on the image, which it takes before libvirt has the lease on it.
TWO_WRITERS = """
  <qemu:override><qemu:device alias="virtio-disk0"><qemu:frontend>
    <qemu:property name="share-rw" type="bool" value="true"/>
  </qemu:frontend></qemu:device></qemu:override>
"""


def test_nothing_is_missing_afterwards(two: Two, node: Node) -> None:
    assert not two.step(node).check()
    said = [line for line in two.said[node.name] if ": error :" in line]
    assert said, "its log was not seen at all"
    assert not [line for line in said if not re.search(NOISE, line)]


def test_drift_is_seen_and_put_right(two: Two, node: Node) -> None:
    network = node.root / "etc/libvirt/qemu/networks/autostart/default.xml"
    network.parent.mkdir(parents=True, exist_ok=True)
    network.symlink_to("../default.xml")
    virsh(node, "pool-destroy", "vmdata")
    virsh(node, "pool-autostart", "vmdata", "--disable")
    node("systemctl", "enable", "--now", "libvirt-guests.service")
    node("systemctl", "disable", "--now", "virtstoraged.socket")
    assert two.step(node).check() == ["virtstoraged.socket is not enabled"]
    node("systemctl", "enable", "--now", "virtstoraged.socket")
    assert two.step(node).check() == [
        "libvirt-guests.service is enabled",
        "the network default starts by itself",
        "the storage pool vmdata is not started",
        "vmdata does not start by itself",
    ]
    two.step(node).apply()
    assert not two.step(node).check()


def test_what_would_suspend_a_guest_is_not_stopped(two: Two) -> None:
    virsh(two.first, "create", two.guest())
    two.first("systemctl", "start", "libvirt-guests.service")
    with pytest.raises(Refused, match="would suspend vm1"):
        two.step(two.first).apply()
    two.first("systemctl", "stop", "libvirt-guests.service")
    assert not two.step(two.first).check()


def test_anothers_pool_is_left_alone(two: Two) -> None:
    pool = "<pool type='dir'><name>vmdata</name><target><path>/tmp</path></target></pool>"
    (two.images / "other.xml").write_text(pool)
    for verb in ("pool-destroy", "pool-undefine"):
        virsh(two.first, verb, "vmdata")
    virsh(two.first, "pool-define", "/srv/vmdata/other.xml")
    with pytest.raises(Refused, match="vmdata is at /tmp, not /srv/vmdata"):
        two.step(two.first).check()
    virsh(two.first, "pool-undefine", "vmdata")
    assert two.step(two.first).check() == ["there is no storage pool vmdata"]
    two.step(two.first).apply()
    assert not two.step(two.first).check()


def test_tls_is_open_on_the_bond_alone(node: Node) -> None:
    listening = node("ss", "-Hltn", "sport = :16514").stdout.split()
    assert listening[3::5] == [f"{node.identity.me.crossover_address.split('/')[0]}:16514"]


def test_qemu_alone_reads_its_key(node: Node) -> None:
    keys = {path.name: path for path in (node.root / "etc/pki").rglob("*key.pem")}
    modes = {name: (p.stat().st_gid, p.stat().st_mode & 0o777) for name, p in keys.items()}
    qemus, roots = (QEMU_ID, 0o640), (0, 0o600)
    assert modes == {
        "server-key.pem": qemus, "client-key.pem": qemus,
        "serverkey.pem": roots, "clientkey.pem": roots,
    }  # fmt: skip


def test_the_pool_shows_the_images(two: Two, node: Node) -> None:
    two.guest()
    virsh(node, "pool-refresh", "vmdata")
    assert IMAGE in virsh(node, "vol-list", "vmdata").stdout
    info = virsh(node, "pool-info", "vmdata").stdout
    assert re.search(r"State: +running", info)
    assert re.search(r"Autostart: +yes", info)


def test_an_image_is_open_on_one_node_alone(two: Two) -> None:
    place = two.guest()
    virsh(two.first, "create", place)
    with pytest.raises(CommandError, match='Failed to get "write" lock'):
        virsh(two.second, "create", place)
    assert two.running() == ["justinian"]


def test_its_lease_alone_would_do(two: Two) -> None:
    place = two.guest(TWO_WRITERS)
    virsh(two.first, "create", place)
    with pytest.raises(CommandError, match=rf"resource '{IMAGE}' is locked"):
        virsh(two.second, "create", place)
    virsh(two.first, "destroy", "vm1")
    virsh(two.second, "create", place)


def test_a_guest_as_ksnode_writes_it_is_leased_whoever_starts_it(two: Two) -> None:
    """By pacemaker's agent on one node, and then by it, virsh create and virsh start elsewhere."""
    place = two.guest()
    given = (two.images / "vm1.xml").read_text().replace(' cache="none" io="native"', "")
    made = complete(given, "vm1", an_identity().pair, "")
    assert made.completed
    (two.images / "vm1.xml").write_text(made.text)
    agent(two.first, "start", *resource())
    for again in (
        lambda: agent(two.second, "start", *resource()),
        lambda: virsh(two.second, "create", place),
        lambda: [virsh(two.second, "define", place), virsh(two.second, "start", "vm1")],
    ):
        with pytest.raises(CommandError, match="lock"):
            again()
    virsh(two.second, "undefine", "vm1")
    assert two.running() == ["justinian"]
    agent(two.first, "stop", *resource(), "OCF_RESKEY_CRM_meta_timeout=6000")
    assert not two.running()


def resource(*more: str) -> list[str]:
    """What `ksnode guest add` puts into the CIB, as pacemaker gives it to the agent."""
    given = xml(additions(an_identity().pair, Guest("vm1", "/srv/vmdata/vm1.xml")))
    pairs = [f"{p.get('name')}={p.get('value')}" for p in given.iterfind(PARAMETERS)]
    assert len(pairs) == 5
    return [f"OCF_RESKEY_{parameter}" for parameter in (*pairs, *more)]


def agent(node: Node, action: str, *settings: str) -> Result:
    meta = ["OCF_ROOT=/usr/lib/ocf", "OCF_RESOURCE_INSTANCE=vm1", "HA_RSCTMP=/run/agents"]
    return node("env", *meta, *settings, AGENT, action)


def test_pacemakers_agent_moves_it_over_tls(two: Two) -> None:
    two.guest()
    settings = [setting + " --unsafe" * ("migrate_options" in setting) for setting in resource()]
    agent(two.first, "start", *settings)
    target = "OCF_RESKEY_CRM_meta_migrate_target=julius"
    moved = agent(two.first, "migrate_to", *settings, target)
    to = "qemu+tls://julius-bond/system tcp:julius-bond:"
    assert f"migrate --live --tls --unsafe vm1 {to}" in moved.stderr
    assert two.running() == ["julius"]
    agent(two.second, "monitor", *settings)
    with pytest.raises(CommandError, match="lock"):  # its lease went with it
        agent(two.first, "start", *settings)


def migrate(two: Two, *options: str) -> Result:
    to = ("qemu+tls://julius-bond/system", "tcp:julius-bond")
    return virsh(two.first, "migrate", "--live", "--unsafe", *options, "vm1", *to)


def test_not_without_encryption(two: Two) -> None:
    virsh(two.first, "create", two.guest())
    with pytest.raises(CommandError, match="allows migration only with VIR_MIGRATE_TLS"):
        migrate(two)
    assert two.running() == ["justinian"]


@pytest.fixture
def pki(two: Two) -> Iterator[Path]:
    """Where the first node's programs have their credentials; put back as they were."""
    folder = two.first.root / "etc/pki"
    shutil.copytree(folder, two.folder / "kept")
    yield folder
    for path in (two.folder / "kept").rglob("*.pem"):
        (folder / path.relative_to(two.folder / "kept")).write_bytes(path.read_bytes())
    shutil.rmtree(two.folder / "kept")
    assert not two.step(two.first).check()


@pytest.fixture
def stranger(two: Two, tmp_path: Path) -> Store:
    """Leaves for the first node's names, from the CA of another pair."""
    make_ca(tmp_path / "other")
    impostor = Node("justinian", tmp_path / "impostor", two.images)
    give_leaves(tmp_path / "other", impostor)
    return Store(impostor.root)


def test_nobody_gets_in_without_a_leaf_of_the_pairs(two: Two, pki: Path, stranger: Store) -> None:
    asking = ("virsh", "--connect", "qemu+tls://julius-bond/system", "list")
    two.first(*asking)
    (pki / "libvirt/clientcert.pem").write_bytes(stranger.leaf.read_bytes())
    (pki / "libvirt/private/clientkey.pem").write_bytes(stranger.key.read_bytes())
    with pytest.raises(CommandError):
        two.first(*asking)
    # Of this pair, but in reach of a guest that breaks out of QEMU.
    own = Store(two.first.root)
    (pki / "libvirt/clientcert.pem").write_bytes(own.guests_leaf.read_bytes())
    (pki / "libvirt/private/clientkey.pem").write_bytes(own.guests_key.read_bytes())
    with pytest.raises(CommandError):
        two.first(*asking)


def test_no_guest_comes_without_a_leaf_of_the_pairs(two: Two, pki: Path, stranger: Store) -> None:
    virsh(two.first, "create", two.guest())
    trusted = pki / "qemu/ca-cert.pem"  # both, or its own QEMU would be the one that refuses
    trusted.write_bytes(trusted.read_bytes() + stranger.ca.read_bytes())
    for end in ("client", "server"):
        (pki / f"qemu/{end}-cert.pem").write_bytes(stranger.guests_leaf.read_bytes())
        (pki / f"qemu/{end}-key.pem").write_bytes(stranger.guests_key.read_bytes())
    with pytest.raises(CommandError):
        migrate(two, "--tls")
    assert two.running() == ["justinian"]


def test_a_guest_outlives_new_leaves(two: Two) -> None:
    virsh(two.first, "create", two.guest())
    give_leaves(two.folder / "ca", two.first)
    step = two.step(two.first)
    assert step.check()
    step.apply()
    assert not step.check()
    assert two.running() == ["justinian"]
    migrate(two, "--tls")
    assert two.running() == ["julius"]
