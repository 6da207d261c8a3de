"""Patched media under real firmware: both layouts, every way a server starts one."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.media.patch.medium import patch_medium
from tests.media.patch.test_folder import NAMES, written
from tests.media.patch.trees import WHEN, address, bootable_tree
from tests.media.qemu import Attachment, Firmware, Machine, boot

pytestmark = pytest.mark.qemu
slow = pytest.mark.slow


@dataclass(frozen=True)
class Medium:
    path: Path
    kickstart: bytes


@pytest.fixture(
    params=[(40_000, False), (900_000, False), (40_000, True)],
    ids=["in the padding", "grown", "packages"],
)
def medium(request: pytest.FixtureRequest, bootable: Path, tmp_path: Path) -> Medium:
    """A medium that starts node-b after a second: bytes of its kickstarts, and a folder or not."""
    return _medium(bootable, tmp_path, *request.param)


@pytest.fixture
def medium_with_packages(bootable: Path, tmp_path: Path) -> Medium:
    return _medium(bootable, tmp_path, 60_000, packages=True)


@pytest.fixture
def small_medium(bootable: Path, tmp_path: Path) -> Medium:
    return _medium(bootable, tmp_path, 60_000)


def _medium(source: Path, folder: Path, bytes_each: int, packages: bool = False) -> Medium:
    tree = bootable_tree(source, "node-b", bytes_each=bytes_each)
    extras = written(folder / "here", NAMES) if packages else {}
    done = patch_medium(folder / "medium.iso", tree, source, when=WHEN, extras=extras)
    assert bool(done.grown) == (packages or bytes_each > 500_000)
    return Medium(folder / "medium.iso", tree["node-b.ks"])


def assert_found(machine: Machine, kickstart: bytes) -> None:
    """The installer's stand-in found node-b's kickstart where the command line says."""
    said = machine.wait_for("powering off")
    commands = re.findall(r"Command line: (.*)", said)
    assert len(commands) == 1
    assert f"inst.ks={address('node-b')} " in commands[0]
    digest = hashlib.sha256(kickstart).hexdigest()
    assert f"kickstart found: {address('node-b')} sha256={digest}" in said
    assert machine.wait_off() == 0


@pytest.mark.parametrize(
    ("firmware", "attach"), [("bios", "cd"), pytest.param("uefi", "usb", marks=slow)]
)
def test_starts_and_finds_its_kickstart(
    small_medium: Medium, tmp_path: Path, firmware: Firmware, attach: Attachment
) -> None:
    with boot(small_medium.path, tmp_path, firmware=firmware, attach=attach) as machine:
        assert_found(machine, small_medium.kickstart)


@pytest.mark.parametrize(
    ("firmware", "attach"), [pytest.param("bios", "usb", marks=slow), ("uefi", "cd")]
)
def test_starts_with_packages_on_it(
    medium_with_packages: Medium, tmp_path: Path, firmware: Firmware, attach: Attachment
) -> None:
    """The path tables lie elsewhere there, which isolinux and GRUB may look at."""
    with boot(medium_with_packages.path, tmp_path, firmware=firmware, attach=attach) as machine:
        assert_found(machine, medium_with_packages.kickstart)


@slow
@pytest.mark.parametrize(
    ("firmware", "attach"),
    [
        ("bios", "cd"),
        ("bios", "usb"),
        ("bios", "disk"),
        ("uefi", "cd"),
        ("uefi", "usb"),
        ("uefi", "disk"),
    ],
)
def test_every_way(medium: Medium, tmp_path: Path, firmware: Firmware, attach: Attachment) -> None:
    with boot(medium.path, tmp_path, firmware=firmware, attach=attach) as machine:
        assert_found(machine, medium.kickstart)


@slow
def test_starts_from_the_system_partition_alone(medium: Medium, tmp_path: Path) -> None:
    """Firmware that knows no El Torito on disks goes by the MBR, and reads grub.cfg in the FAT."""
    with medium.path.open("r+b") as file:
        # EDK2 knows the boot record in sector 17 by these words alone.
        file.seek(17 * 2048 + 7)
        assert file.read(23) == b"EL TORITO SPECIFICATION"
        file.seek(17 * 2048 + 7)
        file.write(bytes(23))
    with boot(medium.path, tmp_path, firmware="uefi", attach="disk") as machine:
        assert_found(machine, medium.kickstart)


@slow
def test_a_menu_without_a_default_waits(bootable: Path, tmp_path: Path) -> None:
    tree = bootable_tree(bootable, None, bytes_each=60_000)
    path = tmp_path / "medium.iso"
    patch_medium(path, tree, bootable, when=WHEN)
    with boot(path, tmp_path, firmware="bios", attach="cd") as machine:
        machine.wait_for("install node-b")
        machine.type("\x1b[B\r")
        assert_found(machine, tree["node-b.ks"])
