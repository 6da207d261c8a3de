"""Run the stand-in installer on a machine and read its verdict."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NotRequired, TypedDict, Unpack

from tests.uml.images import Images
from tests.uml.lab import Lab
from tests.uml.machine import Disk, Hardware, Machine, Nic
from tests.uml.running import MachineError


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


class Setup(TypedDict):
    """What a machine is installed with: its disk is /dev/ubda, the read-only medium /dev/ubdb.

    more_disks follow as /dev/ubdc and so on. script (bash) runs before the installer starts.

    arguments are the boot menu's (inst.ks=..., inst.nosave=...). folder, made if need be, takes
    the console (file console) and what the installer leaves (below out/). memory is in MiB.
    """

    disk: Path
    medium: Path
    nics: Sequence[Nic]
    arguments: Sequence[str]
    folder: Path
    memory: NotRequired[int]
    more_disks: NotRequired[Sequence[Path]]
    script: NotRequired[str]


def start_installer(lab: Lab, name: str, images: Images, **setup: Unpack[Setup]) -> Machine:
    """Start a machine on the medium, and leave it running."""
    folder = setup["folder"]
    out = folder / "out"
    out.mkdir(parents=True, exist_ok=True)
    for stale in out.iterdir():
        stale.unlink()
    if script := setup.get("script"):
        (out / "script").write_text(script)
    disks = [Disk(setup["disk"]), Disk(setup["medium"], read_only=True)]
    disks += [Disk(disk) for disk in setup.get("more_disks", ())]
    own = [f"standin.out={out.resolve()}", f"standin.rootfs={images.rootfs.resolve()}"]
    return Machine(
        lab,
        name,
        Hardware(disks=disks, nics=setup["nics"], memory=setup.get("memory", 768)),
        ["standin.task=install", *own, *setup["arguments"]],
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
    lab: Lab, name: str, images: Images, *, timeout: float = 240, **setup: Unpack[Setup]
) -> Verdict:
    """Run the stand-in installer to its end.

    Raises MachineError when it is still on after timeout seconds or left no verdict.
    """
    begin = time.monotonic()
    folder = setup["folder"]
    machine = start_installer(lab, name, images, **setup)
    with machine:
        machine.wait_off(timeout)
    if setup.get("script"):
        _check_script(folder / "out")
    try:
        return replace(read_verdict(folder), seconds=time.monotonic() - begin)
    except FileNotFoundError:
        tail = "\n".join(machine.console_text().splitlines()[-40:])
        raise MachineError(f"{name}: no verdict; its console ends:\n{tail}") from None


def run_script(
    lab: Lab, images: Images, script: str, *, disks: Sequence[Path], folder: Path
) -> str:
    """Run bash lines in the installer's system, its disks /dev/ubda and on; what they said.

    Raises MachineError when a line fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "script").write_text(script)
    with Machine(
        lab,
        "script",
        Hardware(disks=[Disk(disk) for disk in disks], memory=768),
        [f"standin.out={folder.resolve()}", "standin.task=script"],
        console=folder / "console",
        initrd=images.installer,
    ) as machine:
        machine.wait_off(120)
    return _check_script(folder)


def _check_script(folder: Path) -> str:
    log = (folder / "script.log").read_text(errors="replace")
    if (folder / "script.status").read_text().strip() != "0":
        raise MachineError(f"the script failed:\n{log}")
    return log


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
    write_cache: bool = False,
    clock_offset_s: int = 0,
) -> Machine:
    """Start an installed machine from its disk. As UML has no firmware, root= comes from here."""
    disks = [Disk(disk, write_cache=write_cache)]
    return Machine(
        lab,
        name,
        Hardware(disks=disks, nics=nics, memory=memory, clock_offset_s=clock_offset_s),
        [f"root=PARTUUID={root_uuid}", "ro", *arguments],
        console=console,
    )
