"""What `ksbuild iso profiles/example.toml` writes, started by real firmware, an entry chosen."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pycdlib import PyCdlib

from tests.media.qemu import Attachment, Firmware, boot
from tests.media.sources import EL9_LABEL

pytestmark = pytest.mark.qemu
ROOT = Path(__file__).parents[2]
DOWN = "\x1b[B"


@pytest.fixture(scope="module")
def medium(el9_iso: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("example")
    medium = folder / "pair.iso"
    options = ["--source", el9_iso, "--output", medium, "--keys", folder / "keys"]
    argv = [sys.executable, "-m", "builder", "iso", "profiles/example.toml", *map(str, options)]
    subprocess.run(argv, cwd=ROOT, check=True, capture_output=True)
    return medium


def kickstart(medium: Path, name: str) -> bytes:
    iso = PyCdlib()
    iso.open(str(medium))
    with iso.open_file_from_iso(rr_path=f"/{name}") as file:
        content = bytes(file.read())
    iso.close()
    return content


@pytest.mark.parametrize(
    ("firmware", "attach", "name", "keys"),
    [
        ("bios", "usb", "julius.ks", DOWN + DOWN + "\r"),
        pytest.param("uefi", "cd", "ks.cfg", "", marks=pytest.mark.slow),
    ],
)
def test_the_chosen_kickstart_is_found_and_read(
    medium: Path,
    tmp_path: Path,
    firmware: Firmware,
    attach: Attachment,
    name: str,
    keys: str,
) -> None:
    """Nothing typed starts the first entry, which serves both nodes, after 30 seconds."""
    content = kickstart(medium, name)
    address = f"hd:LABEL={EL9_LABEL}:/{name}"
    with boot(medium, tmp_path, firmware=firmware, attach=attach) as machine:
        machine.wait_for("Install julius (serial CZC00014A2)")
        machine.type(keys)
        said = machine.wait_for("here is a shell")
    (line,) = re.findall(r"Command line: (.*)", said)
    assert f"inst.ks={address} inst.stage2=https://" in line
    assert "inst.nosave=input_ks,output_ks rd.neednet=1 ip=10.0.0.11" in line
    assert "console=tty0 console=ttyS0,115200n8" in line
    digest = hashlib.sha256(content).hexdigest()
    assert f"kickstart found: {address} sha256={digest} bytes={len(content)}" in said
