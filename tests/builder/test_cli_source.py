"""ksbuild iso --source: a file or an address, and what says that it is the right one."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builder.test_cli import ksbuild, profile
from tests.media.sources import demo_source
from tests.packages.webserver import Site, certificate, serving

__all__ = ["demo_source", "profile"]

NAME = "EL9.iso"


@pytest.fixture
def source(demo_source: Path, tmp_path: Path) -> Path:
    """The demonstration source under another name: it is small."""
    (tmp_path / NAME).symlink_to(demo_source)
    return tmp_path / NAME


@pytest.fixture
def site(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    context, trusted = certificate(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with serving(context) as found:
        found.files[f"/{NAME}"] = source.read_bytes()
        yield found


@pytest.fixture
def digest(source: Path) -> str:
    return hashlib.sha256(source.read_bytes()).hexdigest()


def checksums(place: Path, digest: str) -> Path:
    """A CHECKSUM file as AlmaLinux writes it."""
    place.write_text(f"# {NAME}: 1 bytes\nSHA256 ({NAME}) = {digest}\n")
    return place


def test_an_address_with_a_local_list_of_checksums(
    profile: Path, site: Site, digest: str, tmp_path: Path
) -> None:
    listed = checksums(tmp_path / "CHECKSUM", digest)
    address = f"{site.url}/{NAME}"
    words = ("iso", profile, "--source", address, "--checksum-file", listed)
    said = ksbuild(*words, "-o", tmp_path / "pair.iso")
    assert said.exit_code == 0, said.output
    kept = [p for p in (tmp_path / "cache/ksbuild").iterdir() if p.suffix == ".iso"]
    assert [hashlib.sha256(p.read_bytes()).hexdigest() for p in kept] == [digest]
    asked = len(site.asked)
    said = ksbuild(*words, "-o", tmp_path / "pair.iso", "--force")
    assert (said.exit_code, len(site.asked)) == (0, asked), "what is there is not fetched again"


@pytest.mark.parametrize("how", ["file", "address"])
@pytest.mark.parametrize("told", ["--sha256", "--checksum-file", "remote --checksum-file"])
def test_another_file_is_refused(
    profile: Path, site: Site, source: Path, digest: str, tmp_path: Path, how: str, told: str
) -> None:
    wrong = digest[::-1]
    listed = checksums(tmp_path / "CHECKSUM", wrong)
    site.files["/CHECKSUM"] = listed.read_bytes()
    values = {"--sha256": wrong, "--checksum-file": str(listed)}
    value = values.get(told, f"{site.url}/CHECKSUM")
    place = source if how == "file" else f"{site.url}/{NAME}"
    out = tmp_path / "pair.iso"
    said = ksbuild("iso", profile, "--source", place, told.rsplit(maxsplit=1)[-1], value, "-o", out)
    assert said.exit_code == 4
    assert f"has the wrong checksum: {wrong} expected, {digest} found" in said.stderr
    assert not out.exists()


def test_a_file_with_the_right_checksum(profile: Path, source: Path, digest: str) -> None:
    words = ("iso", profile, "--source", source, "--sha256", digest, "--dry-run")
    said = ksbuild(*words)
    assert said.exit_code == 0, said.output


def test_an_address_alone_proves_nothing(profile: Path, site: Site, tmp_path: Path) -> None:
    words = ("iso", profile, "--source", f"{site.url}/{NAME}", "-o", tmp_path / "pair.iso")
    said = ksbuild(*words)
    assert said.exit_code == 4
    assert "--no-verify-source" in said.stderr
    assert site.asked == []
    assert ksbuild(*words, "--no-verify-source").exit_code == 0


def test_a_list_that_is_not_there(profile: Path, site: Site, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    address = f"{site.url}/{NAME}"
    said = ksbuild("iso", profile, "--source", address, "--checksum-file", gone)
    assert said.exit_code == 6
    assert f"{gone}: No such file or directory" in said.stderr
