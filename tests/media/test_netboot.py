"""Network boot under real firmware, from the first frame to the kickstart."""

import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.profile.model import NodeSection
from tests.media.qemu import Firmware, Machine
from tests.media.rack import POOL, URL, Rack, nodes, rack, write_profile, write_tree

pytestmark = pytest.mark.qemu
STRANGER = "52:54:00:00:00:99"


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_profile(tmp_path_factory.mktemp("profile"))


@pytest.fixture(scope="module")
def node(profile: Path) -> NodeSection:
    """The second, so that whoever takes the first one of anything is noticed."""
    return nodes(profile)[1]


@pytest.fixture(scope="module")
def tree(profile: Path, demo_source: Path) -> Path:
    """The network's only DHCP server is the tree's own."""
    return write_tree(profile, demo_source, profile.parent / "alone", "--pool", POOL)


@pytest.fixture(scope="module")
def beside(profile: Path, demo_source: Path) -> Path:
    """There is another DHCP server."""
    return write_tree(profile, demo_source, profile.parent / "beside")


def install(machine: Machine) -> None:
    """Do not wait until the menu does it by itself."""
    machine.wait_for("Install julius", 200)
    time.sleep(1)  # a menu that is still being drawn takes no key
    machine.type("\r")


def assert_found(there: Rack, machine: Machine, node: NodeSection, tree: Path) -> None:
    """The installer's stand-in has the node's own kickstart, fetched by the node's own address."""
    said = machine.wait_for("powering off")
    kickstart = (tree / f"http/pairs/00014/{node.name}.ks").read_bytes()
    url = f"{URL}/pairs/00014/{node.name}.ks"
    digest = hashlib.sha256(kickstart).hexdigest()
    assert f"kickstart found: {url} sha256={digest} bytes={len(kickstart)}" in said
    (line,) = re.findall(r"ksbuild-demo: command line: (.*)", said)
    assert f" inst.ks={url} " in line
    assert machine.wait_off() == 0
    address = node.uplink.address.split("/")[0]
    wanted = [
        (who, status) for who, path, status in there.requests() if path in url and path != "/"
    ]
    assert wanted[-1] == (address, "200")
    assert there.asks(url) == 403, "nobody else has it"
    assert there.asks(f"{URL}/boot.ipxe") == 200


def assert_refused(there: Rack, machine: Machine) -> None:
    said = machine.wait_for("Nothing was written to any disk")
    assert f"REFUSED: no profile has a node with the port {STRANGER}" in said
    assert "Linux version" not in machine.wait_for("in 20 seconds")
    assert not [path for _, path, _ in there.requests() if "pairs" in path or "vmlinuz" in path]


FIRMWARES: list[tuple[Firmware, bool]] = [("bios", True), ("uefi", False)]


@pytest.mark.parametrize(("firmware", "ipxe"), FIRMWARES)
def test_a_node_finds_its_kickstart(
    tree: Path, node: NodeSection, tmp_path: Path, firmware: Firmware, ipxe: bool
) -> None:
    with (
        rack(tree, tmp_path / "rack") as there,
        there.start(node.uplink.ports[0], firmware, ipxe=ipxe) as machine,
    ):
        install(machine)
        assert_found(there, machine, node, tree)


def test_a_stranger_is_refused(tree: Path, tmp_path: Path) -> None:
    with rack(tree, tmp_path / "rack") as there, there.start(STRANGER, "uefi") as machine:
        assert_refused(there, machine)


@pytest.mark.slow
@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_a_stranger_with_ipxe_is_refused(tree: Path, tmp_path: Path, firmware: Firmware) -> None:
    with (
        rack(tree, tmp_path / "rack") as there,
        there.start(STRANGER, firmware, ipxe=True) as machine,
    ):
        assert_refused(there, machine)


@pytest.mark.slow
@pytest.mark.parametrize(("firmware", "ipxe"), [("bios", True), ("uefi", True)])
def test_beside_another_dhcp_server(
    beside: Path, node: NodeSection, tmp_path: Path, firmware: Firmware, ipxe: bool
) -> None:
    with (
        rack(beside, tmp_path / "rack", beside=True) as there,
        there.start(node.uplink.ports[0], firmware, ipxe=ipxe) as machine,
    ):
        install(machine)
        assert_found(there, machine, node, beside)
    assert "julius" not in (tmp_path / "rack/others").read_text()


@pytest.mark.slow
def test_uefi_pxe_beside_another_dhcp_server(
    beside: Path, node: NodeSection, tmp_path: Path
) -> None:
    """As far as Debian's GRUB goes: it asks whoever gave the address for its menu. EL9's asks the
    proxy (grub-core/net/drivers/efi/efinet.c of github.com/rhboot/grub2, fedora-34)."""
    with (
        rack(beside, tmp_path / "rack", beside=True) as there,
        there.start(node.uplink.ports[0], "uefi") as machine,
    ):
        machine.wait_for("Welcome to GRUB!", 200)
        assert there.sent()[-1] == f"{beside}/tftp/EFI/BOOT/BOOTX64.EFI"


@pytest.fixture
def changed(tree: Path, tmp_path: Path) -> Callable[..., Path]:
    """The tree with something else in its dnsmasq.conf."""

    def change(old: str, new: str) -> Path:
        shutil.copytree(tree, tmp_path / "changed", copy_function=os.link)
        settings = tmp_path / "changed/dnsmasq.conf"
        text = settings.read_text().replace(str(tree), str(tmp_path / "changed"))
        assert old in text
        settings.unlink()
        settings.write_text(text.replace(old, new))
        return tmp_path / "changed"

    return change


@pytest.fixture
def plain(changed: Callable[..., Path]) -> Path:
    """For a card whose PXE is no iPXE. SeaBIOS has no other here, so that it is told the same."""
    return changed("dhcp-match=set:ipxe,175\n", "")


@pytest.mark.slow
def test_pxelinux_finds_the_kickstart(plain: Path, node: NodeSection, tmp_path: Path) -> None:
    with (
        rack(plain, tmp_path / "rack") as there,
        there.start(node.uplink.ports[0], "bios", ipxe=True) as machine,
    ):
        install(machine)
        assert_found(there, machine, node, plain)
        assert "PXELINUX" in machine.output()


@pytest.mark.slow
def test_pxelinux_refuses_a_stranger(plain: Path, tmp_path: Path) -> None:
    with (
        rack(plain, tmp_path / "rack") as there,
        there.start(STRANGER, "bios", ipxe=True) as machine,
    ):
        machine.wait_for("REFUSED: no profile has a node with this port")
        machine.type("\r")
        said = machine.wait_for("Booting from Hard Disk")
        assert "Linux version" not in said


@pytest.mark.slow
def test_uefi_http_boot(tree: Path, node: NodeSection, tmp_path: Path) -> None:
    """All of it over HTTP, by Debian's GRUB. EL9's goes by the firmware's own HTTP instead
    (grub-core/net/efi/http.c of github.com/rhboot/grub2, rhel-9-main), and was not tried."""
    with (
        rack(tree, tmp_path / "rack") as there,
        there.start(node.uplink.ports[0], "uefi", http=True) as machine,
    ):
        install(machine)
        assert_found(there, machine, node, tree)
        assert there.sent() == []


@pytest.mark.slow
def test_a_stranger_by_http_boot_is_refused(tree: Path, tmp_path: Path) -> None:
    with (
        rack(tree, tmp_path / "rack") as there,
        there.start(STRANGER, "uefi", http=True) as machine,
    ):
        assert_refused(there, machine)


@pytest.mark.slow
def test_http_boot_by_hand_where_a_name_server_was_told(
    changed: Callable[..., Path], node: NodeSection, tmp_path: Path
) -> None:
    """Debian's GRUB does not see then how it was started; its cards' addresses have other names."""
    tree = changed("tag:!uefihttp,", "")
    with (
        rack(tree, tmp_path / "rack") as there,
        there.start(node.uplink.ports[0], "uefi", http=True) as machine,
    ):
        machine.wait_for("grub>", 200)
        for line in ("net_bootp", "set root=http,10.0.0.5", "configfile /EFI/BOOT/grub.cfg"):
            time.sleep(5)
            for key in f"{line}\r":
                machine.type(key)
                time.sleep(0.05)
        install(machine)
        assert_found(there, machine, node, tree)
