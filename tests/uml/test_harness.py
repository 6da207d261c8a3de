"""Whole machines: an installation, two nodes that meet, and an installation refused."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
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
from tests.uml.sample import PARTITIONS, kickstart, mac, part_uuid

pytestmark = [pytest.mark.uml, pytest.mark.timeout(600)]

_LABEL = "KS HARNESS"

_RESULT = """\
@NODE@
bond: up
uplink: up
Bonding Mode: load balancing (round-robin)
Slave Interface: vec1
Slave Interface: vec2
Slave Interface: vec3
/ xfs
/boot ext4
/boot/efi vfat
/dev/ubda4
../usr/share/zoneinfo/Europe/Berlin
bond again: up
"""


@pytest.fixture(scope="module")
def images() -> Images:
    return prepare()


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Disks, in memory where there is room; consoles and verdicts go to pytest's own folder."""
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
    return [Nic(mac(node, n), cable.a if node == 1 else cable.b) for n, cable in enumerate(cables)]


@pytest.fixture(scope="module")
def medium(folder: Path) -> Path:
    files = {f"ks/node{node}.cfg": kickstart(node) for node in (1, 2)}
    files["ks/broken.cfg"] = kickstart(1).replace(b"enable sample", b"enable no-sample")
    return write_iso(folder / "medium.iso", _LABEL, files)


def arguments(node: int) -> list[str]:
    label = _LABEL.replace(" ", "\\x20")
    nosave = ["inst.nosave=input_ks,output_ks"] if node == 1 else []
    return [f"inst.ks=hd:LABEL={label}:/ks/node{node}.cfg", *nosave]


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


@pytest.fixture(scope="module")
def met(
    lab: Lab,
    cables: list[Cable],
    installed: dict[int, tuple[Path, Verdict]],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[int, Path]:
    """Both disks after the nodes ran together; node 1 was shut down, node 2 lost its power."""
    running: dict[int, Machine] = {}
    for node, (disk, verdict) in installed.items():
        assert verdict.success, (verdict.reason, verdict.script_tail)
        running[node] = start_node(
            lab,
            f"node{node}",
            disk=disk,
            root_uuid=part_uuid(node, "root"),
            nics=nics(node, cables),
            console=tmp_path_factory.mktemp(f"node{node}") / "console",
        )
    for machine in running.values():
        machine.wait_console("sample: met", 180)
    for cable in cables[1:]:
        lab.pull_cable(cable)
    for machine in running.values():
        machine.wait_console("sample: apart", 60)
    for cable in cables[1:]:
        lab.plug_cable(cable)
    for machine in running.values():
        machine.wait_console("sample: done", 60)
    running[1].shut_down()
    running[2].power_cut()
    assert not any(machine.alive for machine in running.values())
    return {node: disk for node, (disk, _) in installed.items()}


@pytest.mark.parametrize("node", [1, 2])
def test_a_kickstart_is_carried_out(node: int, installed: dict[int, tuple[Path, Verdict]]) -> None:
    disk, verdict = installed[node]
    assert verdict.success, (verdict.reason, verdict.script_tail)
    assert (verdict.ending, verdict.packages) == ("reboot", ("@core", "chrony"))
    assert "services: no chronyd.service on this platform" in verdict.notes
    assert [note for note in verdict.notes if "exit status 3" in note]
    assert "inside, installed by /mnt/sysroot" in "".join(verdict.logs.values())
    assert not [name for name in verdict.logs if name.startswith("onerror")]
    table = {p.uuid: p for p in partitions(disk)}
    assert [part_uuid(node, name) for name in PARTITIONS] == list(table)
    assert table[part_uuid(node, "esp")].name == "EFI System Partition"
    assert table[part_uuid(node, "data")].start == 36 << 21
    data = table[part_uuid(node, "data")]
    span = (data.start * 512, (data.start + data.size) * 512)
    assert not [e for e in written_extents(disk) if e[0] < span[1] and span[0] < e[1]]


@pytest.mark.parametrize("node", [1, 2])
def test_nodes_boot_from_their_disks_and_meet(
    node: int, met: dict[int, Path], images: Images
) -> None:
    disk = met[node]
    root = partition(disk, "ks-root")
    files = read_files(
        images, disk, root.number, ["/var/lib", "/etc/hostname", "/etc/fstab", "/root", "/nothing"]
    )
    assert files["/var/lib/sample.result"].decode() == _RESULT.replace("@NODE@", f"node{node}")
    # Shutting down writes all out; a power cut loses what nobody synced.
    assert files.get("/var/lib/sample.later", b"") == (b"not synced\n" if node == 1 else b"")
    assert files["/etc/hostname"] == f"node{node}\n".encode()
    assert files["/root/.ssh/authorized_keys"] == b"ssh-ed25519 AAAA sample\n"
    assert files["/root/sample-post.log"]
    assert "/nothing" not in files
    kept = {"/root/original-ks.cfg", "/root/anaconda-ks.cfg"} & set(files)
    assert len(kept) == (0 if node == 1 else 2)  # inst.nosave


@pytest.mark.parametrize("which", ["pre", "post"])
def test_a_failing_script_stops_the_installation(
    which: str,
    lab: Lab,
    images: Images,
    cables: list[Cable],
    medium: Path,
    folder: Path,
    tmp_path: Path,
) -> None:
    disk = blank_disk(folder / f"{which}.img", 44)
    address = mac(1, 0) if which == "post" else "52:54:00:00:99:00"
    verdict = install(
        lab,
        f"failing-{which}",
        images,
        disk=disk,
        medium=medium,
        nics=[Nic(address, cables[0].a)],
        arguments=["inst.ks=hd:LABEL=KS\\x20HARNESS:/ks/broken.cfg"],
        folder=tmp_path,
    )
    assert not verdict.success
    assert re.fullmatch(rf"%{which} script at line \d+ failed with exit status 1", verdict.reason)
    told = "this is not node1" if which == "pre" else "no-sample.service does not exist"
    assert told in verdict.script_tail
    assert (written_extents(disk) == []) == (which == "pre")
    # As in Anaconda: its first pass knows no %onerror.
    onerror = [text for name, text in verdict.logs.items() if name.startswith("onerror")]
    assert onerror == ([] if which == "pre" else ["sample: onerror ran\n"])


# Freezes its machine, so that it would live on for ever, and tells where it is.
_ABANDONED = """
import sys
from pathlib import Path
from tests.uml.lab import Lab
from tests.uml.machine import Hardware, Machine
with Lab() as lab:
    console = Path(sys.argv[1])
    machine = Machine(lab, "abandoned", Hardware(), ["standin.task=none"], console=console,
                      initrd=Path(sys.argv[2]))
    machine.wait_console("Run /init", 60)
    machine.mconsole("stop")
    print(machine.pid, flush=True)
    sys.stdin.read()
"""


def test_no_machine_outlives_its_tests(images: Images, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _ABANDONED, tmp_path / "console", images.installer],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        owner.kill()
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists():
            break
        time.sleep(0.1)
    assert not Path(f"/proc/{pid}").exists()
