"""%pre at used disks: what others left is seen by a real kernel, and wiped by consent alone."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.uml.disk import blank_disk, partition, partitions
from tests.uml.guard import SENTINEL, consent_of, consenting_media, digest, put, refused
from tests.uml.images import Images
from tests.uml.lab import Lab
from tests.uml.pair import TestPair

pytestmark = [pytest.mark.uml, pytest.mark.timeout(600)]

GIB = 1 << 30


@pytest.fixture(scope="module")
def medium(el9_iso: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    return consenting_media(el9_iso, tmp_path_factory.mktemp("used"))


@pytest.fixture
def pair(images: Images, medium: Callable[..., Path], tmp_path: Path) -> Iterator[TestPair]:
    with Lab() as lab:
        made = TestPair(lab, images, medium(), tmp_path / "servers")
        yield made
        made.close()


def somebodys_data(image: Path, folder: Path, table: str) -> None:
    """A GPT with one partition of 2 GiB behind 40 GiB: GFS2 over DRBD, both made by their tools."""
    script = "label: gpt\nstart=40G, size=2G, name=ks-data\n"
    subprocess.run(["sfdisk", "-q", image], input=script, text=True, check=True)
    device = folder / "device"
    with device.open("xb") as file:
        file.truncate(2 * GIB)
    argv: list[str | Path] = ["mkfs.gfs2", "-qO", "-p", "lock_dlm", "-t", table, "-j", "1", device]
    subprocess.run(argv, check=True, capture_output=True)
    argv = ["drbdmeta", "--force", "0", "v08", device, "internal", "create-md"]
    subprocess.run(argv, check=True, capture_output=True)
    argv = ["dd", f"if={device}", f"of={image}", "bs=1M", "seek=40960", "conv=notrunc,sparse"]
    subprocess.run(argv, check=True, capture_output=True)


def test_another_pairs_data_is_wiped_by_consent_once(
    pair: TestPair, medium: Callable[..., Path], tmp_path: Path
) -> None:
    server = pair.servers[0]
    somebodys_data(server.disk, tmp_path, "00014:FS0")
    put(server.disk, 20 * GIB, SENTINEL)
    other = blank_disk(pair.scratch / "other.img", 8)
    put(other, 1 << 20, SENTINEL)
    server.more_disks.append(other)
    said = refused(pair, server)
    assert "gfs2" in said
    assert "drbd" in said, "blkid would hide one behind the other"
    pair.medium = medium(consent_of(said))
    before = digest(other)
    verdict = pair.install(server)
    assert verdict.success, verdict.reason + verdict.script_tail
    assert digest(other) == before
    data = partition(server.disk, "ks-wiped")
    with server.disk.open("rb") as file:
        for place in (data.start * 512, (data.start + data.size) * 512 - (1 << 20)):
            file.seek(place)
            assert not any(file.read(1 << 20))
    assert "carries justinian of this pair already" in refused(pair, server), "used up"


def test_this_pairs_data_is_never_consented_to(pair: TestPair, tmp_path: Path) -> None:
    """Whatever its partition is called now, the lock table is this pair's."""
    server = pair.servers[0]
    somebodys_data(server.disk, tmp_path, "lab:FS0")
    said = refused(pair, server)
    assert "carries the file system of pair lab" in said
    assert "wipe = " not in said


def test_two_disks_fit(pair: TestPair) -> None:
    server = pair.servers[0]
    server.more_disks.append(blank_disk(pair.scratch / "second.img", 46))
    said = refused(pair, server)
    assert "2 disks fit node.disk of the profile, exactly one may: ubda ubdc" in said


def test_too_small_a_disk(pair: TestPair) -> None:
    server = pair.servers[0]
    server.disk.unlink()
    blank_disk(server.disk, 37)
    assert "0 disks fit" in refused(pair, server)


@pytest.mark.slow
def test_our_own_disk_with_the_esp_renamed(pair: TestPair) -> None:
    """Anaconda renames the ESP, and so does the stand-in: no name but one means anything."""
    server = pair.servers[0]
    assert pair.install(server).success
    names = [entry.name for entry in partitions(server.disk)]
    assert "EFI System Partition" in names
    assert "carries justinian of this pair already" in refused(pair, server)
