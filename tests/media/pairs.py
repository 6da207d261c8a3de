"""The example's pair as `ksbuild iso` writes it, and one of its servers as a QEMU machine."""

import contextlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from builder.profile.load import load
from tests.media.qemu import Attachment, Firmware, Machine, boot
from tests.media.sources import ROOT

PROFILE = ROOT / "profiles/example.toml"
# The second node, so that whoever takes the first one of anything is noticed.
NODE = load(PROFILE).profile.node[1]
RECOGNISED = f"this is {NODE.name} (serial '{NODE.serial}')"


def write_medium(mode: str, source: Path, folder: Path) -> Path:
    """Write the pair's medium as a user would."""
    made = folder / "pair.iso"
    files: list[str | Path] = [PROFILE, "--source", source, "--output", made]
    options: list[str | Path] = ["--mode", mode, "--offline", "--keys", folder / "keys"]
    argv = [sys.executable, "-m", "builder", "iso", *files, *options]
    subprocess.run(argv, cwd=ROOT, check=True, capture_output=True)
    return made


def boot_server(
    medium: Path,
    folder: Path,
    firmware: Firmware,
    attach: Attachment,
    *,
    disks: Sequence[Path] = (),
) -> contextlib.AbstractContextManager[Machine]:
    """Start the server with the medium first in its boot order; the stand-in runs its %pre."""
    return boot(
        medium,
        folder,
        firmware=firmware,
        attach=attach,
        disks=disks,
        serial_number=NODE.serial or "",
        macs=[*NODE.uplink.ports, *NODE.crossover.ports],
        run_pre=True,
        restarts=True,
    )
