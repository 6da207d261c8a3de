"""A file appears whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from builder.media.errors import OutputError
from builder.media.output import replacing


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_new_file_appears_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "a.iso"
    with replacing(target, force=False) as out:
        out.write(b"new")
        assert names(tmp_path) == ["a.iso.part"]
    assert names(tmp_path) == ["a.iso"]
    assert target.read_bytes() == b"new"


def test_an_older_file_needs_force(tmp_path: Path) -> None:
    target = tmp_path / "a.iso"
    target.write_bytes(b"old")
    with (
        pytest.raises(OutputError, match="is there already") as caught,
        replacing(target, force=False),
    ):
        pytest.fail("the block must not run")
    assert "--force" in caught.value.hint
    assert target.read_bytes() == b"old"
    with replacing(target, force=True) as out:
        out.write(b"new")
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_whatever_ends_the_block_leaves_the_older_file(
    tmp_path: Path, error: type[BaseException]
) -> None:
    target = tmp_path / "a.iso"
    target.write_bytes(b"old")
    with pytest.raises(error), replacing(target, force=True) as out:
        raise error(out.write(b"half"))
    assert names(tmp_path) == ["a.iso"]
    assert target.read_bytes() == b"old"


def test_a_part_of_a_killed_run_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "a.iso.part").write_bytes(b"much longer than the new one")
    with replacing(tmp_path / "a.iso", force=False) as out:
        out.write(b"new")
    assert (tmp_path / "a.iso").read_bytes() == b"new"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_full_disk(tmp_path: Path, number: int) -> None:
    with pytest.raises(OutputError, match="full"), replacing(tmp_path / "a", force=False):
        raise OSError(number, os.strerror(number))
    assert names(tmp_path) == []


def test_too_little_room_is_seen_before_writing(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="are free"),
        replacing(tmp_path / "a", force=False, size=1 << 60),
    ):
        pytest.fail("the block must not run")
    assert names(tmp_path) == []


def test_other_errors_of_the_block_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a", force=False):
        (tmp_path / "elsewhere").read_bytes()
    assert names(tmp_path) == []


def test_targets_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.iso.part").mkdir()
    for target, reason in (
        (tmp_path / "folder", "not a regular file"),
        (Path("/dev/null"), "not a regular file"),
        (tmp_path / "none/a.iso", "is not a folder"),
        (tmp_path / "a.iso", "Is a directory"),
    ):
        with pytest.raises(OutputError, match=reason) as caught, replacing(target, force=True):
            pytest.fail("the block must not run")
        assert caught.value.hint
