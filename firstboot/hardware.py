"""The disks and the BMC of this node, asked for what they tell of themselves."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Optional

from firstboot import sensors, smart
from firstboot.commands import CommandError, Result, Run
from firstboot.sensors import Sensor
from firstboot.smart import Device, Disk

SMARTCTL = "usr/sbin/smartctl"
IPMITOOL = ("ipmitool",)  # the kernel's /dev/ipmi0
ANY_STATUS = tuple(range(256))  # bits of a mask, which timeouts look like as well
DISK_S, BMC_S = 15.0, 60.0
RAID_CONTROLLER = "12"  # SPC-4, peripheral device type 0Ch
MOST_BEHIND = 128  # os_linux.cpp of smartmontools: "-d cciss,N" has N to 127


def disks(root: Path, run: Run) -> Optional[list[Disk]]:
    """Every disk that tells something; None without smartctl. CommandError, ValueError."""
    if not (root / SMARTCTL).exists():
        return None
    found = [
        smart.disk(device, _look(run, device))
        for device in smart.devices(_smartctl(run, *smart.SCAN))
    ]
    for path in _smart_arrays(root):
        found += _behind(path, run)
    return [disk for disk in found if disk is not None]


def told(root: Path, run: Run, ipmitool: Sequence[str] = IPMITOOL) -> Optional[list[Sensor]]:
    """Every sensor of the BMC's that reads something; None where there is no BMC to ask.

    The kernel loads its driver by itself, and the door to it, /dev/ipmi0, only when it is told.
    CommandError.
    """
    if not (root / "usr/bin/ipmitool").exists():
        return None
    if not (root / "dev/ipmi0").exists():
        # SMBIOS type 38: "IPMI Device Information".
        if not (root / "sys/firmware/dmi/entries/38-0").exists():
            return None
        run(["modprobe", "ipmi_devintf"])
    listed = run([*ipmitool, *sensors.LIST], ok=(0, 1), timeout_s=BMC_S)
    found = sensors.parse(listed.stdout)
    # One record that it can't print makes it exit 1 though it lists the others.
    if listed.returncode and not found:
        raise CommandError(listed)
    return found


def _look(run: Run, device: Device) -> str:
    return _smartctl(run, *smart.LOOK, "-d", device.kind, device.path)


def _smartctl(run: Run, *words: str) -> str:
    done: Result = run(["smartctl", "--json", *words], ok=ANY_STATUS, timeout_s=DISK_S)
    if not done.stdout.strip():
        raise CommandError(done)
    return done.stdout


def _smart_arrays(root: Path) -> Iterator[str]:
    """A path to each Smart Array that hides its disks behind its arrays; smartctl finds none."""
    hosts = set()
    for level in sorted((root / "sys/block").glob("sd*/device/raid_level")):
        host = (level.parent).resolve().name.partition(":")[0]
        driver = root / "sys/class/scsi_host" / f"host{host}" / "proc_name"
        hides = level.read_text(encoding="ascii").strip() != "N/A"
        if hides and host not in hosts and driver.read_text(encoding="ascii").strip() == "hpsa":
            hosts.add(host)
            yield _controller(root, host) or f"/dev/{level.parents[1].name}"


def _controller(root: Path, host: str) -> Optional[str]:
    """Its own node, which is the one to ask by (smartctl(8)); None where sg is not loaded."""
    for node in sorted((root / "sys/class/scsi_generic").glob("sg*")):
        device = (node / "device").resolve()
        kind = (device / "type").read_text(encoding="ascii").strip()
        if device.name.partition(":")[0] == host and kind == RAID_CONTROLLER:
            return f"/dev/{node.name}"
    return None


def _behind(path: str, run: Run) -> Iterator[Optional[Disk]]:
    for number in range(MOST_BEHIND):
        device = Device(path, f"cciss,{number}")
        looked = _look(run, device)
        if not smart.is_there(looked):
            return
        yield smart.disk(device, looked)
