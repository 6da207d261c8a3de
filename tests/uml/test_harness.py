"""Whole machines: install, boot, network, and a refused installation, from the harness's kickstart."""

from __future__ import annotations

import base64
import io
import os
import tarfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.uml.disk import blank_disk, partition, partitions, read_files, written_extents
from tests.uml.images import Images, prepare
from tests.uml.installation import Verdict, install, start_node
from tests.uml.lab import Cable, Lab
from tests.uml.machine import Machine, Nic, scratch_folder
from tests.uml.medium import write_iso

pytestmark = [pytest.mark.uml, pytest.mark.timeout(600)]

_SAMPLE = (Path(__file__).parent / "sample.ks").read_text()
_NAMES = ("biosboot", "esp", "boot", "swap", "root", "data")
_LABEL = "KS HARNESS"

# Runs at the node's boot. It writes its result last, whole, and only then powers the node off.
_PROGRAM = """
cat /proc/sys/kernel/hostname > /var/lib/sample.result
ping -c1 -W1 -q 10.9.0.@PEER@ >/dev/null; echo "uplink before: $?" >> /var/lib/sample.result
for try in $(seq 60); do
  ping -c1 -W1 -q 192.168.7.@PEER@ >/dev/null && { echo "bond: up" >> /var/lib/sample.result; break; }
done
for try in $(seq 60); do
  ping -c1 -W1 -q 10.9.0.@PEER@ >/dev/null && { echo "uplink: up" >> /var/lib/sample.result; break; }
done
grep -h -E 'Mode|Slave Interface' /proc/net/bonding/bond0 >> /var/lib/sample.result
findmnt -rno TARGET,FSTYPE / /boot >> /var/lib/sample.result
findmnt -rno TARGET,FSTYPE /boot >> /var/lib/sample.result
findmnt -rno TARGET,FSTYPE /boot/efi >> /var/lib/sample.result
swapon --show=NAME --noheadings --raw >> /var/lib/sample.result
readlink /etc/localtime >> /var/lib/sample.result
sync
echo "sample: result written" > /dev/console
"""


def mac(node: int, nic: int) -> str:
    return f"52:54:00:00:{node:02x}:{nic:02x}"


def part_uuid(node: int, name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"harness-{node}-{name}"))


def profiles(node: int) -> str:
    """A tar, in base64, of a bond over the three crossover ports, each found by its MAC."""
    texts = {
        "bond0": (
            f"[connection]\nid=bond0\nuuid={uuid.uuid4()}\ntype=bond\ninterface-name=bond0\n"
            "autoconnect-slaves=1\n[bond]\nmode=balance-rr\nmiimon=100\n"
            f"[ipv4]\nmethod=manual\naddress1=192.168.7.{node}/24\n[ipv6]\nmethod=disabled\n"
        )
    }
    for nic in (1, 2, 3):
        texts[f"bond0-{nic}"] = (
            f"[connection]\nid=bond0-{nic}\nuuid={uuid.uuid4()}\ntype=ethernet\nmaster=bond0\n"
            f"slave-type=bond\n[ethernet]\nmac-address={mac(node, nic).upper()}\n"
        )
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, text in texts.items():
            info = tarfile.TarInfo(f"etc/NetworkManager/system-connections/{name}.nmconnection")
            info.size, info.mode = len(text), 0o600
            tar.addfile(info, io.BytesIO(text.encode()))
    return base64.encodebytes(buffer.getvalue()).decode().strip()


def kickstart(node: int) -> bytes:
    words = {f"@{name.upper()}@": part_uuid(node, name) for name in _NAMES}
    words |= {"@PROGRAM@": _PROGRAM.strip(), "@PROFILES@": profiles(node)}
    words |= {"@MAC@": mac(node, 0), "@NODE@": f"node{node}", "@NUMBER@": str(node)}
    text = _SAMPLE
    for word, value in words.items():
        text = text.replace(word, value)
    return text.replace("@PEER@", str(3 - node)).encode()


@pytest.fixture(scope="module")
def images() -> Images:
    return prepare()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Disks in memory where there is room; consoles and verdicts stay below pytest's own folder."""
    disks = scratch_folder() / f"ksbuild-harness-{os.getpid()}"
    disks.mkdir()
    yield disks
    for path in disks.iterdir():
        path.unlink()
    disks.rmdir()


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.fixture(scope="module")
def cables(lab: Lab) -> list[Cable]:
    return [lab.cable() for _ in range(4)]


def nics(node: int, cables: list[Cable]) -> list[Nic]:
    return [
        Nic(mac(node, n), cable.a if node == 1 else cable.b) for n, cable in enumerate(cables)
    ]


@pytest.fixture(scope="module")
def medium(folder: Path) -> Path:
    files = {f"ks/node{node}.cfg": kickstart(node) for node in (1, 2)}
    return write_iso(folder / "medium.iso", _LABEL, files)


def arguments(node: int) -> list[str]:
    label = _LABEL.replace(" ", "\\x20")
    return [f"inst.ks=hd:LABEL={label}:/ks/node{node}.cfg", "inst.nosave=input_ks,output_ks"]


@pytest.fixture(scope="module")
def installed(
    lab: Lab,
    images: Images,
    cables: list[Cable],
    medium: Path,
    folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[int, tuple[Path, Verdict]]:
    """Both nodes, installed at the same time from one medium."""

    def one(node: int) -> tuple[Path, Verdict]:
        disk = blank_disk(folder / f"node{node}.img", 44)
        verdict = install(
            lab,
            f"installer{node}",
            images,
            disk=disk,
            medium=medium,
            nics=nics(node, cables),
            arguments=arguments(node),
            folder=tmp_path_factory.mktemp(f"installer{node}"),
        )
        return disk, verdict

    with ThreadPoolExecutor(2) as pool:
        return dict(zip((1, 2), pool.map(one, (1, 2)), strict=True))
