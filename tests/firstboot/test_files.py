"""Files are old or new, never half, and never readable by others for a moment."""

import os
from pathlib import Path, PurePosixPath

import pytest

from firstboot import files, latches
from firstboot.configfile import ConfigFile, placeholder

SECRET = ConfigFile(PurePosixPath("/etc/a/b.key"), "x\n", 0o600)


def test_written_once_then_left_alone(tmp_path: Path) -> None:
    assert files.differing(tmp_path, [SECRET]) == ["/etc/a/b.key is not as planned"]
    assert files.write(tmp_path, [SECRET]) == [tmp_path / "etc/a/b.key"]
    assert files.differing(tmp_path, [SECRET]) == []
    assert files.write(tmp_path, [SECRET]) == []
    (tmp_path / "etc/a/b.key").chmod(0o644)
    assert files.differing(tmp_path, [SECRET])
    files.write(tmp_path, [SECRET])
    assert (tmp_path / "etc/a/b.key").stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path / "etc/a") == ["b.key"]


def test_the_mode_holds_from_the_first_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fchmod", lambda *_: pytest.fail("power cut"))
    old = os.umask(0)
    try:
        with pytest.raises(pytest.fail.Exception):
            files.replace(tmp_path / "b.key", b"x", 0o600)
    finally:
        os.umask(old)
    assert [p.stat().st_mode & 0o777 for p in tmp_path.iterdir()] == [0o600]


def test_a_cut_while_writing_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "status.json"
    files.replace(target, b"old", 0o644)
    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", lambda *_: pytest.fail("power cut"))
        with pytest.raises(pytest.fail.Exception):
            files.replace(target, b"new", 0o644)
    assert target.read_bytes() == b"old"
    files.replace(target, b"new", 0o644)  # what the cut left behind is in nobody's way
    assert target.read_bytes() == b"new"


def test_everything_is_synced_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(handle: int) -> None:
        happened.append("fsync")
        real_fsync(handle)

    def replace(old: Path, new: Path) -> None:
        happened.append("rename")
        real_replace(old, new)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    files.replace(tmp_path / "x", b"", 0o644)
    assert happened == ["fsync", "rename", "fsync"]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / ".x.new").symlink_to(tmp_path / "elsewhere")
    files.replace(tmp_path / "x", b"1", 0o644)
    assert not (tmp_path / "elsewhere").exists()


def test_a_latch_is_set_once(tmp_path: Path) -> None:
    assert not latches.is_set(tmp_path, latches.COMPLETE)
    latches.set_once(tmp_path, latches.COMPLETE, "first")
    latches.set_once(tmp_path, latches.COMPLETE, "second")
    assert latches.is_set(tmp_path, latches.COMPLETE)
    assert (tmp_path / "var/lib/ksbuild/complete").read_text() == "first"


def test_a_secret_is_put_in_while_writing(tmp_path: Path) -> None:
    name = placeholder("drbd")
    file = ConfigFile(PurePosixPath("/etc/x"), f"secret {name};\n", 0o600, ("drbd",))
    with pytest.raises(FileNotFoundError):
        files.write(tmp_path, [file])
    assert not (tmp_path / "etc/x").exists()
    files.make_folder(tmp_path / files.SECRETS)
    files.create(tmp_path / files.SECRETS / "drbd", b"s3cret", 0o600)
    assert files.differing(tmp_path, [file]) == ["/etc/x is not as planned"]
    files.write(tmp_path, [file])
    assert (tmp_path / "etc/x").read_text() == "secret s3cret;\n"
    assert not files.differing(tmp_path, [file])
