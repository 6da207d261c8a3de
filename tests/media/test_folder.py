"""A folder that takes another's place: whole, in one step, or not at all."""

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from builder.media import folder as door
from builder.media.errors import OutputError, SourceError
from builder.media.folder import Staging, replacing_folder
from builder.media.unpack import Packed

MARK = "mark.json"


def make(out: Path, text: str, **more: Any) -> None:
    options: dict[str, Any] = {"force": True, "private": "private/", "group": None} | more
    options.setdefault("reuse", False)
    with replacing_folder(out, MARK, **options) as staging:
        staging.put(MARK, text.encode(), 0)
        staging.put("private/one", text.encode(), 0)


def test_there_is_always_one_of_the_two(tmp_path: Path) -> None:
    """Somebody who looks all the time never finds it missing, or half."""
    out = tmp_path / "tree"
    make(out, "0")
    seen: set[str] = set()
    end = threading.Event()

    def look() -> None:
        while not end.is_set():
            seen.add((out / MARK).read_text())

    watcher = threading.Thread(target=look)
    watcher.start()
    for number in range(1, 20):
        make(out, str(number))
    end.set()
    watcher.join()
    assert seen <= {str(number) for number in range(20)}
    assert (out / MARK).read_text() == "19"
    assert [p.name for p in tmp_path.iterdir()] == ["tree"]


def test_a_part_that_was_left_is_nobodys(tmp_path: Path) -> None:
    out = tmp_path / "tree"
    (tmp_path / "tree.part/private").mkdir(parents=True)
    (tmp_path / "tree.part/private/one").write_text("half")
    make(out, "1")
    assert (out / "private/one").read_text() == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["tree"]


def test_what_fails_leaves_the_older_one(tmp_path: Path) -> None:
    out = tmp_path / "tree"
    make(out, "1")
    options: dict[str, Any] = {"force": True, "private": "p/", "group": None, "reuse": False}

    def fail(error: BaseException) -> None:
        with replacing_folder(out, MARK, **options) as staging:
            staging.put(MARK, b"2", 0)
            raise error

    for error in (KeyboardInterrupt(), OSError(errno.ENOSPC, "no room"), RuntimeError()):
        with pytest.raises((KeyboardInterrupt, OutputError, RuntimeError)):
            fail(error)
        assert (out / MARK).read_text() == "1"
        assert [p.name for p in tmp_path.iterdir()] == ["tree"]


def test_where_folders_cannot_be_exchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on NFS. The older one stays, and one is told what to do."""
    out = tmp_path / "tree"
    make(out, "1")
    # A flag that no file system knows.
    monkeypatch.setattr(door, "_RENAME_EXCHANGE", 1 << 20)
    with pytest.raises(OutputError, match="cannot exchange") as told:
        make(out, "2")
    assert told.value.hint.startswith(f"rm -r {out}")
    assert (out / MARK).read_text() == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["tree"]


def test_a_folder_that_must_not_be_written_to(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is not a folder"):
        make(tmp_path / "none/tree", "1")
    with pytest.raises(OutputError, match="/sys/"):
        make(Path("/sys/tree"), "1")


def test_an_image_that_ends_early(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"abc")
    (tmp_path / "to").mkdir()
    staging = Staging(tmp_path / "to", None, "private/", None)
    with image.open("rb") as file, pytest.raises(SourceError, match="became shorter"):
        staging.unpack("a", Packed("a", ((0, 10),), 0), file)


def test_what_the_kernel_will_not_copy_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    content = os.urandom(3 * 1024 * 1024 + 17)
    (tmp_path / "image").write_bytes(b"." * 100 + content)
    (tmp_path / "to").mkdir()
    staging = Staging(tmp_path / "to", None, "private/", None)
    half = len(content) // 2
    extents = ((100, half), (100 + half, len(content) - half))
    with (tmp_path / "image").open("rb") as file:
        staging.unpack("a/b", Packed("a/b", extents, 1_000_000_000), file)
    assert (tmp_path / "to/a/b").read_bytes() == content
    assert (tmp_path / "to/a/b").stat().st_mtime == 1_000_000_000
