"""%pre, run for real on images: what goes where, and what is on the disk already."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.plan import Plan
from tests.builder.server import GIB, NAMES, SENTINEL, Server, extents, put, refused, sfdisk
from tests.uml.disk import Partition

MIB = 2048


@pytest.fixture(scope="module")
def layout(example: Plan, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Partition]:
    """The partitions of a disk of 950 GiB, by name: from a real run."""
    server = Server(tmp_path_factory.mktemp("layout") / "server", macs=macs_of(example, 0))
    server.add_disk("sda", 950)
    assert server.run(example.either).success
    return server.table("sda")


def macs_of(plan: Plan, number: int) -> tuple[str, ...]:
    node = plan.profile.node[number]
    return (*node.uplink.ports, *node.crossover.ports)


@pytest.mark.parametrize(
    ("minimum", "optimal", "grain"),
    [
        (512, 0, 2048),
        (65536, 448 * 1024, 14336),
        (262144, 1792 * 1024, 14336),
        (512, 33553920, 2048),  # a controller's nonsense
        (512, 786432, 6144),
        (512, 128 << 20, 2048),
        (4096, 4096, 2048),
    ],
)
def test_the_disks_io_sizes_count(
    server: Server, changed: Callable[..., Plan], minimum: int, optimal: int, grain: int
) -> None:
    server.add_disk("sda", 950, minimum=minimum, optimal=optimal)
    plan = changed(("raid_strip_kib = 256", ""), ("raid_data_disks = 7", ""))
    assert server.run(plan.either).success
    start = server.table("sda")["ks-data"].start
    assert start % grain == 0
    assert 0 <= start - 36 * GIB // 512 < grain


def test_sectors_of_4096_bytes(server: Server, example: Plan) -> None:
    """The table is written in the disk's own sectors; a BIOS could not start from it."""
    server.add_disk("sda", 950, sector=4096)
    refused(server.run(example.either), "sectors of 4096 bytes, which a BIOS cannot start from")
    (server.root / "sys/firmware/efi").mkdir(parents=True)
    server.stub("sfdisk", '[ "$1" = --quiet ] && cat >$SERVER/sfdisk')
    assert "did not appear" in server.run(example.either).said
    script = (server.root / "sfdisk").read_text()
    assert "first-lba: 256\n" in script
    assert "start=256, size=256, " in script
    data = re.search(r"start=(\d+), size=(\d+), type=8DA", script)
    assert data
    assert (int(data[1]) * 8, (int(data[1]) + int(data[2])) * 8) == (
        75507712,
        950 * GIB // 512 - MIB,
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("end", ["head", "tail"])
def test_a_byte_at_either_end_of_any_partition_is_seen(
    server: Server, example: Plan, layout: dict[str, Partition], name: str, end: str
) -> None:
    """Where metadata of DRBD, md, LVM and file systems lies."""
    planned = layout[name]
    image = server.add_disk("sda", 950)
    last = (planned.start + planned.size) * 512 - 1
    put(image, planned.start * 512 if end == "head" else last, b"x")
    refused(server.run(example.either), "neither blank nor this node's")


@pytest.mark.parametrize("where", [0, 950 * GIB - 1])
def test_a_byte_at_either_end_of_the_disk_is_seen(
    server: Server, example: Plan, where: int
) -> None:
    put(server.add_disk("sda", 950), where, b"x")
    refused(server.run(example.either), "neither blank nor this node's")


@pytest.mark.parametrize("program", ["wipefs", "dd"])
def test_an_unreadable_disk_is_not_blank(server: Server, example: Plan, program: str) -> None:
    server.add_disk("sda", 950)
    server.refuses = (program,)
    refused(server.run(example.either), "/dev/sda")


def test_an_unfinished_installation_goes_on_and_keeps_the_data(
    server: Server, example: Plan
) -> None:
    image = server.add_disk("sda", 950)
    assert server.run(example.either).success
    data = server.table("sda")["ks-data"]
    put(image, data.start * 512, SENTINEL)
    before, table = extents(image), server.table("sda")
    outcome = server.run(example.either)
    assert outcome.success, outcome.said
    assert "did not finish: going on, keeping ks-data" in outcome.said
    assert (extents(image), server.table("sda")) == (before, table)


@pytest.mark.parametrize("name", ["ks-root", "", "ks-Unfinished2"])
def test_a_finished_one_is_left_alone_without_the_word(
    server: Server, example: Plan, name: str
) -> None:
    """Only the very name that %pre gave means unfinished; one that got lost does not."""
    image = server.add_disk("sda", 950)
    assert server.run(example.either).success
    sfdisk(image, "--part-label", "5", name)
    said = refused(server.run(example.either), "carries justinian of this pair already")
    assert "ksbuild.reinstall=00014-justinian" in said
    server.cmdline = "quiet ksbuild.reinstall=00014-julius"
    refused(server.run(example.either), "carries justinian of this pair already")
    table = server.table("sda")
    server.cmdline = "quiet ksbuild.reinstall=00014-justinian x"
    assert server.run(example.either).success
    after = server.table("sda")
    assert after["ks-data"] == table["ks-data"]
    assert "ks-unfinished" in after, "a power cut from here on needs no typed word again"


def test_a_disc_left_in_is_ejected_once_an_hour(server: Server, example: Plan) -> None:
    """A drive that takes it in again would have the server start over and over."""
    image = server.add_disk("sda", 950)
    assert server.run(example.either).success
    sfdisk(image, "--part-label", "5", "ks-root")
    hook = server.root / "run/initramfs/usr/lib/dracut/hooks/shutdown/99anaconda-eject.sh"
    hook.parent.mkdir(parents=True)
    (server.root / "dev/sr0").touch()
    (server.root / "dev/disk/by-label").mkdir()
    (server.root / "dev/disk/by-label/KSBUILD").symlink_to("../../sr0")
    restarted = server.root / "systemctl"
    now, restarts = 1_800_000_000, 0
    for later, ejects in ((0, True), (300, False), (3000, False), (3601, True), (-9999, False)):
        server.stub("date", f"echo {now + later}")
        outcome = server.run(example.either)
        assert ("in 60 seconds the disc is ejected" in outcome.said) == ejects, later
        assert ("but a note of this was written" in outcome.said) == ejects
        if not ejects:
            refused(outcome, "carries justinian of this pair already")
        restarts += ejects
        assert restarted.read_text() == "reboot\n" * restarts
    assert hook.read_text().endswith(f"eject {server.root}/dev/sr0\n")


@pytest.mark.parametrize("change", ["strip", "system", "disk"])
def test_a_changed_profile_or_disk_never_orphans_the_data(
    server: Server, example: Plan, changed: Callable[..., Plan], change: str
) -> None:
    server.add_disk("sda", 950)
    assert server.run(example.either).success
    before = server.table("sda")["ks-data"]
    if change == "disk":  # the controller now tells other I/O sizes: no reason to move anything
        (server.root / "sys/block/sda/queue/optimal_io_size").write_text("3145728\n")
        assert server.run(example.either).success
        assert server.table("sda")["ks-data"] == before
        return
    words = ("raid_data_disks = 7", "raid_data_disks = 5") if change == "strip" else (
        "os_gib = 36", "os_gib = 40")  # fmt: skip
    said = refused(server.run(changed(words).either), "carries the data of justinian")
    assert "erase" not in said
    assert "wipe" not in said


def test_a_lost_partition_of_the_system_never_costs_the_data(server: Server, example: Plan) -> None:
    image = server.add_disk("sda", 950)
    assert server.run(example.either).success
    sfdisk(image, "--delete", "3")
    said = refused(server.run(example.either), "but its partition ks-boot is gone")
    assert "no medium of this pair will erase this disk" in said


def test_the_peers_disk_is_never_erased(server: Server, example: Plan, tmp_path: Path) -> None:
    julius = Server(tmp_path / "julius", serial="CZC00014A2", macs=macs_of(example, 1))
    image = julius.add_disk("sda", 950)
    assert julius.run(example.either).success
    server.add_disk("sda", 950).unlink()
    image.rename(server.root / "dev/sda")
    said = refused(server.run(example.either), "carries the data of julius, the other node")
    assert "wipe = " not in said


def test_the_nodes_data_on_another_disk(
    server: Server, example: Plan, changed: Callable[..., Plan]
) -> None:
    server.add_disk("sda", 950)
    assert server.run(example.either).success
    server.add_disk("sdb", 500)
    plan = changed(("disk = { size_gib = [900, 1000] }", "disk = { size_gib = [400, 600] }"))
    refused(server.run(plan.either), "/dev/sda6 carries the data of justinian")
