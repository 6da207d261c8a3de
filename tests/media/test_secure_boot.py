"""Network boot with Secure Boot enforced: what is signed starts, what was changed does not.

Firmware with Microsoft's keys, Debian's shim, GRUB and kernel as they are signed, in the places of
EL9's. Debian signs one GRUB for media and another for networks; EL9's one has both parts.
"""

import hashlib
import re
import shutil
import time
from pathlib import Path

import pytest

from builder.demo.packages import fetch, unpack
from builder.profile.model import NodeSection
from tests.media.rack import POOL, URL, nodes, rack, write_profile, write_tree
from tests.media.sources import KEPT, efiboot, el9_tree, master

pytestmark = [pytest.mark.qemu, pytest.mark.slow, pytest.mark.timeout(900)]
SIGNED = {
    "BOOTX64.EFI": "usr/lib/shim/shimx64.efi.signed",
    "grubx64.efi": "usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed",
}
# System management mode makes every access to the firmware's variables slow under TCG.
FIRMWARE_S = 400


@pytest.fixture(scope="module")
def signed(demo_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ISO of EL9's shape with loaders that Microsoft and Debian signed."""
    folder = tmp_path_factory.mktemp("signed")
    debs = fetch(("grub-efi-amd64-signed", "shim-signed"), KEPT / "signed", lambda _: None)
    unpack((debs[name] for name in ("grub-efi-amd64-signed", "shim-signed")), folder / "root")
    el9_tree(demo_source, folder / "tree")
    for name, path in SIGNED.items():
        shutil.copyfile(folder / "root" / path, folder / "tree/EFI/BOOT" / name)
    efiboot(folder / "tree")
    master(folder / "tree", folder / "signed.iso")
    return folder / "signed.iso"


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_profile(tmp_path_factory.mktemp("profile"))


@pytest.fixture(scope="module")
def node(profile: Path) -> NodeSection:
    return nodes(profile)[1]


@pytest.fixture
def tree(profile: Path, signed: Path, tmp_path: Path) -> Path:
    made = write_tree(profile, signed, tmp_path / "tree", "--pool", POOL)
    # Debian's looks there; EL9's beside itself (grub.macros of the package grub2: -p /EFI/BOOT).
    (made / "tftp/grub").mkdir()
    shutil.copyfile(made / "tftp/EFI/BOOT/grub.cfg", made / "tftp/grub/grub.cfg")
    return made


def test_what_is_signed_finds_its_kickstart(tree: Path, node: NodeSection, tmp_path: Path) -> None:
    with (
        rack(tree, tmp_path / "rack") as there,
        there.start(node.uplink.ports[0], "secure") as machine,
    ):
        machine.wait_for(f"Install {node.name}", FIRMWARE_S)
        time.sleep(1)  # a menu that is still being drawn takes no key
        machine.type("\r")
        said = machine.wait_for("powering off", FIRMWARE_S)
    assert "Secure boot enabled" in said
    kickstart = (tree / f"http/pairs/00014/{node.name}.ks").read_bytes()
    url = f"{URL}/pairs/00014/{node.name}.ks"
    assert f"kickstart found: {url} sha256={hashlib.sha256(kickstart).hexdigest()}" in said
    (line,) = re.findall(r"ksbuild-demo: command line: (.*)", said)
    assert f" inst.ks={url} " in line


def test_a_grub_with_one_byte_changed_is_refused(
    tree: Path, node: NodeSection, tmp_path: Path
) -> None:
    loader = tree / "tftp/EFI/BOOT/grubx64.efi"
    content = bytearray(loader.read_bytes())
    content[len(content) // 2] ^= 1
    loader.write_bytes(content)
    with (
        rack(tree, tmp_path / "rack") as there,
        there.start(node.uplink.ports[0], "secure") as machine,
    ):
        said = machine.wait_for("Security Violation", FIRMWARE_S)
        assert there.sent()[-1] == str(loader)
        assert "GRUB" not in said
        assert "Linux version" not in said
