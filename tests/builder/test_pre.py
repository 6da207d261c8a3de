"""%pre, run for real on images: which server, which disk, what is looked at before it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from builder.plan import Plan
from firstboot.node import partition_uuid
from tests.builder.server import GIB, NAMES, Server, refused

MIB = 2048


def disk_by(keys: str) -> tuple[str, str]:
    return "disk = { size_gib = [900, 1000] }", f"disk = {{ {keys} }}"


def test_a_blank_disk_is_partitioned(server: Server, example: Plan) -> None:
    image = server.add_disk("sda", 950)
    outcome = server.run(example.either)
    assert outcome.success, outcome.said
    table = server.table("sda")
    assert list(table) == NAMES
    data = table["ks-data"]
    assert data.uuid == partition_uuid(example.pair.id, "justinian", "data")
    assert data.start == 75507712  # lcm(1 MiB, 7 x 256 KiB)
    assert (data.start + data.size) % MIB == 0
    assert data.start + data.size == 950 * GIB // 512 - MIB
    fragment = server.fragment("ksbuild-disk.ks")
    assert "ignoredisk --only-use=sda\n" in fragment
    assert "part / --fstype=xfs --onpart=sda5\n" in fragment
    assert "sda6" not in fragment, "Anaconda never hears of ks-data"
    assert "--hostname=justinian" in server.fragment("ksbuild-network.ks")
    with image.open("rb") as file:
        file.seek(data.start * 512)
        assert not any(file.read(1 << 20))


def test_one_kickstart_knows_both_nodes(tmp_path: Path, example: Plan) -> None:
    node = example.profile.node[1]
    macs = (*node.uplink.ports, *node.crossover.ports)
    server = Server(tmp_path / "server", serial="CZC00014A2", macs=macs)
    server.add_disk("sda", 950)
    assert server.run(example.either).success
    uuid = partition_uuid(example.pair.id, "julius", "data")
    assert server.table("sda")["ks-data"].uuid == uuid
    assert "--hostname=julius" in server.fragment("ksbuild-network.ks")


@pytest.mark.parametrize("kickstart", ["either", "own"])
def test_unknown_hardware_is_refused(server: Server, example: Plan, kickstart: str) -> None:
    server.add_disk("sda", 950)
    server.serial = "USE000"
    text = example.either if kickstart == "either" else example.kickstarts["justinian"]
    said = refused(server.run(text), "this server is not known")
    assert "this is not justinian: it has not the serial number CZC00014A1" in said
    assert "its serial number is 'USE000'" in said
    assert "00:25:B3:22:D9:3C" in said


def test_a_missing_port_is_refused_though_the_serial_number_fits(
    server: Server, example: Plan
) -> None:
    server.add_disk("sda", 950)
    server.macs = server.macs[:2] + server.macs[3:]
    missing = example.profile.node[0].crossover.ports[1]
    assert f"it has not port {missing}" in refused(server.run(example.either), "not known")


def test_ports_that_the_agent_finds_name_no_server(
    server: Server, changed: Callable[..., Plan]
) -> None:
    ports = '["00:25:B3:22:D9:3D", "00:25:B3:22:D9:3E", "00:25:B3:22:D9:3F"]'
    server.add_disk("sda", 950)
    server.macs = server.macs[:1]
    outcome = server.run(changed((ports, '"auto"')).either)
    assert outcome.success, outcome.said


def test_a_port_is_known_by_its_permanent_mac(server: Server, example: Plan) -> None:
    """In a bond a port shows the bond's, and a driver may tell none."""
    server.add_disk("sda", 950)
    bond, made_with = "02:00:00:00:00:01", server.macs[2]
    server.macs = (*server.macs[:2], bond, *server.macs[3:])
    assert f"it has not port {made_with}" in refused(server.run(example.either), "not known")
    server.permanent[bond] = made_with.lower()
    server.permanent[server.macs[0]] = "00:00:00:00:00:00"
    outcome = server.run(example.either)
    assert outcome.success, outcome.said


def test_a_mac_that_was_only_set_is_not_the_ports(server: Server, example: Plan) -> None:
    server.add_disk("sda", 950)
    server.permanent[server.macs[2]] = "02:00:00:00:00:01"
    refused(server.run(example.either), f"it has not port {server.macs[2]}")


def test_serial_wwn_and_path_find_the_disk(server: Server, changed: Callable[..., Plan]) -> None:
    told = {"SERIAL": "  600508B1001C ", "WWN": "0x600508b1001c"}
    server.add_disk("sda", 950)
    server.add_disk("sdb", 950, told=told)
    (server.root / "dev/disk/by-path/pci-0000:03:00.0-scsi-0:1:0:0").symlink_to("../../sdb")
    keys = (
        'serial = "600508B1001C", wwn = "0x600508b1001c",'
        ' path = "pci-0000:03:00.0-scsi-0:1:0:0", size_gib = [900, 1000]'
    )
    other = (
        '[[node]]\nname = "julius"\nserial = "CZC00014A2"\ndisk = { size_gib = [900, 1000] }',
        '[[node]]\nname = "julius"\nserial = "CZC00014A2"\ndisk = { path = "y" }',
    )
    outcome = server.run(changed(other, disk_by(keys)).either)
    assert outcome.success, outcome.said
    assert outcome.written == ("sdb",)


@pytest.mark.parametrize(
    "keys", ['serial = "X1"', 'wwn = "0x1"', 'path = "pci-1"', "size_gib = [90, 100]"]
)
def test_no_disk_fits(server: Server, changed: Callable[..., Plan], keys: str) -> None:
    server.add_disk("sda", 950, told={"SERIAL": "600508B1001C", "WWN": "0x600508b1001c"})
    (server.root / "dev/disk/by-path/pci-1").symlink_to("../../sdx")
    other = ('"CZC00014A2"\ndisk = { size_gib = [900, 1000] }', '"CZC00014A2"\ndisk = {path="y"}')
    outcome = server.run(changed(other, disk_by(keys)).either)
    assert "600508B1001C" in refused(outcome, "0 disks fit node.disk")


def test_two_disks_fit(server: Server, example: Plan) -> None:
    server.add_disk("sda", 950)
    server.add_disk("sdb", 960)
    refused(
        server.run(example.either), "2 disks fit node.disk of the profile, exactly one may: sda sdb"
    )


def test_a_read_only_disk_does_not_fit(server: Server, example: Plan) -> None:
    server.add_disk("sda", 950)
    (server.root / "sys/block/sda/ro").write_text("1\n")
    refused(server.run(example.either), "0 disks fit")


def test_too_small_a_disk(server: Server, changed: Callable[..., Plan]) -> None:
    server.add_disk("sda", 36.9)
    plan = changed(disk_by("size_gib = [38, 1000]"), ("os_gib = 36", "os_gib = 36"))
    refused(server.run(plan.either.replace("'38 1000'", "'30 1000'")), "no room for 1 GiB of data")


def test_no_virtualization(server: Server, example: Plan) -> None:
    server.add_disk("sda", 950)
    server.cpu = "fpu vme"
    refused(server.run(example.either), "no hardware virtualization")
    server.cpu = "fpu svm sse"
    assert server.run(example.either).success


def test_secure_boot(server: Server, example: Plan, changed: Callable[..., Plan]) -> None:
    server.add_disk("sda", 950)
    variables = server.root / "sys/firmware/efi/efivars"
    variables.mkdir(parents=True)
    variable = variables / "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    variable.write_bytes(b"\x06\0\0\0\1")
    refused(server.run(example.either), "Secure Boot is on")
    enrolled = changed(("[install]\n", "[install]\nsecure_boot_key_enrolled = true\n"))
    assert server.run(enrolled.either).success
    variable.write_bytes(b"\x06\0\0\0\0")
    assert server.run(example.either).success


def test_a_repository_that_does_not_answer(server: Server, changed: Callable[..., Plan]) -> None:
    server.add_disk("sda", 950)
    plan = changed(("[install]\n", '[install]\nproxy = "http://proxy.example:3128"\n'))
    assert server.run(plan.either).success
    asked = (server.root / "curl").read_text().splitlines()
    tree = "https://repo.almalinux.org/almalinux/9"
    assert [line.split()[-1] for line in asked] == [
        f"{tree}/BaseOS/x86_64/os/repodata/repomd.xml",
        f"{tree}/AppStream/x86_64/os/repodata/repomd.xml",
        f"{tree}/HighAvailability/x86_64/os/repodata/repomd.xml",
        f"{tree}/ResilientStorage/x86_64/os/repodata/repomd.xml",
        "https://elrepo.org/linux/elrepo/el9/x86_64/repodata/repomd.xml",
    ]
    assert all("--proxy http://proxy.example:3128 " in line for line in asked)
    server.refuses = ("curl",)
    refused(server.run(plan.either), "/BaseOS/x86_64/os/ does not answer")
