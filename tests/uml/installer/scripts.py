"""Run a kickstart's scripts exactly as Anaconda (RHEL 9) does."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.uml.installer.programs import link_programs
from tests.uml.installer.report import InstallationError, Report, keep_log

SYSROOT = Path("/mnt/sysroot")

# anaconda.service sets this, and anaconda.py appends the last two.
INSTALLER_PATH = (
    "/usr/bin:/bin:/sbin:/usr/sbin:/mnt/sysimage/bin:/mnt/sysimage/usr/bin:"
    "/mnt/sysimage/usr/sbin:/mnt/sysimage/sbin:/sbin:/usr/sbin"
)
_TAIL_LINES = 15


def run(script: Any, kind: str, out: Path, report: Report) -> None:
    """Run one script; its log also goes to the host as <kind>-<line>.log.

    Raises InstallationError if it fails and has --erroronfail; without, a note is all.
    """
    root = SYSROOT if script.inChroot else Path("/")
    descriptor, name = tempfile.mkstemp("", "ks-script-", root / "tmp")
    os.write(descriptor, script.script.encode())
    os.close(descriptor)
    os.chmod(name, 0o700)
    inside = f"/tmp/{Path(name).name}"
    messages = Path(f"/tmp/{Path(name).name}.log")
    if script.logfile:
        messages = root / script.logfile.lstrip("/")
        messages.parent.mkdir(parents=True, exist_ok=True)
    status = _execute([script.interp, inside], root, messages, _path_for(kind))
    keep_log(messages, out, f"{kind}-{script.lineno}.log")
    if status == 0:
        return
    place = f"%{kind} script at line {script.lineno}"
    if script.errorOnFail:
        tail = messages.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        raise InstallationError(f"{place} failed with exit status {status}", "\n".join(tail))
    report.notes.append(f"{place}: exit status {status} (no --erroronfail)")


def _path_for(kind: str) -> str:
    """%pre is cut down to what lorax leaves in EL9's installer; %post has the new system's."""
    return link_programs() if kind == "pre" else INSTALLER_PATH


def _execute(argv: list[str], root: Path, messages: Path, path: str) -> int:
    """Return the exit status; an interpreter that is not there counts as 127."""
    environment = {
        "PATH": path,
        "HOME": "/root",
        "LANG": "en_US.UTF-8",
        "LC_ALL": "C",
        "ANA_INSTALL_PATH": str(SYSROOT),
    }

    def enter() -> None:
        os.chroot(root)
        os.chdir("/")

    messages.touch(mode=0o600)
    with messages.open("w") as log:
        try:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                preexec_fn=enter if root != Path("/") else None,
                check=False,
            )
        except OSError as error:
            log.write(f"{argv[0]}: {error}\n")
            return 127
    return done.returncode
