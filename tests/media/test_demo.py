"""The demonstration source: how it is made, and that it is made the same way twice."""

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.demo import packages, programs
from builder.demo.assemble import PACKAGES, assemble
from builder.demo.cpio import Entry, archive, folder, link
from builder.demo.elf import needed
from builder.demo.programs import DemoError, run
from builder.media.errors import OutputError
from builder.media.source import open_source
from tests.media.sources import DEMO_CACHE, ROOT


@pytest.fixture
def cache(demo_source: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of the package cache that costs no room; files in it must be replaced, not changed."""
    assert demo_source.exists()
    if not (DEMO_CACHE / "packages.json").exists():
        packages.fetch(PACKAGES, DEMO_CACHE, print)
    place = tmp_path / "cache"
    (place / "debs").mkdir(parents=True)
    shutil.copy(DEMO_CACHE / "packages.json", place)
    for deb in (DEMO_CACHE / "debs").iterdir():
        (place / "debs" / deb.name).symlink_to(deb)
    yield place
    shutil.rmtree(place)


@pytest.fixture
def no_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks apt fails."""

    def refuse(argv: list[str], **_: object) -> str:
        if argv[0] == "apt-get":
            raise DemoError("asked the archive", "do not")
        return run(argv)

    monkeypatch.setattr(packages, "run", refuse)


@pytest.mark.usefixtures("no_archive")
def test_same_bytes_again_without_a_network(
    demo_source: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Pacific/Chatham")
    time.tzset()
    before = os.umask(0o027)
    try:
        assemble(tmp_path / "again.iso", cache=cache)
    finally:
        os.umask(before)
        monkeypatch.undo()
        time.tzset()
    digests = [
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (demo_source, tmp_path / "again.iso")
    ]
    assert digests[0] == digests[1]
    assert sorted(path.name for path in cache.iterdir()) == ["debs", "lock", "packages.json"]


@pytest.mark.usefixtures("no_archive")
@pytest.mark.parametrize("damage", ["changed", "missing", "other wish"])
def test_a_cache_that_is_not_as_noted_is_not_used(cache: Path, damage: str) -> None:
    wanted = list(PACKAGES)
    deb = next((cache / "debs").glob("bash_*"))
    if damage == "other wish":
        wanted.append("zsh")
    else:
        content = bytearray(deb.read_bytes())
        deb.unlink()
        content[1000] ^= 1
        if damage == "changed":
            deb.write_bytes(content)
    with pytest.raises(DemoError, match="asked the archive"):
        packages.fetch(wanted, cache, print)


def test_unknown_package_is_named(tmp_path: Path) -> None:
    apt = packages._apt(tmp_path)
    with pytest.raises(DemoError, match="ksbuild-no-such-package"):
        packages._resolve(apt, ["ksbuild-no-such-package"])


def test_a_broken_package_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad_1_all.deb").write_bytes(b"!<arch>\n")
    with pytest.raises(DemoError, match=r"bad_1_all\.deb: dpkg-deb ended with status"):
        packages.unpack([tmp_path / "bad_1_all.deb"], tmp_path / "out")


def test_an_older_iso_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "demo.iso").write_bytes(b"old")
    with pytest.raises(OutputError, match="is there already"):
        assemble(tmp_path / "demo.iso", cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_initrd_has_what_a_pre_script_calls(demo_source: Path, tmp_path: Path) -> None:
    with open_source(demo_source) as source:
        content = gzip.decompress(source.read("images/pxeboot/initrd.img"))
    (tmp_path / "initrd.cpio").write_bytes(content)
    with (tmp_path / "initrd.cpio").open("rb") as file:
        listing = subprocess.run(["cpio", "-it"], stdin=file, capture_output=True, check=True)
    names = set(listing.stdout.decode().splitlines())
    tools = """
        awk bash blkid blockdev cat cp cut date dd dmidecode ethtool flock grep ip logger lsblk
        mkdir mktemp modprobe mount partx readlink sed sfdisk sha256sum sleep sort stat stty tee tr
        udevadm umount wipefs
    """
    missing = [
        tool for tool in tools.split() if not {f"usr/bin/{tool}", f"usr/sbin/{tool}"} & names
    ]
    assert missing == []
    assert {"init", "dev/console", "etc/group", "lib", "usr/lib/udev/cdrom_id"} <= names
    assert any(name.endswith("/modules.dep.bin") for name in names)
    assert any(name.endswith("/isofs.ko") for name in names)


def test_init_is_clean() -> None:
    checked = subprocess.run(
        ["shellcheck", ROOT / "builder/demo/init.sh"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout


@given(st.lists(st.binary(max_size=9), max_size=5), st.integers(0, 2**32 - 1))
def test_cpio_reads_the_archive(contents: list[bytes], when: int) -> None:
    entries = [folder("d"), link("d/l", "target")]
    entries += [
        Entry(f"d/{'n' * number}", 0o100644, text) for number, text in enumerate(contents, 1)
    ]
    made = archive(entries, when)
    assert len(made) % 4 == 0
    listed = subprocess.run(["cpio", "-it"], input=made, capture_output=True, check=True)
    assert listed.stdout.decode().split() == [entry.path for entry in entries]
    for entry in entries[2:]:
        one = subprocess.run(
            ["cpio", "-i", "--to-stdout", entry.path], input=made, capture_output=True, check=True
        )
        assert one.stdout == entry.content


def test_needed_libraries() -> None:
    names = needed(Path("/usr/bin/bash").resolve().read_bytes())
    assert names[0] == "/lib64/ld-linux-x86-64.so.2"
    assert "libc.so.6" in names
    assert needed(b"#!/bin/sh\n") == []
    assert needed(b"") == []


def test_programs_that_fail_say_why(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match="depmod is not installed") as caught:
        programs.run(["depmod"], environment={"PATH": str(tmp_path)})
    assert "apt-get install kmod" in caught.value.hint
    with pytest.raises(DemoError, match=r"cat ended with status 1\ncat: .*No such file"):
        run(["cat", tmp_path / "none"])
    with pytest.raises(DemoError, match="did not end within 0 s"):
        run(["sleep", "5"], timeout_s=0.1)


def test_programs_see_a_clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KSBUILD_SECRET", "x")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    seen = dict(line.split("=", 1) for line in run(["env"]).splitlines())
    assert "KSBUILD_SECRET" not in seen
    assert seen["LC_ALL"] == "C"


def test_lock_notes_every_file(cache: Path) -> None:
    noted = json.loads((cache / "packages.json").read_text())["packages"]
    assert {entry["file"] for entry in noted.values()} == {
        path.name for path in (cache / "debs").iterdir()
    }
