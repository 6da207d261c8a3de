"""A local repository for the medium."""

import contextlib
import hashlib
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from builder.packages.errors import RepositoryError
from builder.packages.extras import differing, extra_packages
from builder.packages.folder import read_folder
from builder.packages.signed import signers
from tests.packages.rpms import Rpm, build, dnf, repository, run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return repository(tmp_path / "repo", [Rpm("a", requires=("b",)), Rpm("b")])


def test_what_goes_along(folder: Path, tmp_path: Path) -> None:
    (folder / "notes.txt").write_text("stays here")
    (folder / "repodata" / "old-primary.xml.gz").write_text("stays here")
    extras = extra_packages(folder)
    found = extras.files
    assert {path for path in found if not path.startswith("ksbuild-extras/repodata/")} == {
        "ksbuild-extras/a-1.0-1.noarch.rpm",
        "ksbuild-extras/b-1.0-1.noarch.rpm",
    }
    index = found["ksbuild-extras/repodata/repomd.xml"]
    assert not {path for path in found if "old-" in path}
    assert extras.summary == {
        "folder": "ksbuild-extras",
        "repomd_sha256": hashlib.sha256(index.path.read_bytes()).hexdigest(),
        "packages": 2,
        "bytes": sum(file.path.stat().st_size for file in found.values()),
    }
    # A copy of just these files is a repository that dnf installs from.
    for path, file in found.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(file.path.read_bytes())
        with (tmp_path / path).open("rb") as copy:
            file.check(copy, path)
    copied = tmp_path / "ksbuild-extras"
    assert len(read_folder(copied).packages) == 2
    assert dnf(tmp_path, {"extras": copied}, ["a"]) == {"a-1.0-1.noarch", "b-1.0-1.noarch"}


def _remove(folder: Path) -> None:
    (folder / "a-1.0-1.noarch.rpm").unlink()


def _cut(folder: Path) -> None:
    (folder / "a-1.0-1.noarch.rpm").write_bytes(b"x")


def _alter(folder: Path) -> None:
    rpm = folder / "a-1.0-1.noarch.rpm"
    rpm.write_bytes(rpm.read_bytes()[:-1] + b"!")


def _add(folder: Path) -> None:
    build(folder, [Rpm("c")])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_remove, "a-1.0-1.noarch.rpm is missing"),
        (_cut, "a-1.0-1.noarch.rpm is of 1 bytes instead of"),
        (_alter, "a-1.0-1.noarch.rpm is altered"),
        (_add, "c-1.0-1.noarch.rpm is not listed"),
    ],
)
def test_stale(folder: Path, change: Callable[[Path], None], words: str) -> None:
    change(folder)
    with pytest.raises(RepositoryError) as caught:
        extra_packages(folder)
    assert words in caught.value.message
    assert caught.value.hint == f"createrepo_c {folder}"


def test_all_metadata_is_checked(folder: Path) -> None:
    other = next((folder / "repodata").glob("*other.xml.gz"))
    other.write_bytes(other.read_bytes() + b"!")
    with pytest.raises(RepositoryError, match=r"other\.xml\.gz is not what"):
        extra_packages(folder)


def test_no_repository(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="No such file") as caught:
        extra_packages(tmp_path)
    assert caught.value.hint == f"createrepo_c {tmp_path}"


@pytest.fixture(scope="module")
def keyring() -> Iterator[Path]:
    # gpg's agent makes a socket in there, whose path may be 107 bytes long.
    with tempfile.TemporaryDirectory(prefix="gpg") as home:
        words = ["gpg", "--homedir", home, "--batch", "--passphrase", ""]
        for kind in ("rsa2048", "rsa3072"):
            run(*words, "--quick-gen-key", kind, kind, "sign", "never")
        yield Path(home)
        run("gpgconf", "--homedir", home, "--kill", "all")


def fingerprint(keyring: Path, kind: str) -> str:
    said = run("gpg", "--homedir", keyring, "--with-colons", "--list-keys", f"={kind}")
    return str(re.findall(r"^fpr:+(\w+):", said, re.MULTILINE)[0])


def sign(keyring: Path, kind: str, rpm: Path) -> None:
    macros = ["__gpg /usr/bin/gpg", f"_gpg_path {keyring}", f"_gpg_name {kind}"]
    run("rpmsign", *(word for macro in macros for word in ("--define", macro)), "--addsign", rpm)


def test_who_signed(folder: Path, keyring: Path) -> None:
    """Like rpm itself, which is asked what %post asks."""
    a, b = folder / "a-1.0-1.noarch.rpm", folder / "b-1.0-1.noarch.rpm"
    assert signers(a) == ()
    sign(keyring, "rsa2048", a)
    sign(keyring, "rsa3072", b)
    for rpm, kind in ((a, "rsa2048"), (b, "rsa3072")):
        query = "%{RSAHEADER:pgpsig}"
        said = re.findall(r"Key ID (\w{16})", run("rpm", "-qp", "--qf", query, rpm), re.IGNORECASE)
        assert signers(rpm) == tuple({each.upper() for each in said})
        assert fingerprint(keyring, kind)[-16:] in signers(rpm)


def test_every_package_has_to_be_signed(folder: Path, keyring: Path) -> None:
    own, other = (fingerprint(keyring, kind)[-16:] for kind in ("rsa2048", "rsa3072"))
    sign(keyring, "rsa2048", folder / "a-1.0-1.noarch.rpm")
    run("createrepo_c", "-q", folder)
    with pytest.raises(RepositoryError, match=r"b-1.0-1.noarch.rpm \(not signed\)") as caught:
        extra_packages(folder, [own.lower()])
    assert "a-1.0-1" not in caught.value.message
    sign(keyring, "rsa3072", folder / "b-1.0-1.noarch.rpm")
    run("createrepo_c", "-q", folder)
    with pytest.raises(RepositoryError, match=rf"b-1.0-1.noarch.rpm \(key {other}\)"):
        extra_packages(folder, [own])
    assert extra_packages(folder, [own, other]).summary["packages"] == 2


@pytest.mark.parametrize("damage", [b"", b"no package", b"\xed\xab\xee\xdb" + bytes(200)])
def test_no_package(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "a.rpm").write_bytes(damage)
    with pytest.raises(RepositoryError, match="cannot be read as a package"):
        signers(tmp_path / "a.rpm")


def test_damaged_signature(folder: Path, keyring: Path) -> None:
    """Whatever byte is wrong: who signed is read, or it is no package; nothing else happens."""
    rpm = folder / "a-1.0-1.noarch.rpm"
    sign(keyring, "rsa2048", rpm)
    whole = rpm.read_bytes()
    for at in range(96, 1200):
        rpm.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        with contextlib.suppress(RepositoryError):
            assert len(signers(rpm)) <= 2


def test_what_is_on_a_medium(folder: Path) -> None:
    said = extra_packages(folder).summary

    def opener(inner: str) -> BinaryIO:
        try:
            return (folder / inner).open("rb")
        except OSError as error:
            raise RepositoryError(f"no {inner}", "") from error

    assert differing(said, opener) == []
    _alter(folder)
    assert differing(said, opener) == ["a-1.0-1.noarch.rpm is altered"]
    _remove(folder)
    assert differing(said, opener) == ["a-1.0-1.noarch.rpm is missing"]
    other = next((folder / "repodata").glob("*other.xml.gz"))
    kept = other.read_bytes()
    other.write_bytes(kept + b"!")
    assert "is not what repomd.xml says" in differing(said, opener)[0]
    other.write_bytes(kept)
    run("createrepo_c", "-q", folder)
    assert differing(said, opener) == ["repodata/repomd.xml is not the one that was put there"]
    (folder / "repodata/repomd.xml").unlink()
    assert differing(said, opener) == ["no repodata/repomd.xml"]
