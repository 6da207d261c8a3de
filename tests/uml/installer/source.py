"""The kernel's command line and the kickstart it names, found as Anaconda's dracut part does."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from tests.uml.installer.report import InstallationError

KEPT = Path("/run/install/ks.cfg")
_REPOSITORY = Path("/run/install/repo")
_DEVICE_SECONDS = 5.0  # Anaconda's inst.wait_for_disks


def command_line(text: str) -> dict[str, str]:
    """Return name -> value of a kernel command line; the last of equal names counts."""
    words = [word.partition("=") for word in text.split()]
    return {name: value for name, _, value in words}


def nosave(arguments: dict[str, str]) -> set[str]:
    """Return what inst.nosave= says not to keep, of input_ks, output_ks and logs."""
    chosen = set(filter(None, arguments.get("inst.nosave", "").split(",")))
    if "all" in chosen:
        return {"input_ks", "output_ks", "logs"}
    if "all_ks" in chosen:
        chosen |= {"input_ks", "output_ks"}
    unknown = chosen - {"all_ks", "input_ks", "output_ks", "logs"}
    if unknown:
        raise InstallationError(f"inst.nosave: unknown {' '.join(sorted(unknown))}")
    return chosen - {"all_ks"}


def device_path(spec: str) -> Path:
    """Return the udev link of hd:'s device: LABEL=x, UUID=x or a name, \\x20 being a space."""
    kind, equals, value = spec.partition("=")
    if equals and kind in ("LABEL", "UUID"):
        return Path(f"/dev/disk/by-{kind.lower()}/{value}")
    return Path("/dev") / spec.removeprefix("/dev/")


def kickstart_place(arguments: dict[str, str]) -> tuple[str, str]:
    """Return (device, path on it) of the kickstart; OEMDRV's /ks.cfg when inst.ks= is absent."""
    if "inst.ks" not in arguments:
        return "LABEL=OEMDRV", "/ks.cfg"
    scheme, _, rest = arguments["inst.ks"].partition(":")
    if scheme != "hd":
        raise InstallationError(f"inst.ks={scheme}: is not known to the stand-in, only hd:")
    device, _, path = rest.partition(":")
    return device, path or "/ks.cfg"


def fetch_kickstart(arguments: dict[str, str]) -> Path:
    """Copy the kickstart to /run/install/ks.cfg (0600) and return that path."""
    device, path = kickstart_place(arguments)
    mounted = Path("/run/install/isodir")
    _mount(device, mounted)
    found = mounted / path.lstrip("/")
    if not found.is_file():
        raise InstallationError(f"no kickstart {path} on {device}")
    content = found.read_bytes()
    subprocess.run(["umount", mounted], check=True)
    KEPT.touch(mode=0o600)
    KEPT.write_bytes(content)
    return KEPT


def mount_repository(arguments: dict[str, str]) -> None:
    """Mount the medium that inst.stage2= names at /run/install/repo, where Anaconda has it."""
    scheme, _, rest = arguments.get("inst.stage2", "").partition(":")
    if scheme == "hd":
        _mount(rest.partition(":")[0], _REPOSITORY)


def _mount(device: str, folder: Path) -> None:
    link = device_path(device)
    end = time.monotonic() + _DEVICE_SECONDS
    while not os.path.exists(link):
        if time.monotonic() > end:
            raise InstallationError(f"no disk {device} (no {link})")
        time.sleep(0.1)
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-o", "ro", link, folder], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise InstallationError(f"cannot mount {device}: {done.stderr.strip()}")
