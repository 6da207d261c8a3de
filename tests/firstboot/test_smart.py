"""Disks by SMART: what smartctl printed, what is made of it, and how it is asked."""

import dataclasses
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import pytest

from firstboot import hardware, health, smart
from firstboot.commands import TIMED_OUT, CommandError, Result
from firstboot.health import GREEN, RED, YELLOW
from firstboot.smart import Device, Disk
from tests.firstboot.conftest import LIMITS

FOLDER = Path(__file__).parent / "smart"
SDA, NVME = Device("/dev/sda", "sat"), Device("/dev/nvme0", "nvme")
WELL = Disk("/dev/sda", "S1", "", False, 31, None, 0)


def printed(name: str) -> str:
    return (FOLDER / f"{name}.json").read_text()


def disk(name: str, device: Device = SDA) -> Disk:
    found = smart.disk(device, printed(name))
    assert found is not None
    return found


def test_every_kind_of_disk_is_found() -> None:
    found = smart.devices(printed("qemu-scan"))
    assert [device.kind for device in found] == ["sat", "scsi", "scsi", "megaraid,0", "nvme"]
    assert [device.name for device in found][3] == "/dev/bus/7 megaraid,0"
    assert found[0].name == "/dev/sda"
    locked = {"name": "/dev/sdz", "type": "scsi", "open_error": "Permission denied"}
    assert smart.devices(json.dumps({"devices": [locked]})) == []
    assert smart.devices("{}") == [], "a machine without disks"


def test_well_disks() -> None:
    ata, nvme = disk("qemu-ata"), disk("qemu-nvme", NVME)
    assert ata == Disk("/dev/sda", "KSSATA1", "", False, 31, None, 0)
    assert nvme == Disk("/dev/nvme0", "KSNVME1", "", False, 50, 0, 0)
    assert health.disks([ata, nvme], LIMITS).colour == GREEN


@pytest.mark.parametrize("name", ["qemu-ata-off", "qemu-no-cciss", "qemu-scsi", "qemu-megaraid"])
def test_one_that_tells_nothing_has_no_colour(name: str) -> None:
    assert smart.disk(SDA, printed(name)) is None
    assert health.disks([], LIMITS).colour == ""


def test_one_without_an_answer_is_no_disk_and_one_that_is_off_is() -> None:
    assert not smart.is_there(printed("qemu-no-cciss"))
    assert smart.is_there(printed("qemu-ata-off"))
    assert smart.is_there(printed("qemu-nvme-unreliable"))


@pytest.mark.parametrize(
    ("name", "device", "said"),
    [
        (
            "qemu-nvme-unreliable",
            NVME,
            "/dev/nvme0 (KSNVME1) is failing: it is not reliable",
        ),
        ("assumed-ata-failing", SDA, "it foretells its end by Reallocated_Sector_Ct"),
        ("assumed-sas-failing", Device("/dev/sda", "cciss,3"), "/dev/sda cciss,3 (3SJ1) is fail"),
        ("assumed-sas-failing", SDA, "HARDWARE IMPENDING FAILURE"),
    ],
)
def test_its_end_is_red(name: str, device: Device, said: str) -> None:
    finding = health.disks([WELL, disk(name, device)], LIMITS)
    assert finding.colour == RED
    assert said in finding.text
    assert "S1" not in finding.text


def test_an_attribute_alone_foretells_it() -> None:
    told = json.loads(printed("assumed-ata-failing"))
    told["smart_status"]["passed"] = True
    found = smart.disk(SDA, json.dumps(told))
    assert found is not None
    assert found.failing
    told["ata_smart_attributes"]["table"][0]["when_failed"] = "past"
    found = smart.disk(SDA, json.dumps(told))
    assert found is not None
    assert not found.failing
    told["smart_status"]["passed"] = False
    found = smart.disk(SDA, json.dumps(told))
    assert found is not None
    assert found.failing == "it foretells its end"


@pytest.mark.parametrize(
    ("name", "device", "said"),
    [
        ("qemu-nvme-hot", NVME, "/dev/nvme0 (KSNVME1) is too hot: 50 °C"),
        ("assumed-sas-hot", SDA, "is too hot: 66 °C"),
        ("assumed-ata-worn", SDA, "is worn to 97%"),
    ],
)
def test_what_does_not_end_today_is_yellow(name: str, device: Device, said: str) -> None:
    finding = health.disks([WELL, disk(name, device)], LIMITS)
    assert finding.colour == YELLOW
    assert said in finding.text


def test_figures_of_what_is_counted_in_many_ways() -> None:
    assert disk("assumed-ata-worn").bad_sectors == 3, "not the packed number"
    assert disk("assumed-ata-failing").bad_sectors == 4021 + 9
    assert disk("assumed-sas-failing").bad_sectors == 260
    assert disk("assumed-sas-failing").worn_percent == 12
    told = json.loads(printed("assumed-ata-worn"))
    del told["ata_device_statistics"]
    assert smart.disk(SDA, json.dumps(told)) == dataclasses.replace(
        disk("assumed-ata-worn"), worn_percent=40
    )
    told["endurance_used"] = {"current_percent": 41}
    assert smart.disk(SDA, json.dumps(told)) == dataclasses.replace(
        disk("assumed-ata-worn"), worn_percent=41
    )


@pytest.mark.parametrize(
    ("change", "worries"),
    [
        ({"celsius": 59}, 0),
        ({"celsius": 60}, 1),
        ({"celsius": None}, 0),
        ({"name": "/dev/nvme0", "celsius": 75}, 0),
        ({"worn_percent": 89}, 0),
        ({"worn_percent": 90}, 1),
        ({"bad_sectors": 9}, 0),
        ({"bad_sectors": 10}, 1),
        ({"bad_sectors": None}, 0),
        ({"bad_sectors": 10, "worn_percent": 255, "celsius": 60}, 3),
    ],
)
def test_thresholds(change: "dict[str, object]", worries: int) -> None:
    found = dataclasses.replace(WELL, **change)  # type: ignore[arg-type]
    assert len(smart.worries(found, LIMITS)) == worries


def test_every_warning_of_nvme_but_heat_is_its_end() -> None:
    for bit in range(8):
        told = json.loads(printed("qemu-nvme"))
        told["nvme_smart_health_information_log"]["critical_warning"] = 1 << bit
        found = smart.disk(NVME, json.dumps(told))
        assert found is not None
        assert bool(found.failing) == (bit != 1), bit
        assert found.too_hot == (bit == 1), bit


class Machine:
    """A root with smartctl, whose answers are those of a folder; `asked` is how."""

    def __init__(self, root: Path, answers: "dict[str, str]") -> None:
        self.root, self.answers = root, answers
        self.asked: list[str] = []
        (root / "usr/sbin").mkdir(parents=True)
        (root / "usr/sbin/smartctl").touch()

    def array(self, disk: str, host: int, *, level: str = "RAID 5", driver: str = "hpsa") -> None:
        """As hpsa shows an array; `device` is a link to the SCSI device by its address."""
        device = self.root / f"sys/devices/{host}:1:0:{ord(disk[-1]) - ord('a')}"
        device.mkdir(parents=True)
        (device / "raid_level").write_text(f"{level}\n")
        (self.root / f"sys/block/{disk}").mkdir(parents=True)
        (self.root / f"sys/block/{disk}/device").symlink_to(device)
        self.generic(f"sg{ord(disk[-1]) - ord('a')}", device, "0")
        name = self.root / f"sys/class/scsi_host/host{host}/proc_name"
        name.parent.mkdir(parents=True, exist_ok=True)
        name.write_text(f"{driver}\n")

    def generic(self, name: str, device: Path, kind: str) -> None:
        """As sg shows every SCSI device."""
        device.mkdir(parents=True, exist_ok=True)
        (device / "type").write_text(f"{kind}\n")
        (self.root / f"sys/class/scsi_generic/{name}").mkdir(parents=True)
        (self.root / f"sys/class/scsi_generic/{name}/device").symlink_to(device)

    def __call__(
        self,
        argv: Sequence[str],
        *,
        stdin: Optional[str] = None,
        ok: "tuple[int, ...]" = (0,),
        timeout_s: float = 0,
    ) -> Result:
        assert argv[0] == "smartctl"
        assert "--json" in argv
        del stdin
        assert timeout_s < 60
        last = " ".join(argv[-2:]) if "-d" in argv else argv[-1]
        self.asked.append(shlex.join(argv))
        text = printed(self.answers[last]) if last in self.answers else printed("qemu-no-cciss")
        code = json.loads(text)["smartctl"]["exit_status"]
        assert code in ok
        return Result(tuple(argv), code, text, "")


def test_each_disk_is_asked_as_it_was_found(tmp_path: Path) -> None:
    answers = {
        "--scan-open": "qemu-scan",
        "sat /dev/sda": "assumed-ata-failing",
        "scsi /dev/sdb": "qemu-scsi",
        "megaraid,0 /dev/bus/7": "assumed-sas-hot",
        "nvme /dev/nvme0": "qemu-nvme",
    }
    machine = Machine(tmp_path, answers)
    found = hardware.disks(tmp_path, machine)
    assert found is not None
    assert [each.serial for each in found] == ["WD-1", "3SJ1", "KSNVME1"], "sdb tells nothing"
    assert found[1].name == "/dev/bus/7 megaraid,0"
    assert all("--nocheck=standby,0" in line for line in machine.asked[1:])


def test_disks_behind_a_smart_array_are_asked_one_after_the_other(tmp_path: Path) -> None:
    """smartctl's scan does not find them (os_linux.cpp); several arrays share the disks."""
    answers = {
        "--scan-open": "qemu-no-cciss",
        "cciss,0 /dev/sda": "assumed-sas-hot",
        "cciss,1 /dev/sda": "qemu-ata-off",
        "cciss,2 /dev/sda": "assumed-sas-failing",
    }
    machine = Machine(tmp_path, answers)
    machine.array("sda", 0)
    machine.array("sdb", 0)
    machine.array("sdc", 1, level="N/A")
    machine.array("sdd", 2, driver="megaraid_sas")
    found = hardware.disks(tmp_path, machine)
    assert found is not None
    assert [str(each) for each in found] == ["/dev/sda cciss,0 (3SJ1)", "/dev/sda cciss,2 (3SJ1)"]
    assert len(machine.asked) == 1 + 4


def test_the_controllers_own_node_is_asked_where_there_is_one(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path, {"--scan-open": "qemu-no-cciss", "cciss,0 /dev/sg8": "assumed-sas-hot"}
    )
    machine.array("sda", 0)
    machine.generic("sg7", tmp_path / "sys/devices/1:3:0:0", "12")
    machine.generic("sg8", tmp_path / "sys/devices/0:3:0:0", "12")
    found = hardware.disks(tmp_path, machine)
    assert found is not None
    assert [str(each) for each in found] == ["/dev/sg8 cciss,0 (3SJ1)"]


def test_without_smartctl_there_is_no_such_part(tmp_path: Path) -> None:
    assert hardware.disks(tmp_path, Machine(tmp_path / "other", {})) is None


def test_one_that_hangs_is_no_disk_in_order(tmp_path: Path) -> None:
    """124 may be six bits of smartctl's mask, and is what a timeout looks like."""

    def run(argv: Sequence[str], **_: object) -> Result:
        return Result(tuple(argv), TIMED_OUT, "", "no answer within 15 s")

    Machine(tmp_path, {})
    with pytest.raises(CommandError, match="no answer"):
        hardware.disks(tmp_path, run)
