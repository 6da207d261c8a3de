"""What the tests of %pre's guards share: disks compared as a whole, sentinels, refusals."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from tests.uml.disk import written_extents
from tests.uml.pair import PROFILE, Server, TestPair, build_medium

SENTINEL = b"data that nobody wrote a backup of" * 100


def digest(image: Path) -> str:
    """All that was ever written to a sparse image, and where."""
    total = hashlib.sha256()
    with image.open("rb") as file:
        for start, end in written_extents(image):
            file.seek(start)
            total.update(f"{start}-{end}:".encode() + file.read(end - start))
    return total.hexdigest()


def put(image: Path, offset: int, content: bytes) -> None:
    with image.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def refused(pair: TestPair, server: Server, *, entry: str = "", script: str = "") -> str:
    """Install, and see it refused with all disks as they were; what %pre said."""
    disks = [server.disk, *server.more_disks]
    before = [digest(disk) for disk in disks]
    verdict = pair.install(server, entry=entry, script=script)
    assert not verdict.success
    assert [digest(disk) for disk in disks] == before
    said = verdict.script_tail + "".join(verdict.logs.values())
    assert "REFUSED" in said
    assert "Next:" in said
    assert "Nothing was written" in said
    return said


def consent_of(said: str) -> str:
    """The one line that a refusal asks for."""
    (line,) = set(re.findall(r'wipe = \["(.*?)"\]', said))
    return str(line)


def consenting_media(source: Path, folder: Path) -> Callable[..., Path]:
    """A function that makes the pair's medium with consent to these disks."""

    def make(*consents: str) -> Path:
        profile = folder / "lab.toml"
        lines = ", ".join(f'"{line}"' for line in consents)
        profile.write_text(
            PROFILE.read_text().replace("[storage]\n", f"[storage]\nwipe = [{lines}]\n")
        )
        output = folder / f"pair-{len(list(folder.glob('*.iso')))}.iso"
        return build_medium(source, output, folder / "keys", profile)

    return make
