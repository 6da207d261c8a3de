"""%pre at the disk: only a blank one, or this node's own on demand, is ever written to."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from firstboot.node import partition_uuid
from tests.uml.disk import partition, partitions, read_files
from tests.uml.guard import SENTINEL, put, refused
from tests.uml.images import Images
from tests.uml.lab import Lab
from tests.uml.pair import Server, TestPair, build_medium

pytestmark = [pytest.mark.uml, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def medium(el9_iso: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("guard")
    return build_medium(el9_iso, folder / "pair.iso", folder / "keys")


@pytest.fixture
def pair(images: Images, medium: Path, tmp_path: Path) -> Iterator[TestPair]:
    with Lab() as lab:
        made = TestPair(lab, images, medium, tmp_path / "servers")
        yield made
        made.close()


TAIL = (46 << 30) - (2 << 20)  # the last MiB of ks-data: behind it are a MiB and the table's copy


def test_the_other_nodes_entry(pair: TestPair) -> None:
    said = refused(pair, pair.servers[0], entry="julius")
    assert "this is not julius: it has not port 52:54:00:02:00:00" in said
    assert "52:54:00:01:00:00" in said, "the ports it saw are named"


def test_ports_in_a_bond_are_known_by_their_permanent_macs(pair: TestPair) -> None:
    """The kernel gives every port of a bond the first one's address."""
    server = pair.servers[0]
    put(server.disk, 0, b"x")
    script = """
modprobe bonding
ip link add bond0 type bond mode balance-rr
for port in vec1 vec2 vec3; do ip link set $port master bond0; done
cat /sys/class/net/vec*/address
"""
    said = refused(pair, server, script=script)
    first, second, _ = server.section.crossover.ports
    assert said.count(first) == 3
    assert second not in said
    assert "this is justinian" in said


@pytest.mark.parametrize(
    ("where", "content"),
    [
        pytest.param(0, b"\x00" * 510 + b"\x55\xaa", id="a boot sector"),
        pytest.param((46 << 30) - 4096, SENTINEL, id="at the end", marks=pytest.mark.slow),
        pytest.param(
            TAIL + (1 << 20) - len(SENTINEL),
            SENTINEL,
            id="at the end of the data",
            marks=pytest.mark.slow,
        ),
        pytest.param((36 << 30) + (1 << 20), SENTINEL, id="where data would start"),
    ],
)
def test_a_used_disk(pair: TestPair, where: int, content: bytes) -> None:
    server = pair.servers[0]
    put(server.disk, where, content)
    assert "neither blank nor this node's" in refused(pair, server)


def test_somebodys_partitions(pair: TestPair) -> None:
    server = pair.servers[0]
    subprocess.run(
        ["sfdisk", "-q", server.disk], input="label: gpt\nsize=1G, name=ks-data\n", text=True,
        check=True,
    )  # fmt: skip
    assert "ks-data" in refused(pair, server)


def test_our_own_disk_only_on_demand_and_never_its_data(pair: TestPair) -> None:
    server = pair.servers[0]
    assert pair.install(server, entry="justinian").success
    table = partitions(server.disk)
    assert "ks-root" in [entry.name for entry in table]
    put_data_sentinels(server)
    said = refused(pair, server)
    assert "carries justinian of this pair already" in said
    assert "ksbuild.reinstall=lab-justinian" in said
    verdict = pair.install(server, arguments=["ksbuild.reinstall=lab-justinian"])
    assert verdict.success, verdict.reason
    assert partitions(server.disk) == table
    check_data_sentinels(server)


def test_a_power_cut_in_the_middle_needs_no_typed_word(pair: TestPair) -> None:
    """The table is there, the installation is not: the same medium goes on, and keeps ks-data."""
    server = pair.servers[0]
    machine = pair.start_installer(server)
    machine.wait_console("stand-in: payload", 120)
    machine.power_cut()
    put_data_sentinels(server)
    verdict = pair.install(server)
    assert verdict.success, verdict.reason + verdict.script_tail
    assert "did not finish: going on" in "".join(verdict.logs.values())
    check_data_sentinels(server)
    files = read_files(pair.images, server.disk, pair.root_number(server), ["/tmp", "/etc/ksbuild"])
    assert "/etc/ksbuild/introduction/node.key" in files
    assert [path for path in files if path.startswith("/tmp")] == [], "Anaconda keeps its scripts"
    esp = partition(server.disk, partition_uuid(pair.plan.id, server.name, "esp"))
    mark = f"/EFI/ksbuild/{pair.plan.id}"
    assert read_files(pair.images, server.disk, esp.number, [mark]) == {mark: b"justinian\n"}
    assert "carries justinian of this pair already" in refused(pair, server)


def put_data_sentinels(server: Server) -> None:
    for place in _data_ends(server):
        put(server.disk, place, SENTINEL)


def check_data_sentinels(server: Server) -> None:
    with server.disk.open("rb") as file:
        for place in _data_ends(server):
            file.seek(place)
            assert file.read(len(SENTINEL)) == SENTINEL


def _data_ends(server: Server) -> tuple[int, int]:
    data = partition(server.disk, "ks-data")
    return data.start * 512, (data.start + data.size) * 512 - len(SENTINEL)
