"""What `ksbuild iso` writes, under every firmware a server may have: from the menu to %pre.

Each cell shows that the kernel was given the right inst.ks, that the initrd finds the kickstart by
that very address, and that its %pre knows the node by the serial number in the server's DMI. The
machine has no disk, so that there it stops.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from pycdlib import PyCdlib

from tests.media.pairs import RECOGNISED, boot_server, write_medium
from tests.media.qemu import Attachment, Firmware
from tests.media.sources import EL9_LABEL

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(600)]
slow = pytest.mark.slow
# Layout of the source, mode, and the label by which the medium is found.
LAYOUTS = {
    "boot": ("el9_iso", "boot", "KSBUILD"),
    "lorax": ("el9_iso", "patch", EL9_LABEL),
    "pungi": ("pungi9_iso", "patch", EL9_LABEL),
}
EL_TORITO = b"EL TORITO SPECIFICATION"


@dataclass(frozen=True)
class Medium:
    path: Path
    label: str
    kickstart: bytes


@pytest.fixture(scope="module")
def media(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Medium]:
    """Made when first asked for."""

    class Made(dict[str, Medium]):
        def __missing__(self, layout: str) -> Medium:
            source, mode, label = LAYOUTS[layout]
            folder = tmp_path_factory.mktemp(layout)
            path = write_medium(mode, request.getfixturevalue(source), folder)
            self[layout] = Medium(path, label, read(path, "ks.cfg"))
            return self[layout]

    return Made()


def read(medium: Path, name: str) -> bytes:
    iso = PyCdlib()
    iso.open(str(medium))
    with iso.open_file_from_iso(rr_path=f"/{name}") as file:
        content = bytes(file.read())
    iso.close()
    return content


CELLS = [
    pytest.param("boot", "bios", "cd", marks=slow),
    pytest.param("boot", "bios", "disk", marks=slow),
    pytest.param("boot", "uefi", "cd"),
    pytest.param("boot", "uefi", "disk", marks=slow),
    pytest.param("lorax", "bios", "cd"),
    pytest.param("lorax", "bios", "disk", marks=slow),
    pytest.param("lorax", "uefi", "cd", marks=slow),
    pytest.param("lorax", "uefi", "disk", marks=slow),
    pytest.param("pungi", "bios", "cd", marks=slow),
    pytest.param("pungi", "bios", "disk", marks=slow),
    pytest.param("pungi", "uefi", "cd", marks=slow),
    pytest.param("pungi", "uefi", "disk", marks=slow),
]


@pytest.mark.parametrize(("layout", "firmware", "attach"), CELLS)
def test_a_server_is_recognised(
    media: dict[str, Medium], tmp_path: Path, layout: str, firmware: Firmware, attach: Attachment
) -> None:
    recognised(media[layout], media[layout].path, tmp_path, firmware, attach)


@pytest.mark.parametrize(
    "layout",
    [pytest.param("boot", marks=slow), pytest.param("lorax", marks=slow), "pungi"],
)
def test_a_server_is_recognised_from_the_system_partition_alone(
    media: dict[str, Medium], tmp_path: Path, layout: str
) -> None:
    """Firmware that knows no El Torito on disks goes by the MBR, and reads grub.cfg in the FAT.

    The copy outside is spoilt, to be sure which of the two it was.
    """
    content = bytearray(media[layout].path.read_bytes())
    # EDK2 knows the boot record in sector 17 by these words alone.
    words = slice(17 * 2048 + 7, 17 * 2048 + 7 + len(EL_TORITO))
    assert content[words] == EL_TORITO
    content[words] = bytes(len(EL_TORITO))
    iso = PyCdlib()
    iso.open(str(media[layout].path))
    place, length = iso.get_file_byte_extents(rr_path="/EFI/BOOT/grub.cfg")[0]
    iso.close()
    content[place : place + length] = b"#" * length
    spoilt = tmp_path / "spoilt.iso"
    spoilt.write_bytes(content)
    recognised(media[layout], spoilt, tmp_path, "uefi", "disk")


def recognised(
    medium: Medium, path: Path, folder: Path, firmware: Firmware, attach: Attachment
) -> None:
    address = f"hd:LABEL={medium.label}:/ks.cfg"
    with boot_server(path, folder, firmware, attach) as machine:
        machine.wait_for("Start from the local disk")
        machine.type("\r")  # as half a minute would
        said = machine.wait_for("here is a shell", 240)
    (line,) = re.findall(r"Command line: (.*)", said)
    assert f" inst.ks={address} " in line
    digest = hashlib.sha256(medium.kickstart).hexdigest()
    assert f"kickstart found: {address} sha256={digest} bytes={len(medium.kickstart)}" in said
    assert RECOGNISED in said
    assert "0 disks fit node.disk of the profile" in said
    assert "Nothing was written to any disk" in said
