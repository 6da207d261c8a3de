"""Describe this server: what it writes is TOML, and it writes it to nothing else."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from builder.plan import Plan
from tests.builder.server import Server, put

LAN = "IP Address Source       : Static Address\nIP Address              : 10.0.1.112\n"


@pytest.fixture
def described(server: Server) -> Server:
    """A server with two ports, two disks and a BMC."""
    server.serial = 'CZC "1"\\'
    server.macs = server.macs[:2]
    server.add_disk("sda", 950, told={"SERIAL": "  PDNLH0BRH ", "WWN": "0x600508b1001c"})
    server.add_disk("sdb", 8)
    table = "label: gpt\nsize=1G\n"
    subprocess.run(["sfdisk", "-q", server.root / "dev/sdb"], input=table, text=True, check=True)
    (server.root / "dev/disk/by-path/pci-0000:03:00.0").symlink_to("../../sda")
    server.stub("ethtool", "echo 'Permanent address: 00:25:b3:22:d9:3c'")
    server.stub("ipmitool", f"printf '{LAN}'")
    # At last it waits for someone to switch the server off.
    server.stub("sleep", '[ "$1" != 3600 ] || kill "$PPID"')
    for number, carrier in ((0, 1), (1, 0)):
        device = server.root / f"sys/devices/pci/0000:0{number}:00.0"
        device.mkdir(parents=True)
        port = server.root / f"sys/class/net/eth{number}"
        port.mkdir(parents=True)
        (port / "device").symlink_to(device)
        (port / "carrier").write_text(f"{carrier}\n")
    return server


def toml_of(said: str) -> dict[str, object]:
    lines = [line.removeprefix("ksbuild: ") for line in said.splitlines()]
    wanted = re.compile(r"\[|\w+ = ")
    return tomllib.loads("\n".join(line for line in lines if wanted.match(line)))


def test_it_says_what_the_profile_asks_for(described: Server, example: Plan) -> None:
    outcome = described.run(example.describe)
    assert outcome.written == ()
    found = toml_of(outcome.said)
    assert found["server"] == {"serial": 'CZC "1"\\'}
    assert found["bmc"] == {"address": "10.0.1.112"}
    ports = found["port"]
    assert isinstance(ports, list)
    assert [port["carrier"] for port in ports] == ["1", "0"]
    assert ports[0]["mac"] == "00:25:B3:22:D9:3C"
    assert ports[0]["path"].endswith("/pci/0000:00:00.0")
    disks = found["disk"]
    assert isinstance(disks, list)
    assert disks[0] == {
        "name": "sda", "size_gib": 950, "serial": "PDNLH0BRH", "wwn": "0x600508b1001c",
        "path": "pci-0000:03:00.0", "signatures": "",
    }  # fmt: skip
    assert disks[1]["signatures"] == "PMBR gpt"
    assert "no volume is labelled KSBUILD-OUT" in outcome.said


def test_it_writes_to_the_volume_made_for_it(
    described: Server, example: Plan, tmp_path: Path
) -> None:
    described.serial = "CZC00014A1"
    put(described.root / "dev/sdb", 5 << 30, b"sentinel")
    folder = described.root / "dev/disk/by-label"
    folder.mkdir(parents=True)
    (folder / "KSBUILD-OUT").symlink_to("../../sdb")
    described.stub("mount", f'echo "$@" >{tmp_path}/mounted')
    described.stub("umount", "exit 0")
    outcome = described.run(example.describe)
    assert outcome.written == ()
    assert (tmp_path / "mounted").read_text().split()[0].endswith("/dev/sdb")
    found = tomllib.loads(described.fragment("ksbuild-out/CZC00014A1.toml"))
    assert found["server"] == {"serial": "CZC00014A1"}
    assert "written: CZC00014A1.toml on the volume KSBUILD-OUT" in outcome.said
