"""`make iso` as it is typed: where the medium goes, what is replaced, how the source is proved."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.media.sources import demo_source, el9_iso
from tests.packages.webserver import certificate, serving

__all__ = ["demo_source", "el9_iso"]


def make(root: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run make, but not the set-up: what runs the tests is set up."""
    argv = ["make", "--no-print-directory", "-o", "setup", "iso"]
    argv += [f"BIN={Path(sys.executable).parent}", *words]
    return subprocess.run(argv, cwd=root, capture_output=True, text=True, check=False)


@pytest.fixture
def profile(root: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(root / "profiles/lab.toml", tmp_path / "pair.toml"))


def test_a_real_medium_is_made_where_nothing_is_and_never_replaced(
    root: Path, profile: Path, el9_iso: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new/folder/pair.iso"
    words = (f"PROFILE={profile}", f"SOURCE={el9_iso}", f"OUT={out}")
    done = make(root, *words)
    assert done.returncode == 0, done.stderr
    before = out.read_bytes()
    again = make(root, *words)
    assert again.returncode != 0
    assert f"{out} is there already" in again.stderr
    assert out.read_bytes() == before


def test_an_address_with_its_checksum(
    root: Path, profile: Path, el9_iso: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, trusted = certificate(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    digest = hashlib.sha256(el9_iso.read_bytes()).hexdigest()
    listed = tmp_path / "CHECKSUM"
    listed.write_text(f"SHA256 (EL9.iso) = {digest}\n")
    with serving(context) as site:
        site.files["/EL9.iso"] = el9_iso.read_bytes()
        words = (f"PROFILE={profile}", f"SOURCE={site.url}/EL9.iso", f"OUT={tmp_path}/pair.iso")
        assert "nothing says what" in make(root, *words).stderr
        assert make(root, *words, f"SHA256={'0' * 64}").returncode != 0
        assert not (tmp_path / "pair.iso").exists()
        done = make(root, *words, f"SHA256={digest}")
        assert done.returncode == 0, done.stderr
        (tmp_path / "pair.iso").unlink()
        done = make(root, *words, f"CHECKSUM={listed}")
        assert done.returncode == 0, done.stderr


def test_a_demonstration_is_replaced(root: Path, profile: Path, tmp_path: Path) -> None:
    """As `make iso` is meant to be typed again; nothing is lost with it."""
    words = ("-n", "-o", "build/demo-source.iso", f"PROFILE={profile}", f"OUT={tmp_path}/demo.iso")
    line = make(root, *words).stdout
    assert "--source build/demo-source.iso" in line
    assert "--force" in line
    assert "--force" not in make(root, *words, "SOURCE=EL9.iso").stdout
