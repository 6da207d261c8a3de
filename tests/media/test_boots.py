"""The medium under real firmware: BIOS and UEFI, from CD, from a USB stick."""

import hashlib
import re
from pathlib import Path

import pytest
from pycdlib import PyCdlib

from builder.media.boot import write_boot_medium
from builder.media.source import open_source
from tests.media.menus import VOLUME_ID, address, make_tree
from tests.media.qemu import Attachment, Firmware, Machine, boot

pytestmark = pytest.mark.qemu
slow = pytest.mark.slow
WHEN = 1_700_000_000


def make_medium(source_iso: Path, folder: Path, default: str | None) -> tuple[Path, bytes]:
    """Write a medium and return it with node-b's kickstart."""
    path = folder / "medium.iso"
    with open_source(source_iso) as source, path.open("w+b") as out:
        tree = make_tree(source, default)
        write_boot_medium(out, tree, source, volume_id=VOLUME_ID, when=WHEN)
    return path, tree["ks/node-b.ks"]


def assert_found(machine: Machine, kickstart: bytes) -> str:
    """The installer's stand-in found node-b's kickstart where the command line says."""
    said = machine.wait_for("powering off")
    commands = re.findall(r"Command line: (.*)", said)
    assert len(commands) == 1
    assert f"inst.ks={address('node-b')} console=tty0" in commands[0]
    digest = hashlib.sha256(kickstart).hexdigest()
    expected = f"kickstart found: {address('node-b')} sha256={digest} bytes={len(kickstart)}"
    assert expected in said
    assert machine.wait_off() == 0
    return said


@pytest.mark.parametrize(
    ("firmware", "attach"),
    [
        pytest.param("bios", "cd", marks=slow),
        ("bios", "usb"),
        ("uefi", "cd"),
        pytest.param("uefi", "usb", marks=slow),
    ],
)
def test_starts_and_finds_its_kickstart(
    el9_iso: Path, tmp_path: Path, firmware: Firmware, attach: Attachment
) -> None:
    medium, kickstart = make_medium(el9_iso, tmp_path, "node-b")
    with boot(medium, tmp_path, firmware=firmware, attach=attach) as machine:
        said = assert_found(machine, kickstart)
    assert "ksbuild-demo: demonstration: installs nothing" in said


def test_starts_from_the_system_partition_alone(el9_iso: Path, tmp_path: Path) -> None:
    """Firmware that knows no El Torito on disks goes by the MBR, and reads grub.cfg in the FAT.

    The one outside is made useless, to be sure which of the two it was.
    """
    medium, kickstart = make_medium(el9_iso, tmp_path, "node-b")
    iso = PyCdlib()
    iso.open(str(medium))
    place, length = iso.get_file_byte_extents(rr_path="/EFI/BOOT/grub.cfg")[0]
    iso.close()
    with medium.open("r+b") as file:
        file.seek(place)
        file.write(b"#" * length)
        # EDK2 knows the boot record in sector 17 by these words alone.
        file.seek(17 * 2048 + 7)
        assert file.read(23) == b"EL TORITO SPECIFICATION"
        file.seek(17 * 2048 + 7)
        file.write(bytes(23))
    with boot(medium, tmp_path, firmware="uefi", attach="disk") as machine:
        assert_found(machine, kickstart)


@pytest.mark.slow
def test_bios_menu_waits_for_a_choice_on_the_serial_line(demo_source: Path, tmp_path: Path) -> None:
    medium, kickstart = make_medium(demo_source, tmp_path, None)
    with boot(medium, tmp_path, firmware="bios", attach="cd") as machine:
        said = machine.wait_for("install node-b")
        assert "demonstration: installs nothing" in said
        machine.type("\x1b[B\r")
        assert_found(machine, kickstart)


def test_uefi_menu_waits_for_a_choice_on_the_serial_line(demo_source: Path, tmp_path: Path) -> None:
    medium, kickstart = make_medium(demo_source, tmp_path, None)
    with boot(medium, tmp_path, firmware="uefi", attach="cd") as machine:
        machine.wait_for("install node-b (demonstration: installs nothing)")
        machine.type("\x1b[B\r")
        assert_found(machine, kickstart)


@pytest.mark.slow
def test_says_when_the_kickstart_is_not_there(demo_source: Path, tmp_path: Path) -> None:
    path = tmp_path / "medium.iso"
    with open_source(demo_source) as source, path.open("w+b") as out:
        tree = make_tree(source, "node-b")
        del tree["ks/node-b.ks"]
        write_boot_medium(out, tree, source, volume_id=VOLUME_ID, when=WHEN)
    with boot(path, tmp_path, firmware="bios", attach="usb") as machine:
        said = machine.wait_for("powering off")
    assert f"kickstart not found: {address('node-b')}" in said
    assert "kickstart found" not in said


def test_stays_with_a_shell_whose_tools_see_the_machine(demo_source: Path, tmp_path: Path) -> None:
    """What a kickstart's %pre asks works here: DMI, disks, their signatures, cards, modules."""
    disk = tmp_path / "disk.img"
    with disk.open("wb") as file:
        file.truncate(64 << 20)
    path = tmp_path / "medium.iso"
    with open_source(demo_source) as source, path.open("w+b") as out:
        tree = make_tree(source, "node-b")
        config = tree["isolinux/isolinux.cfg"]
        assert b" ksbuild.demo=poweroff" in config
        tree["isolinux/isolinux.cfg"] = config.replace(b" ksbuild.demo=poweroff", b"")
        write_boot_medium(out, tree, source, volume_id=VOLUME_ID, when=WHEN)
    machine_with = boot(
        path,
        tmp_path,
        firmware="bios",
        attach="cd",
        serial_number="CZ1234ABCD",
        disks=[disk],
        macs=["52:54:00:00:00:01", "52:54:00:00:00:02"],
    )
    with machine_with as machine:
        machine.wait_for("here is a shell")
        for command, answer in SHELL:
            machine.type(f"{command}\r")
            machine.wait_for(answer, 30)


# The typed line itself is echoed, so that no answer may stand in its command.
SHELL = [
    ("echo $((40+2))-ready", "42-ready"),
    ("dmidecode -s system-serial-number", "CZ1234ABCD"),
    ("lsblk --nodeps --noheadings --output NAME,SERIAL,SIZE /dev/vda", "vda  disk0   64M"),
    ("ip -brief link | wc --lines | sed s/^/links-/", "links-3"),
    # Named as on EL9's installer, and connected to nothing.
    ("ethtool $(ls /sys/class/net | grep -m1 ^en)", "Link detected: no"),
    ("echo 'label: gpt' | flock /dev/vda sfdisk --quiet /dev/vda; wipefs -n -J /dev/vda", '"PMBR"'),
    ("udevadm settle; blkid -p -o value -s PTTYPE /dev/vda | sed s/^/table-/", "table-gpt"),
    ("blockdev --getsz /dev/vda | sed s/^/sectors-/", "sectors-131072"),
    ("modprobe bonding && grep -c ^bonding /proc/modules | sed s/^/bond-/", "bond-1"),
    ("logger --stderr --tag x hello | awk '{print $NF}'; echo $?-logged", "0-logged"),
    ("partx --version | cut -d' ' -f1-3", "partx from util-linux"),
]
