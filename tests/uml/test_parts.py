"""The harness's pure parts; no machine runs here."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pykickstart.parser import KickstartParser
from pykickstart.version import makeVersion

from tests.uml import archive, mconsole
from tests.uml.apt import deb822_stanzas, one_line_stanzas
from tests.uml.disk import blank_disk, partition, partitions, written_extents
from tests.uml.images import mmdebstrap_argv
from tests.uml.installer import kickstart, source, storage, target
from tests.uml.installer.report import InstallationError, Report
from tests.uml.kernel import module_closure
from tests.uml.lab import Cable, End, policy_argv
from tests.uml.machine import Disk, Hardware, Nic, kernel_argv


def test_kernel_command_line() -> None:
    hardware = Hardware(
        disks=[
            Disk(Path("/d/a.img")),
            Disk(Path("/d/b.iso"), read_only=True),
            Disk(Path("/d/c.img"), overlay=Path("/d/c.new")),
        ],
        nics=[Nic("52:54:00:00:01:00", End(7000, 7001))],
        memory=640,
    )
    assert kernel_argv("n1", Path("/l/n1"), hardware, ["root=/dev/ubda5"], Path("/i.cpio")) == [
        *("/usr/bin/linux.uml", "umid=n1", "uml_dir=/l/n1/", "mem=640M"),
        *("con=null", "con0=null,fd:1", "ssl=null", "initrd=/i.cpio"),
        *("ubd0=/d/a.img", "ubd1r=/d/b.iso", "ubd2=/d/c.new,/d/c.img"),
        "vec0:transport=l2tpv3,udp=1,src=127.0.0.1,dst=127.0.0.1,srcport=7000,dstport=7001"
        ",rx_session=0x1,tx_session=0x1,mac=52:54:00:00:01:00",
        "root=/dev/ubda5",
    ]


@pytest.mark.parametrize("mark", [" ", ",", ":"])
def test_a_path_the_kernel_would_cut_is_refused(mark: str) -> None:
    hardware = Hardware(disks=[Disk(Path(f"/d/a{mark}b"))])
    with pytest.raises(ValueError, match="cannot take this path"):
        kernel_argv("n1", Path("/l"), hardware, [], None)


def test_a_cable_crosses_over() -> None:
    cable = Cable(End(7000, 7001), End(7001, 7000))
    added = " ".join(policy_argv("add", cable.a))
    assert "sport 7000 dport 7001 dir in action block" in added
    assert policy_argv("delete", cable.a) == [
        "delete" if word == "add" else word for word in policy_argv("add", cable.a)[:-2]
    ]


def test_management_console_datagrams() -> None:
    sent = mconsole.encode("sysrq s")
    assert len(sent) == 524
    assert sent[:12] == bytes.fromhex("bebafeca 02000000 07000000")
    assert mconsole.decode(bytes.fromhex("00000000 01000000 03000000") + b"ok\0") == (
        *(False, True),
        "ok",
    )
    with pytest.raises(ValueError, match="511 bytes"):
        mconsole.encode("x" * 512)


def test_modules_come_with_all_they_need() -> None:
    index = "k/a-b.ko: k/c.ko\nk/c.ko: k/d.ko\nk/d.ko:\nk/e.ko:\n"
    assert module_closure(index, ["a_b"]) == ["k/a-b.ko", "k/c.ko", "k/d.ko"]
    with pytest.raises(KeyError):
        module_closure(index, ["nosuch"])


def test_an_archive_becomes_a_cpio_that_cpio_reads(tmp_path: Path) -> None:
    assert shutil.which("cpio"), "next: sudo apt-get install cpio"
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for entry in (
            *(archive.folder("./bin"), archive.file("./bin/true", b"content", 0o755)),
            *(archive.link("./sbin", "bin"), archive.file("./gone/x", b"")),
        ):
            tar.addfile(entry.info, io.BytesIO(entry.data))
        hard = tarfile.TarInfo("./bin/also")
        hard.type, hard.linkname = tarfile.LNKTYPE, "./bin/true"
        tar.addfile(hard)
    members = [
        *archive.members(tmp_path / "a.tar", ("gone/",)),
        archive.character_device("console", 5, 1),
    ]
    with (tmp_path / "a.cpio").open("wb") as out:
        archive.write_cpio(iter(members), out)
    listed = subprocess.run(
        ["cpio", "-itv", "--quiet", "-F", tmp_path / "a.cpio"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = [(line.split()[0], line.split()[8:]) for line in listed.splitlines()]
    assert rows[:4] == [
        ("drwxr-xr-x", ["bin"]),
        ("-rwxr-xr-x", ["bin/true"]),
        ("lrwxrwxrwx", ["sbin", "->", "bin"]),
        ("-rw-r--r--", ["bin/also"]),
    ]
    assert "5,   1" in listed
    subprocess.run(
        ["cpio", "-id", "--quiet", "-F", tmp_path / "a.cpio", "bin/also"], cwd=tmp_path, check=True
    )
    assert (tmp_path / "bin/also").read_bytes() == b"content"


def test_only_the_suite_is_taken_from_the_machines_sources() -> None:
    lines = [
        "deb [arch=amd64 signed-by=/k.gpg] http://m.invalid/debian bookworm main contrib",
        "deb http://m.invalid/other stable main",
        "# deb http://m.invalid/debian bookworm main",
    ]
    wanted = "Types: deb\nURIs: http://m.invalid/debian\nSuites: bookworm\nComponents: main\n"
    assert list(one_line_stanzas(lines)) == [f"{wanted}Signed-By: /k.gpg\n"]
    text = "Types: deb deb-src\n# note\nURIs: http://m.invalid/debian\nSuites: bookworm trixie\n"
    text += "Components: main contrib\n\nTypes: deb\nURIs: x\nSuites: trixie\nComponents: main\n"
    assert list(deb822_stanzas(text)) == [wanted]


def test_mmdebstrap_gets_sources_only_if_there_are_any() -> None:
    with_sources = mmdebstrap_argv(["a", "b"], Path("/f"), Path("/t.tar"), own_sources=True)
    assert with_sources[-3:] == ["bookworm", "/t.tar", "/f/machine.sources"]
    assert "--include=a,b" in with_sources
    without = mmdebstrap_argv(["a"], Path("/f"), Path("/t.tar"), own_sources=False)
    assert without[-2:] == ["bookworm", "/t.tar"]


def test_a_blank_disk_shows_what_is_written(tmp_path: Path) -> None:
    disk = blank_disk(tmp_path / "d.img", 40)
    assert disk.stat().st_size == 40 << 30
    assert written_extents(disk) == []
    with pytest.raises(ValueError, match=r"d\.img"):
        partitions(disk)
    with disk.open("r+b") as image:
        image.seek(1 << 30)
        image.write(bytes(4096))
    assert written_extents(disk) == [(1 << 30, (1 << 30) + 4096)]


def test_the_partition_table_is_read(tmp_path: Path) -> None:
    disk = blank_disk(tmp_path / "p1.img", 1)
    uuid = "3f2b7f6a-0000-4000-8000-00000000000a"
    script = f'label: gpt\nstart=2048, size=2048, uuid={uuid}, name="one"\nstart=8192, name="two"\n'
    subprocess.run(["sfdisk", "-q", disk], input=script, text=True, check=True)
    one = partition(disk, uuid.upper())
    assert (one.number, one.start, one.size, one.name) == (1, 2048, 2048, "one")
    assert partition(disk, "two").number == 2
    with pytest.raises(LookupError, match="0 partitions"):
        partition(disk, "three")


def test_the_kickstart_is_found_as_the_command_line_says() -> None:
    arguments = source.command_line("root=x inst.ks=hd:LABEL=A\\x20B:/ks/n.cfg quiet")
    device, path = source.kickstart_place(arguments)
    assert (source.device_path(device), path) == (Path("/dev/disk/by-label/A\\x20B"), "/ks/n.cfg")
    assert source.kickstart_place({}) == ("LABEL=OEMDRV", "/ks.cfg")
    assert source.device_path("/dev/ubdb") == source.device_path("ubdb") == Path("/dev/ubdb")
    with pytest.raises(InstallationError, match="cdrom"):
        source.kickstart_place({"inst.ks": "cdrom:/ks.cfg"})


def test_nosave_is_understood_or_refused() -> None:
    assert source.nosave({}) == set()
    assert source.nosave({"inst.nosave": "all_ks"}) == {"input_ks", "output_ks"}
    assert source.nosave({"inst.nosave": "all"}) == {"input_ks", "output_ks", "logs"}
    with pytest.raises(InstallationError, match="inputks"):
        source.nosave({"inst.nosave": "inputks"})


def read(tmp_path: Path, text: str) -> tuple[Any, Report]:
    path, report = tmp_path / "ks.cfg", Report()
    path.write_text(text)
    return kickstart.read(path, report), report


def test_every_rule_is_for_a_command_of_el9() -> None:
    commands = set(makeVersion(kickstart.VERSION).commands)
    assert set(kickstart.NOTED) <= commands
    assert commands >= kickstart.HANDLED
    assert not kickstart.HANDLED & set(kickstart.NOTED)


@pytest.mark.parametrize("line", ["autopart", "raid / --device=0 sda1", "driverdisk sda"])
def test_a_command_without_a_rule_is_an_error(tmp_path: Path, line: str) -> None:
    with pytest.raises(InstallationError, match=r"line 2: .* no rule for '\w+'"):
        read(tmp_path, f"text\n{line}\n")


@pytest.mark.parametrize("text", ["nosuch --x\n", "%certificate\n%end\n", "%include /nosuch/x\n"])
def test_what_is_not_understood_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(InstallationError):
        read(tmp_path, text)


def test_only_pre_is_read_at_first(tmp_path: Path) -> None:
    path = tmp_path / "ks.cfg"
    path.write_text(
        "%include /written/by/pre\nbootloader\n%pre --interpreter=/bin/bash --log=/tmp/x\n"
        "echo a\n%end\n%post\necho b\n%end\n%onerror\necho c\n%end\n%packages\nz\n%end\n"
    )
    [script] = kickstart.read_pre_scripts(path)
    assert (script.interp, script.logfile, script.script) == ("/bin/bash", "/tmp/x", "echo a\n")


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("clearpart --all", "clearpart"),
        ("clearpart --none --initlabel", "clearpart"),
        ("part / --size=1024", "creates a partition"),
        ("part / --onpart=/dev/nosuch", "no such block device"),
        ("part / --onpart=PARTUUID=1", "no PARTUUID="),
        ("ignoredisk --only-use=nosuch", "no such block device"),
        ("clearpart --none", "no part line for /"),
    ],
)
def test_storage_that_would_create_or_wipe_is_refused(
    tmp_path: Path, lines: str, reason: str
) -> None:
    handler, _ = read(tmp_path, f"{lines}\n")
    with pytest.raises(InstallationError, match=reason):
        storage.plan(handler)


def test_fstab_is_by_uuid_in_mount_order() -> None:
    def mount(number: int, fstype: str, place: str) -> storage.Mount:
        return storage.Mount(Path(f"/dev/ubda{number}"), "ubda", fstype, place, keep=False)

    mounts = [
        *(mount(1, "biosboot", "biosboot"), mount(2, "efi", "/boot/efi")),
        *(mount(3, "ext4", "/boot"), mount(4, "swap", "swap"), mount(5, "xfs", "/")),
    ]
    uuids = {m.device: f"U{m.device.name[-1]}" for m in mounts[1:]}
    assert storage.fstab(mounts, uuids).splitlines()[1:] == [
        "UUID=U5 / xfs defaults 0 0",
        "UUID=U3 /boot ext4 defaults 1 2",
        "UUID=U2 /boot/efi vfat umask=0077,shortname=winnt 0 2",
        "UUID=U4 none swap defaults 0 0",
    ]


def network(options: str) -> Any:
    handler = makeVersion(kickstart.VERSION)
    KickstartParser(handler).readKickstartFromString(f"network {options}\n")
    return handler.network.network[0]


def test_a_static_network_line_becomes_a_keyfile() -> None:
    line = network(
        "--device=52:54:00:00:01:00 --bindto=mac --bootproto=static --ip=10.9.0.1 --noipv6 "
        "--netmask=255.255.254.0 --gateway=10.9.0.254 --nameserver=10.9.0.2,10.9.0.3 --mtu=9000"
    )
    text = target.keyfile(line, "vec0", "52:54:00:00:01:00", UUID(int=1))
    assert text == (
        "[connection]\nid=vec0\nuuid=00000000-0000-0000-0000-000000000001\ntype=ethernet\n\n"
        "[ethernet]\nmac-address=52:54:00:00:01:00\nmtu=9000\n\n"
        "[ipv4]\nmethod=manual\naddress1=10.9.0.1/23,10.9.0.254\ndns=10.9.0.2;10.9.0.3;\n\n"
        "[ipv6]\nmethod=disabled\n"
    )
    nmcli = shutil.which("nmcli")
    assert nmcli, "next: sudo apt-get install network-manager"
    done = subprocess.run(
        [nmcli, "--offline", "connection", "modify", "connection.id", "vec0"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "mac-address=52:54:00:00:01:00" in done.stdout


def test_a_virtual_network_device_is_refused() -> None:
    line = network("--device=bond0 --bondslaves=vec1,vec2 --bootproto=dhcp")
    with pytest.raises(InstallationError, match="bondslaves"):
        target.keyfile(line, "bond0", "", UUID(int=1))


def test_a_keyfile_without_bindto_is_for_the_name() -> None:
    text = target.keyfile(network("--device=vec0 --bootproto=dhcp"), "vec0", "m", UUID(int=1))
    assert "interface-name=vec0\n" in text
    assert "mac-address" not in text
    assert "[ipv4]\nmethod=auto\n" in text
