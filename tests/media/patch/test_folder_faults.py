"""Folder trees that no medium can take, disks without the room for one, and memory."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from builder.media.errors import MediumError, OutputError, SourceError
from builder.media.local import LocalFile
from builder.media.patch.medium import patch_medium
from tests.media.patch.test_folder import extras, patched
from tests.media.patch.trees import SMALL, WHEN

__all__ = ["extras"]


def test_verification_notices_a_changed_file(
    tiny: Path, tmp_path: Path, extras: dict[str, LocalFile]
) -> None:
    path, file = next((p, f) for p, f in extras.items() if f.size > 1_000_000)
    file.path.write_bytes(file.path.read_bytes()[:-1] + b"!")
    with pytest.raises(MediumError, match=re.escape(f"{path} is not what")):
        patch_medium(tmp_path / "no.iso", SMALL, tiny, when=WHEN, extras=extras)
    file.path.write_bytes(b"cut")
    with pytest.raises(SourceError, match="became shorter"):
        patch_medium(tmp_path / "no.iso", SMALL, tiny, when=WHEN, extras=extras)
    file.path.unlink()
    with pytest.raises(SourceError, match="No such file"):
        patch_medium(tmp_path / "no.iso", SMALL, tiny, when=WHEN, extras=extras)
    assert [p.name for p in tmp_path.iterdir() if "iso" in p.name] == []


@pytest.mark.parametrize(
    ("path", "size", "words"),
    [
        ("extras/big.rpm", 1 << 32, "less than 4 GiB"),
        ("extras/a:b.rpm", 1, "cannot be on a medium"),
        ("extras/ä.rpm", 1, "cannot be on a medium"),
        (f"extras/{'a' * 102}", 1, "cannot be on a medium"),
        ("extras/" + "a/" * 8 + "a", 1, "too deep"),
        ("extras", 1, "not in a folder"),
        ("isolinux/a.rpm", 1, "the source has isolinux already"),
        (".discinfo/a.rpm", 1, "cannot be added"),
    ],
)
def test_refused(tiny: Path, tmp_path: Path, path: str, size: int, words: str) -> None:
    extras = {path: LocalFile(tmp_path / "x", size, "sha256", "")}
    with pytest.raises(MediumError, match=words):
        patch_medium(tmp_path / "no.iso", SMALL, tiny, when=WHEN, extras=extras)


def test_a_medium_with_extras_is_not_given_them_twice(
    tiny: Path, tmp_path: Path, extras: dict[str, LocalFile]
) -> None:
    patched(tiny, tmp_path / "one.iso", SMALL, extras)
    with pytest.raises(MediumError, match="has ksbuild-extras already"):
        patched(tmp_path / "one.iso", tmp_path / "two.iso", SMALL, extras)
    patched(tmp_path / "one.iso", tmp_path / "two.iso", SMALL, {})


def test_room_is_counted(
    tiny: Path, tmp_path: Path, extras: dict[str, LocalFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    free = tiny.stat().st_size + sum(file.size for file in extras.values()) // 2
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    with pytest.raises(OutputError, match="are free"):
        patch_medium(tmp_path / "no.iso", SMALL, tiny, when=WHEN, extras=extras)
    assert not list(tmp_path.glob("no*"))


_PEAK = r"""
import hashlib, re, sys
from pathlib import Path
from builder.media.local import LocalFile
from builder.media.patch.medium import patch_medium
from tests.media.patch.trees import SMALL, WHEN
source, out, big = map(Path, sys.argv[1:])
with big.open("rb") as file:
    digest = hashlib.file_digest(file, "sha256").hexdigest()
file = LocalFile(big, big.stat().st_size, "sha256", digest)
patch_medium(out, SMALL, source, when=WHEN, extras={"extras/Packages/big.rpm": file})
# Not ru_maxrss, which begins with what the parent had.
print(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])
"""


def test_memory_does_not_grow_with_the_files(tiny: Path, tmp_path: Path) -> None:
    big = tmp_path / "big.rpm"
    with big.open("wb") as file:
        file.write(b"begin")
        file.truncate(300_000_000)
    words = [sys.executable, "-c", _PEAK, str(tiny), str(tmp_path / "out.iso"), str(big)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    assert int(done.stdout) < 100 * 1024
