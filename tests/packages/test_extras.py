"""A local repository for the medium."""

from collections.abc import Callable
from pathlib import Path

import pytest

from builder.packages.errors import RepositoryError
from builder.packages.extras import extra_packages
from builder.packages.folder import read_folder
from tests.packages.rpms import Rpm, build, dnf, repository


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return repository(tmp_path / "repo", [Rpm("a", requires=("b",)), Rpm("b")])


def test_what_goes_along(folder: Path, tmp_path: Path) -> None:
    (folder / "notes.txt").write_text("stays here")
    (folder / "repodata" / "old-primary.xml.gz").write_text("stays here")
    found = extra_packages(folder)
    assert {path for path in found if not path.startswith("extras/repodata/")} == {
        "extras/a-1.0-1.noarch.rpm",
        "extras/b-1.0-1.noarch.rpm",
    }
    assert "extras/repodata/repomd.xml" in found
    assert not {path for path in found if "old-" in path}
    # A copy of just these files is a repository that dnf installs from.
    for path, source in found.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(source.read_bytes())
    copied = tmp_path / "extras"
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
