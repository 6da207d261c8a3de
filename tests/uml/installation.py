"""Run the stand-in installer on a machine and read its verdict."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.uml.images import Images
from tests.uml.lab import Lab
from tests.uml.machine import Disk, Hardware, Machine, MachineError, Nic


@dataclass(frozen=True)
class Verdict:
    """What the installer said of its own work, and the logs it left."""

    success: bool
    reason: str  # "" on success
    script_tail: str  # last lines of the script that failed, else ""
    ending: str  # what the kickstart asked for: reboot, poweroff, halt or ""
    notes: tuple[str, ...]  # "command: why nothing was done", one a line
    packages: tuple[str, ...]  # as listed in %packages
    timings: dict[str, float]  # seconds a stage took inside the machine
    logs: dict[str, str]  # file name -> text, of %pre, %post and the installer itself
    seconds: float  # wall clock of the whole machine


def start_installer(
    lab: Lab,
    name: str,
    images: Images,
    *,
    disk: Path,
    medium: Path,
    nics: Sequence[Nic],
    arguments: Sequence[str],
    folder: Path,
    memory: int = 768,
    more_disks: Sequence[Path] = (),
) -> Machine:
    """Start a machine on the medium: its disk is /dev/ubda, the read-only medium /dev/ubdb.

    more_disks follow as /dev/ubdc and so on.

    arguments are the boot menu's (inst.ks=..., inst.nosave=...). folder, made if need be, takes
    the console (file console) and what the installer leaves (below out/).
    """
    out = folder / "out"
    out.mkdir(parents=True, exist_ok=True)
    for stale in out.iterdir():
        stale.unlink()
    disks = [Disk(disk), Disk(medium, read_only=True), *map(Disk, more_disks)]
    own = [f"standin.out={out.resolve()}", f"standin.rootfs={images.rootfs.resolve()}"]
    return Machine(
        lab,
        name,
        Hardware(disks=disks, nics=nics, memory=memory),
        ["standin.task=install", *own, *arguments],
        console=folder / "console",
        initrd=images.installer,
    )


def read_verdict(folder: Path) -> Verdict:
    """Return the verdict left below folder/out; FileNotFoundError if the installer left none."""
    out = folder / "out"
    said = json.loads((out / "RESULT.json").read_text())
    logs = {p.name: p.read_text(errors="replace") for p in sorted(out.glob("*.log"))}
    return Verdict(
        success=said["verdict"] == "SUCCESS",
        reason=said["reason"],
        script_tail=said["script_tail"],
        ending=said["ending"],
        notes=tuple(said["notes"]),
        packages=tuple(said["packages"]),
        timings=said["timings"],
        logs=logs,
        seconds=0.0,
    )


def install(
    lab: Lab,
    name: str,
    images: Images,
    *,
    disk: Path,
    medium: Path,
    nics: Sequence[Nic],
    arguments: Sequence[str],
    folder: Path,
    timeout: float = 240,
    more_disks: Sequence[Path] = (),
) -> Verdict:
    """Run the stand-in installer to its end; arguments as for start_installer.

    Raises MachineError when it is still on after timeout seconds or left no verdict.
    """
    begin = time.monotonic()
    machine = start_installer(
        lab,
        name,
        images,
        disk=disk,
        medium=medium,
        nics=nics,
        arguments=arguments,
        folder=folder,
        more_disks=more_disks,
    )
    with machine:
        machine.wait_off(timeout)
    try:
        return replace(read_verdict(folder), seconds=time.monotonic() - begin)
    except FileNotFoundError:
        tail = "\n".join(machine.console_text().splitlines()[-40:])
        raise MachineError(f"{name}: no verdict; its console ends:\n{tail}") from None


def start_node(
    lab: Lab,
    name: str,
    *,
    disk: Path,
    root_uuid: str,
    nics: Sequence[Nic],
    console: Path,
    memory: int = 512,
    arguments: Sequence[str] = (),
) -> Machine:
    """Start an installed machine from its disk. As UML has no firmware, root= comes from here."""
    return Machine(
        lab,
        name,
        Hardware(disks=[Disk(disk)], nics=nics, memory=memory),
        [f"root=PARTUUID={root_uuid}", "ro", *arguments],
        console=console,
    )
