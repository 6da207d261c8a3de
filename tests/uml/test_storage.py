"""Real DRBD 8.4 and mkfs.gfs2 on two machines: data once, whatever the disks carry, and cuts."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from firstboot.node import partition_uuid
from tests.uml.images import Images
from tests.uml.lab import Lab
from tests.uml.machine import Machine
from tests.uml.storage import MIB, Node, StoragePair, unpack

pytestmark = [pytest.mark.uml, pytest.mark.timeout(400)]

DONE_S = 120.0
START = MIB  # of the data partition on its disk
FIRST_CUTS = (
    "drbdadm create-md",
    "drbdadm adjust",
    "drbdadm new-current-uuid",
    "drbdadm primary vmdata",
    "mkfs.gfs2",
    "drbdadm secondary",
)
SECOND_CUTS = ("drbdadm create-md", "drbdadm adjust")


@pytest.fixture(scope="module")
def root(pair_images: Images, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(pair_images.rootfs, tmp_path_factory.mktemp("rootfs") / "root")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


def both(pair: StoragePair) -> list[Machine]:
    """Switch both on, wait until both are through."""
    machines = [pair.start(0), pair.start(1)]
    for machine in machines:
        machine.wait_console("storage: done", DONE_S)
    return machines


def off(machines: list[Machine]) -> None:
    for machine in machines:
        machine.power_cut()


def said(machine: Machine, word: str) -> Any:
    """What the node's program said last under a word."""
    found = re.findall(rf"^storage: {word}: (.*)$", machine.console_text(), re.MULTILINE)
    return json.loads(found[-1])


def mkfs_runs(pair: StoragePair) -> int:
    """How often mkfs.gfs2 came to its end, in the whole life of the pair."""
    texts = [path.read_text(errors="replace") for path in pair.folder.glob("console-*")]
    return len(re.findall(r'^storage: (?:ran|did): "mkfs.gfs2', "".join(texts), re.MULTILINE))


def content(node: Node) -> bytes:
    """The data on the node's disk: what lies before DRBD's metadata."""
    with node.disk.open("rb") as disk:
        disk.seek(START)
        return disk.read(189 * MIB)


def holds(pair: StoragePair) -> None:
    """The promises, whatever happened before."""
    for node in pair.nodes:
        assert "data-exists" in node.latches()
    first, second = (content(node) for node in pair.nodes)
    assert first == second
    assert b"lab:FS0" in first[:MIB]


def test_from_blank_to_a_file_system(lab: Lab, root: Path, tmp_path: Path) -> None:
    pair = StoragePair(lab, root, tmp_path)
    machines = both(pair)
    off(machines)
    holds(pair)
    assert mkfs_runs(pair) == 1
    for machine in machines:
        state = said(machine, "proc")
        assert "cs:Connected ro:Secondary/Secondary ds:UpToDate/UpToDate" in state
        assert said(machine, "latches") == ["data-exists", "seed-started"]
        assert said(machine, "again") < 2
    assert said(machines[0], "rates") == [["78848k"], ["262144k"]], "KiB/s, in life"
    assert "cleared bitmap UUID" in machines[0].console_text()
    assert "mkfs.gfs2" not in machines[1].console_text()
    assert "5ec2e7" not in "".join(machine.console_text() for machine in machines)


def test_a_wiped_disk_gets_a_real_sync(lab: Lab, root: Path, tmp_path: Path) -> None:
    """What was left between the ends of the second node's disk is gone afterwards."""
    pair = StoragePair(lab, root, tmp_path)
    pair.nodes[1].new_disk(192, "ks-wiped")
    with pair.nodes[1].disk.open("r+b") as disk:
        disk.seek(100 * MIB)
        disk.write(b"left over" * 1000)
    machines = both(pair)
    off(machines)
    holds(pair)
    assert b"left over" not in content(pair.nodes[1])
    assert "Began resync as SyncTarget (will sync 194516 KB" in machines[1].console_text()


def test_foreign_content_stops_both_and_stays(lab: Lab, root: Path, tmp_path: Path) -> None:
    pair = StoragePair(lab, root, tmp_path)
    with pair.nodes[1].disk.open("r+b") as disk:
        disk.seek(START + 1080)
        disk.write(b"\x53\xef")  # ext4's magic
        disk.seek(START + 90 * MIB)
        disk.write(b"sentinel")
    before = [node.disk.read_bytes() for node in pair.nodes]
    machines = [pair.start(0), pair.start(1)]
    machines[0].wait_console('storage: failed: "the data partition of the peer', DONE_S)
    machines[1].wait_console('storage: failed: "the data partition of this node', DONE_S)
    off(machines)
    assert [node.disk.read_bytes() for node in pair.nodes] == before
    assert not pair.nodes[0].latches() | pair.nodes[1].latches()


@pytest.fixture(scope="module")
def lived(lab: Lab, root: Path, tmp_path_factory: pytest.TempPathFactory) -> StoragePair:
    """A pair with its file system, and something in it."""
    pair = StoragePair(lab, root, tmp_path_factory.mktemp("lived"))
    off(both(pair))
    return pair


@pytest.mark.slow
def test_both_installed_anew_keep_the_data(lived: StoragePair) -> None:
    before = content(lived.nodes[0])
    for node in lived.nodes:
        node.forget()
    off(both(lived))
    holds(lived)
    assert content(lived.nodes[0]) == before
    assert mkfs_runs(lived) == 1
    assert not any("seed-started" in node.latches() for node in lived.nodes)


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 0], ids=["second", "first"])
def test_a_new_disk_takes_what_the_other_has(lived: StoragePair, number: int) -> None:
    """Also the first node, which seeds, never seeds over its peer's data."""
    before = content(lived.nodes[0])
    lived.nodes[number].forget()
    lived.nodes[number].new_disk(192)
    off(both(lived))
    holds(lived)
    assert content(lived.nodes[number]) == before
    assert mkfs_runs(lived) == 1


@pytest.mark.slow
def test_unrelated_data_stops_both(lived: StoragePair) -> None:
    """As if the second node's disk came from another life of this pair."""
    node = lived.nodes[1]
    for each in lived.nodes:
        each.forget()
    uuid = partition_uuid(node.identity.pair.id, node.identity.node, "data")
    argv = ["losetup", "-f", "--show", "-o", str(START), "--sizelimit", str(190 * MIB)]
    made = subprocess.run([*argv, node.disk], capture_output=True, text=True, check=True)
    loop = made.stdout.strip()
    try:
        gi = ":".join(["B" * 16, "0" * 16, "0" * 16, "0" * 16])
        drbdmeta = ["drbdmeta", "--force", "0", "v08", loop, "internal"]
        subprocess.run([*drbdmeta, "set-gi", gi], check=True, capture_output=True)
    finally:
        subprocess.run(["losetup", "-d", loop], check=True)
    before = [each.disk.read_bytes() for each in lived.nodes]
    machines = [lived.start(0), lived.start(1)]
    for machine in machines:
        machine.wait_console("generations of data that are not related", DONE_S)
    off(machines)
    assert [each.disk.read_bytes() for each in lived.nodes] == before
    assert uuid in machines[1].console_text()


def cut_at(pair: StoragePair, number: int, command: str, *, after: bool) -> None:
    """Cut one node's power at a command, before or after it ran, and switch it on again."""
    environment = [f"CUT={command}", *(["AFTER=1"] if after else [])]
    machines = [pair.start(n, environment if n == number else ()) for n in (0, 1)]
    machines[number].wait_console("storage: did:" if after else "storage: cut:", DONE_S)
    machines[number].power_cut()
    again = pair.start(number)
    for machine in (again, machines[1 - number]):
        machine.wait_console("storage: done", DONE_S)
    off([again, machines[1 - number]])
    holds(pair)


@pytest.mark.slow
def test_cut_within_mkfs_it_is_made_anew(lab: Lab, root: Path, tmp_path: Path) -> None:
    """After mkfs.gfs2, before the latch: nothing can have mounted it."""
    pair = StoragePair(lab, root, tmp_path)
    cut_at(pair, 0, "mkfs.gfs2", after=True)
    assert mkfs_runs(pair) == 2
    off(both(pair))  # from here on nothing may
    assert mkfs_runs(pair) == 2


@pytest.mark.slow
def test_a_peer_cut_off_while_the_file_system_is_made(lab: Lab, root: Path, tmp_path: Path) -> None:
    """DRBD freezes what mkfs.gfs2 writes, and lets it go on when the peer is back."""
    pair = StoragePair(lab, root, tmp_path)
    first, second = pair.start(0, ["CUT=mkfs.gfs2", "WAIT=25"]), pair.start(1)
    first.wait_console("storage: cut", DONE_S)
    second.power_cut()
    first.wait_console('storage: ran: "mkfs.gfs2', DONE_S)
    first.wait_console("susp( 0 -> 1 )", DONE_S)
    assert "data-exists" not in pair.nodes[0].latches()
    machines = [first, pair.start(1)]
    for machine in machines:
        machine.wait_console("storage: done", DONE_S)
    off(machines)
    holds(pair)
    assert "susp( 1 -> 0 )" in first.console_text()
    assert mkfs_runs(pair) == 1


@pytest.mark.slow
def test_both_cut_between_one_latch_and_the_other(lab: Lab, root: Path, tmp_path: Path) -> None:
    """The first node knows of the data, the second does not: they meet again all the same."""
    pair = StoragePair(lab, root, tmp_path)
    off(both(pair))
    (pair.nodes[1].folder / "var/lib/ksbuild/data-exists").unlink()
    off(both(pair))
    holds(pair)
    assert mkfs_runs(pair) == 1


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("number", "command"), [*((0, c) for c in FIRST_CUTS), *((1, c) for c in SECOND_CUTS)]
)
def test_a_cut_at_every_command(
    lab: Lab, root: Path, tmp_path: Path, number: int, command: str, after: bool
) -> None:
    cut_at(StoragePair(lab, root, tmp_path), number, command, after=after)
