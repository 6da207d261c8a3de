"""A medium left in place, or started again, on a node that is installed: the node's disk starts.

GRUB looks for the node's mark and makes "local disk" the default. isolinux can't look, so %pre
does, and starts the node's own kernel. None of this writes to the disk.
"""

import contextlib
import hashlib
import time
from pathlib import Path

import pytest

from builder.profile.load import load
from tests.media.installed import COMMAND_LINE, FALLBACK, SAYS, SHIM, installed_disk
from tests.media.pairs import NODE, PROFILE, RECOGNISED, boot_server, write_medium
from tests.media.qemu import Attachment, Firmware, Machine
from tests.uml.disk import partitions, written_extents

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(600)]
BLOCK = 4096
DOWN = "\x1b[B"
slow = pytest.mark.slow


@pytest.fixture(scope="module", params=["boot", pytest.param("patch", marks=slow)])
def medium(
    request: pytest.FixtureRequest, el9_iso: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return write_medium(request.param, el9_iso, tmp_path_factory.mktemp("left-in"))


class Installed:
    """The server with its disk as an installation left it."""

    def __init__(self, folder: Path, source: Path, loader: str) -> None:
        """`loader` is where its EFI system partition has a loader."""
        self.folder, profile = folder, load(PROFILE).profile
        self.disk = installed_disk(folder / "disk", profile, NODE, source, loader=loader)
        self.before = self.digest()

    def digest(self) -> str:
        """Of all that is on the disk and not zero, and where."""
        total = hashlib.sha256()
        with self.disk.open("rb") as file:
            # Not the extents themselves: what was allocated and only read becomes one (lseek(2)).
            for start, end in written_extents(self.disk):
                for at in range(start, end, BLOCK):
                    file.seek(at)
                    if any(block := file.read(BLOCK)):
                        total.update(b"%d:" % at + block)
        return total.hexdigest()

    def lose_kernels(self) -> None:
        """Break the file system of ks-boot."""
        (boot,) = (part for part in partitions(self.disk) if part.name == "ks-boot")
        with self.disk.open("r+b") as file:
            file.seek(boot.start * 512)
            file.write(bytes(4096))
        self.take_note()
        self.before = self.digest()

    def take_note(self) -> bytes:
        """What %pre noted at the end of ks-biosboot; zeros are put in its place."""
        note = self._note(bytes(4096))
        return note.rstrip(b"\0")

    def leave_note(self, seconds: int) -> None:
        """A note of that time, as %pre leaves it."""
        self._note((b"ksbuild ejected %d\n" % seconds).ljust(4096, b"\0"))

    def _note(self, text: bytes) -> bytes:
        (bios,) = (part for part in partitions(self.disk) if part.name == "ks-biosboot")
        with self.disk.open("r+b") as file:
            file.seek((bios.start + bios.size) * 512 - 4096)
            before = file.read(4096)
            file.seek(-4096, 1)
            file.write(text)
        return before

    def boot(
        self, medium: Path, firmware: Firmware, attach: Attachment
    ) -> contextlib.AbstractContextManager[Machine]:
        """Start it with the medium first in its boot order and the disk next."""
        return boot_server(medium, self.folder, firmware, attach, disks=[self.disk])


@pytest.fixture
def installed(tmp_path: Path, el9_iso: Path) -> Installed:
    return Installed(tmp_path, el9_iso, SHIM)


@pytest.mark.parametrize("attach", [pytest.param("cd", marks=slow), "usb"])
def test_grub_starts_the_disk_by_itself(
    medium: Path, installed: Installed, attach: Attachment
) -> None:
    """Firmware alone could not start this disk: its only loader is the distribution's."""
    with installed.boot(medium, "uefi", attach) as machine:
        machine.wait_for("Start from the local disk")
        said = machine.wait_for(SAYS)
    assert "Command line:" not in said
    assert installed.digest() == installed.before


@slow
@pytest.mark.parametrize("attach", ["cd", "usb"])
def test_another_distributions_disk_starts_by_its_fallback(
    medium: Path, tmp_path: Path, el9_iso: Path, attach: Attachment
) -> None:
    """No loader where the distributions we know have theirs."""
    installed = Installed(tmp_path, el9_iso, FALLBACK)
    with installed.boot(medium, "uefi", attach) as machine:
        said = machine.wait_for(SAYS)
    assert "Command line:" not in said
    assert installed.digest() == installed.before


@slow
@pytest.mark.parametrize("attach", ["cd", "usb"])
def test_pre_starts_the_nodes_kernel(
    medium: Path, installed: Installed, attach: Attachment
) -> None:
    """Nobody has to be there: the menu's default is what finds out."""
    with installed.boot(medium, "bios", attach) as machine:
        machine.wait_for("Start from the local disk")
        machine.type("\r")  # as half a minute would
        said = machine.wait_for("ksbuild.reinstall=00014-julius", 240)
        assert RECOGNISED in said
        assert "starting it in 20 seconds" in said
        machine.wait_for(f"Command line: {COMMAND_LINE}\n", 240)
    assert installed.digest() == installed.before


@slow
@pytest.mark.parametrize("attach", ["cd", "usb"])
def test_without_a_kernel_to_start_it_stays_and_says_what_to_do(
    medium: Path, installed: Installed, attach: Attachment
) -> None:
    """And what it says works: "choose that in the menu". A disc is ejected first, but once."""
    installed.lose_kernels()
    if attach == "cd":
        with installed.boot(medium, "bios", attach) as machine:
            machine.wait_for("Start from the local disk")
            machine.type("\r")
            machine.wait_for("in 60 seconds the disc is ejected", 240)
            machine.wait_for("sysrq: Resetting", 90)
            assert SAYS not in machine.output()
        assert installed.take_note().startswith(b"ksbuild ejected ")
        assert installed.digest() == installed.before
        installed.leave_note(int(time.time()))
    with installed.boot(medium, "bios", attach) as machine:
        machine.wait_for("Start from the local disk")
        machine.type("\r")
        said = machine.wait_for("here is a shell", 240)
        assert "carries julius of this pair already" in said
        assert "start the server from its disk, or choose that in the menu" in said
        assert "ksbuild.reinstall=00014-julius" in said
        assert SAYS not in machine.output()
    installed.take_note()
    assert installed.digest() == installed.before


@slow
def test_the_menus_own_entry_starts_the_disk(medium: Path, installed: Installed) -> None:
    """From a disc. With a stick SeaBIOS has no next hard disk, and %pre is the way."""
    with installed.boot(medium, "bios", "cd") as machine:
        machine.wait_for("Start from the local disk")
        machine.type(f"{DOWN * 4}\r")
        said = machine.wait_for(SAYS)
    assert "Command line:" not in said
