"""A machine in QEMU: its cards, what a pulled cable takes, and what a power cut loses."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import pytest

from builder.profile.load import load
from tests.lab.carrier import ports_up
from tests.qemu import qmp
from tests.qemu.accelerator import accelerator, trial_argv
from tests.qemu.images import StockImages, prepare
from tests.qemu.machine import Machine, Shares, Started, argv
from tests.qemu.pair import ARGUMENTS, as_qemu
from tests.uml.disk import blank_disk
from tests.uml.installer.bootloader import menu
from tests.uml.lab import Lab
from tests.uml.machine import Disk, Hardware, Nic
from tests.uml.pair import PROFILE
from tests.uml.running import MachineError

LAN, CABLED = "52:54:00:01:00:00", "52:54:00:01:00:01"
# Waits for what the test does to the card, then writes once through the cache and once into it.
GUEST = f"""
card=$(grep -l {CABLED} /sys/class/net/*/address) && card=${{card%/address}}
ethtool -P "${{card##*/}}" | grep -F {CABLED}
echo changed by us; ip link set "${{card##*/}}" address 52:54:00:99:99:99
ethtool -P "${{card##*/}}" | grep -F {CABLED}
ip link set "${{card##*/}}" up
carrier() {{ until [ "$(cat "$card/carrier")" = "$1" ]; do sleep 0.2; done; }}
carrier 1; echo "seen: carrier" >/dev/console
carrier 0; echo "seen: none" >/dev/console
carrier 1; echo "seen: again" >/dev/console
put() {{ head -c 4096 /dev/zero | tr '\\0' "$1" >/tmp/block; }}
put s; dd if=/tmp/block of=/dev/vda bs=4096 seek=1 oflag=direct,dsync status=none
put w; dd if=/tmp/block of=/dev/vda bs=4096 seek=2 oflag=direct status=none
dd if=/dev/vda bs=4096 skip=2 count=1 iflag=direct status=none | cmp - /tmp/block
echo "seen: written" >/dev/console; sleep 60
"""


@pytest.fixture(scope="module")
def stock() -> StockImages:
    return prepare()


@pytest.mark.qemu
@pytest.mark.slow
@pytest.mark.timeout(1800)  # making the images counts
@pytest.mark.parametrize(("cached", "kept"), [(True, "s\0"), (False, "sw")])
def test_a_card_loses_its_carrier_and_a_disk_what_was_not_flushed(
    tmp_path: Path, stock: StockImages, cached: bool, kept: str
) -> None:
    disk = blank_disk(tmp_path / "disk", 1)
    (tmp_path / "script").write_text(GUEST)
    with Lab() as lab:
        lab.lan("10.9.0.254/24")
        nics = [Nic(LAN, lab.lan_port()), Nic(CABLED, lab.cable().a)]
        with Machine(
            lab,
            "cut",
            Hardware(disks=[Disk(disk, write_cache=cached)], nics=nics, memory=1024),
            console=tmp_path / "console",
            accelerator=accelerator(stock.kernel),
            started=Started(
                stock.kernel, stock.installer, ["console=ttyS0", "standin.task=script"]
            ),
            shares=Shares({"out": tmp_path}, {}),
        ) as machine:
            machine.wait_console("seen: carrier", 300)
            machine.set_link(1, up=False)
            machine.wait_console("seen: none", 30)
            machine.set_link(1, up=True)
            machine.wait_console("seen: again", 30)
            machine.wait_console("seen: written", 60)
            machine.power_cut()
            assert not machine.alive
    with disk.open("rb") as image:
        image.seek(4096)
        assert image.read(1) + image.read(4096)[-1:] == kept.encode()


@pytest.mark.qemu
@pytest.mark.slow
def test_a_machine_that_cannot_start_says_why(tmp_path: Path) -> None:
    with Lab() as lab:
        hardware = Hardware(disks=[Disk(tmp_path / "none")])
        machine = Machine(lab, "none", hardware, console=tmp_path / "console")
        with machine, pytest.raises(MachineError, match="Could not open"):
            machine.wait_console("anything", 30)


@pytest.mark.qemu
@pytest.mark.slow
def test_kvm_is_used_where_it_runs_the_kernel(tmp_path: Path) -> None:
    """What is no kernel comes to no panic under any accelerator, so that TCG is left."""
    wrong = tmp_path / "kernel"
    wrong.write_bytes(b"no kernel")
    assert accelerator(wrong) == "tcg"
    assert "kvm" in trial_argv(wrong)


def test_paths_that_qemu_would_cut_in_pieces(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "a,b")
    with pytest.raises(ValueError, match="cannot take"):
        argv(tmp_path, Hardware(disks=[disk]))
    with pytest.raises(ValueError, match="overlays"):
        argv(tmp_path, Hardware(disks=[Disk(tmp_path / "a", overlay=tmp_path / "b")]))


def test_the_disk_comes_before_the_disc(tmp_path: Path) -> None:
    words = argv(tmp_path, Hardware(disks=[Disk(tmp_path / "a")]), disc=tmp_path / "b.iso")
    places = [word.rpartition("bootindex=")[2] for word in words if "bootindex=" in word]
    assert places == ["1", "9"]
    assert [w for w in argv(tmp_path, Hardware(clock_offset_s=-9)) if w == "-rtc"] == ["-rtc"]


def test_the_protocol_skips_events_and_tells_refusals(tmp_path: Path) -> None:
    told: list[str] = []

    def serve(listener: socket.socket) -> None:
        for answer in ({"return": 7}, {"error": {"desc": "no such card"}}):
            own, _ = listener.accept()
            with own, own.makefile("rw") as lines:
                print('{"QMP": {}}', file=lines, flush=True)
                told.append(json.loads(lines.readline())["execute"])
                print('{"event": "STOP"}\n{"return": {}}', file=lines, flush=True)
                told.append(json.loads(lines.readline())["arguments"]["name"])
                print('{"event": "RESUME"}', json.dumps(answer), sep="\n", file=lines, flush=True)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        thread = threading.Thread(target=serve, args=[listener])
        thread.start()
        assert qmp.ask(tmp_path / "s", "set_link", name="nic0") == 7
        with pytest.raises(qmp.Refused, match="set_link: no such card"):
            qmp.ask(tmp_path / "s", "set_link", name="nic9")
        thread.join()
    assert told == ["qmp_capabilities", "nic0", "qmp_capabilities", "nic9"]


def test_the_profile_of_these_machines(tmp_path: Path) -> None:
    text = as_qemu(PROFILE.read_text())
    assert 'platform = "debian12-qemu"' in text
    assert 'kernel_arguments = ["console=ttyS0,115200", ' in text
    (tmp_path / "lab.toml").write_text(text)
    assert load(tmp_path / "lab.toml").profile.install.kernel_arguments == list(ARGUMENTS)
    assert len(text.splitlines()) == len(PROFILE.read_text().splitlines())


def test_the_menu_on_the_disk() -> None:
    made = menu("vmlinuz-6.1", {"/boot": "b", "/": "r"}, "console=ttyS0")
    assert made.splitlines() == [
        "search --no-floppy --fs-uuid --set=root b",
        "linux /vmlinuz-6.1 root=UUID=r ro console=ttyS0",
        "initrd /initrd.img-6.1",
        "boot",
    ]
    assert "linux /boot/vmlinuz-6.1 " in menu("vmlinuz-6.1", {"/": "r"}, "")


def test_a_bonds_ports_are_counted_by_their_carrier() -> None:
    state = (
        "Bonding Mode: load balancing (round-robin)\nMII Status: up\n\n"
        "Slave Interface: ens6\nMII Status: up\nLink Failure Count: 0\n\n"
        "Slave Interface: ens7\nMII Status: down\nLink Failure Count: 1\n\n"
        "Slave Interface: ens8\nMII Status: up\nLink Failure Count: 0\n"
    )
    assert ports_up(state) == 2
