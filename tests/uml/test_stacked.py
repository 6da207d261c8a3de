"""%pre at disks that LVM and md use: taken apart by consent, never with another disk's content."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.uml.disk import blank_disk, partition
from tests.uml.guard import SENTINEL, consent_of, consenting_media, digest, put, refused
from tests.uml.images import Images
from tests.uml.installation import run_script
from tests.uml.lab import Lab
from tests.uml.machine import scratch_folder
from tests.uml.pair import TestPair

pytestmark = [pytest.mark.uml, pytest.mark.timeout(900)]

GIB = 1 << 30
MODULES = "modprobe dm-mod; modprobe raid1\n"
# The disk is /dev/ubda and the other one /dev/ubdb here, /dev/ubdc beside the medium.
TABLES = """
for disk in ubda ubdb; do
  printf 'label: gpt\\nsize=4G\\nsize=4G\\nsize=4G\\n' | sfdisk -q /dev/$disk
done
udevadm settle
"""
ALONE = """
lvm vgcreate -q old /dev/ubda1
lvm lvcreate -q -Wn -L 1G -n root old
lvm lvcreate -q -Wn -L 1G -n swap old
mkfs.ext4 -q -E nodiscard /dev/old/root
mkswap -q /dev/old/swap
mdadm --create /dev/md0 --run --assume-clean --level=1 --raid-devices=2 /dev/ubda2 /dev/ubda3
mkfs.ext4 -q -E nodiscard /dev/md0
lvm vgchange -an old
mdadm --stop /dev/md0
"""
ALL_ON = """
lvm vgchange -ay old
swapon /dev/old/swap
mdadm --assemble --run /dev/md0 /dev/ubda2 /dev/ubda3
grep 'active .*raid1' /proc/mdstat
"""
GROUP = """
lvm vgcreate -q old /dev/ubda1 /dev/ubdb1
lvm lvcreate -q -Wn -Zn -L 6G -n root old
lvm vgchange -an old
"""
ARRAY = """
mdadm --create /dev/md0 --run --assume-clean --level=1 --raid-devices=2 /dev/ubda1 /dev/ubdb1
mdadm --stop /dev/md0
"""
GROUP_OVER_ARRAY = """
mdadm --create /dev/md0 --run --assume-clean --level=1 --raid-devices=2 /dev/ubda1 /dev/ubda2
lvm vgcreate -q old /dev/md0 /dev/ubdb1
mdadm --stop /dev/md0
"""


def copy(disk: Path, target: Path) -> Path:
    """What was written to a sparse image, and its holes."""
    subprocess.run(["cp", "--sparse=always", disk, target], check=True)
    return target


class Kept:
    """Copies of the disks that each script made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.disks: dict[str, list[Path]] = {}

    def keep(self, script: str, disks: list[Path]) -> None:
        place = Path(tempfile.mkdtemp(dir=self.folder))
        self.disks[script] = [copy(disk, place / disk.name) for disk in disks]


class Used:
    """One server of the pair with a second disk, and scripts that put things on both."""

    def __init__(self, pair: TestPair, images: Images, kept: Kept) -> None:
        self.pair = pair
        self.images = images
        self.kept = kept
        self.server = pair.servers[0]
        self.other = blank_disk(pair.scratch / "other.img", 13)
        self.server.more_disks.append(self.other)

    def make(self, script: str) -> None:
        """Run the script on both disks; then each has its sentinel, inside the first partition.

        What a script made is kept: a second test begins with copies of those disks.
        """
        disks = [self.server.disk, self.other]
        if script in self.kept.disks:
            for kept, disk in zip(self.kept.disks[script], disks, strict=True):
                copy(kept, disk)
        else:
            folder = self.pair.folder / "make"
            whole = MODULES + TABLES + script
            run_script(self.pair.lab, self.images, whole, disks=disks, folder=folder)
            self.kept.keep(script, disks)
        for disk in disks:
            put(disk, 3 * GIB, SENTINEL)


@pytest.fixture(scope="module")
def kept() -> Iterator[Kept]:
    folder = Path(tempfile.mkdtemp(prefix="ksbuild-stacked-", dir=scratch_folder()))
    yield Kept(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def medium(el9_iso: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    return consenting_media(el9_iso, tmp_path_factory.mktemp("stacked"))


@pytest.fixture
def used(images: Images, medium: Callable[..., Path], tmp_path: Path, kept: Kept) -> Iterator[Used]:
    with Lab() as lab:
        pair = TestPair(lab, images, medium(), tmp_path / "servers")
        yield Used(pair, images, kept)
        pair.close()


def test_what_runs_on_this_disk_alone_is_wiped_by_consent(
    used: Used, medium: Callable[..., Path]
) -> None:
    """A group with an active volume and one that is swapped to, and an array that runs."""
    used.make(ALONE)
    server, before = used.server, digest(used.other)
    verdict = used.pair.install(server, script=MODULES + ALL_ON)
    said = verdict.script_tail + "".join(verdict.logs.values())
    assert "neither blank nor this node's" in said
    assert "LVM2_member" in said
    assert "linux_raid_member" in said
    with server.disk.open("rb") as file:
        file.seek(3 * GIB)
        assert file.read(len(SENTINEL)) == SENTINEL
    used.pair.medium = medium(consent_of(said))
    verdict = used.pair.install(server, script=MODULES + ALL_ON)
    assert verdict.success, verdict.reason + verdict.script_tail
    assert partition(server.disk, "ks-wiped")
    assert digest(used.other) == before
    assert "carries justinian of this pair already" in refused(used.pair, server), "used up"


@pytest.mark.slow
def test_what_lies_idle_on_this_disk_alone_is_wiped_by_consent(
    used: Used, medium: Callable[..., Path]
) -> None:
    used.make(ALONE)
    used.pair.medium = medium(consent_of(refused(used.pair, used.server)))
    before = digest(used.other)
    verdict = used.pair.install(used.server)
    assert verdict.success, verdict.reason + verdict.script_tail
    assert digest(used.other) == before


@pytest.mark.parametrize(
    ("made", "start", "named"),
    [
        pytest.param(GROUP, "", "volume group old (/dev/ubdc1)", id="group"),
        pytest.param(
            GROUP, "lvm vgchange -ay old", "/dev/dm-0", id="active group", marks=pytest.mark.slow
        ),
        pytest.param(ARRAY, "", "linux_raid_member,", id="array", marks=pytest.mark.slow),
        pytest.param(
            ARRAY,
            "mdadm --assemble --readonly /dev/md0 /dev/ubda1 /dev/ubdc1",
            "/dev/md0",
            id="running array",
        ),
        pytest.param(
            GROUP_OVER_ARRAY,
            "",
            "volume group old ([unknown])",
            id="group over an idle array",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_lies_on_another_disk_too_is_refused(
    used: Used, made: str, start: str, named: str
) -> None:
    used.make(made)
    said = refused(used.pair, used.server, script=MODULES + start)
    assert "lies on other disks, too" in said
    assert named in said
    assert "wipe = " not in said, "one disk's consent would end what another one holds"


@pytest.mark.slow
def test_consent_from_before_the_other_disk_was_plugged_in(
    used: Used, medium: Callable[..., Path]
) -> None:
    used.make(ARRAY)
    used.server.more_disks.clear()
    used.pair.medium = medium(consent_of(refused(used.pair, used.server)))
    used.server.more_disks.append(used.other)
    assert "lies on other disks, too" in refused(used.pair, used.server)


@pytest.mark.slow
def test_a_group_that_lacks_a_disk(used: Used) -> None:
    """What is on that disk may be all that is left of somebody's volume."""
    used.make(GROUP)
    used.server.more_disks.clear()
    said = refused(used.pair, used.server)
    assert "volume group old ([unknown])" in said
    assert "wipe = " not in said
