"""KVM where it runs Debian's kernel, else TCG: a door to KVM alone does not tell."""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path

from tests.qemu.machine import QEMU

_KVM = Path("/dev/kvm")
_TRIAL_S = 20  # KVM takes 2 to come to the panic


@functools.cache
def accelerator(kernel: Path) -> str:
    """Return "kvm" or "tcg": a kernel without a root has to come as far as to its panic."""
    if not os.access(_KVM, os.R_OK | os.W_OK):
        return "tcg"
    try:
        done = subprocess.run(
            trial_argv(kernel),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_TRIAL_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "tcg"
    return "kvm" if b"Kernel panic" in done.stdout else "tcg"


def trial_argv(kernel: Path, name: str = "kvm") -> list[str]:
    """The command line of that trial; a restart ends it."""
    return [
        *(QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-m", "256"),
        *("-accel", name, "-serial", "stdio", *(("-cpu", "host") if name == "kvm" else ())),
        *("-kernel", str(kernel), "-append", "console=ttyS0 panic=-1"),
    ]
