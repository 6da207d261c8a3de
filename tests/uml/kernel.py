"""The User-mode Linux kernel of this machine and the part of its modules that the guests carry."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

LINUX = Path("/usr/bin/linux.uml")
MODULES = Path("/usr/lib/uml/modules")
INSTALL_COMMAND = "sudo apt-get install user-mode-linux mmdebstrap kmod fdisk uidmap"

# What a node of the pair or the installer may load; everything else in the package (over 100 MB)
# would only cost seconds at every installation.
WANTED = (
    *("bonding", "8021q", "bridge", "br_netfilter", "ipv6", "tun", "veth", "dummy", "sctp"),
    *("drbd", "gfs2", "dlm", "softdog", "loop", "autofs4", "sch_netem"),
    "hmac",  # DRBD asks for it by name at run time
    *("isofs", "vfat", "nls_cp437", "nls_iso8859-1", "nls_ascii", "nls_utf8"),
    *("dm-mod", "raid1"),  # what a used disk carries
    *("target_core_file", "tcm_loop", "sd_mod"),  # disks with sectors and I/O sizes of our choice
)

# Bound at once: the thread that does the disks' I/O has a stack of one page, where the dynamic
# linker would not find room for the processor's registers at the first call.
_CC = ("cc", "-shared", "-fPIC", "-O2", "-Wl,-z,now")


class MissingPiece(Exception):
    """Something this machine lacks; the text ends with the command that installs it."""


def require_programs() -> None:
    """Raise MissingPiece when User-mode Linux or a program the harness starts is not there."""
    programs = (str(LINUX), "unshare", "nsenter", "mmdebstrap", "sfdisk", "depmod", "ip")
    missing = [name for name in programs if shutil.which(name) is None]
    if missing or not MODULES.is_dir():
        raise MissingPiece(f"missing: {' '.join(missing) or MODULES}\nnext: {INSTALL_COMMAND}")


def release() -> str:
    """Kernel release as `uname -r` says inside, e.g. "6.1.176"."""
    answer = subprocess.run([str(LINUX), "--version"], capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def cache_folder() -> Path:
    """Folder of what is made once: KSBUILD_CACHE, or build/uml of the checkout; made if need be."""
    chosen = os.environ.get("KSBUILD_CACHE") or Path(__file__).resolve().parents[2] / "build/uml"
    folder = Path(chosen).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def environment(write_cache: Path | None = None, clock_offset_s: int = 0) -> tuple[str, ...]:
    """NAME=VALUE words linux.uml needs.

    write_cache is the disk image that gets a volatile write cache (see write_cache.c), as
    linux.uml's command line names it; clock_offset_s is by how much the machine's clock is off.
    What each shim is for, its source says. Raises MissingPiece when one has to be compiled and
    there is no compiler.
    """
    shims, words = ["one_event.c"], []
    if " amx_tile" in Path("/proc/cpuinfo").read_text():
        shims.append("large_xstate.c")
    if write_cache:
        shims.append("write_cache.c")
        words.append(f"KSBUILD_WRITE_CACHE={write_cache}")
    if clock_offset_s:
        shims.append("wrong_clock.c")
        words.append(f"KSBUILD_CLOCK_OFFSET={clock_offset_s}")
    return _preloaded(shims, words)


def cache_environment(write_cache: Path | None) -> tuple[str, ...]:
    """The same for QEMU, which needs no shim but that of a write cache."""
    if write_cache is None:
        return ()
    return _preloaded(["write_cache.c"], [f"KSBUILD_WRITE_CACHE={write_cache}"])


def _preloaded(shims: list[str], words: list[str]) -> tuple[str, ...]:
    return (f"LD_PRELOAD={':'.join(str(_shim(name)) for name in shims)}", *words)


@functools.cache
def _shim(name: str) -> Path:
    source = Path(__file__).with_name(name)
    digest = hashlib.sha256(source.read_bytes() + " ".join(_CC).encode()).hexdigest()[:16]
    made = cache_folder() / f"{source.stem.replace('_', '-')}-{digest}.so"
    if not made.exists():
        if shutil.which("cc") is None:
            raise MissingPiece(
                f"User-mode Linux needs {name}, to be compiled here\n"
                "next: sudo apt-get install gcc libc6-dev"
            )
        # Machines start in threads of one process, and in several processes.
        with tempfile.TemporaryDirectory(dir=made.parent) as folder:
            part = Path(folder) / made.name
            subprocess.run([*_CC, "-o", part, source], check=True)
            part.rename(made)
    return made


def module_closure(index: str, wanted: Iterable[str]) -> list[str]:
    """Paths, as in modules.dep, of the wanted modules and of all they need.

    A name that modules.dep lacks is built in or absent: KeyError, because a silent gap would show
    up minutes later inside a guest.
    """
    needs = {}
    for line in index.splitlines():
        path, _, rest = line.partition(":")
        needs[path] = rest.split()
    by_name = {Path(path).stem.replace("-", "_"): path for path in needs}
    found: set[str] = set()
    pending = [by_name[name.replace("-", "_")] for name in wanted]
    while pending:
        path = pending.pop()
        if path not in found:
            found.add(path)
            pending += needs[path]
    return sorted(found)


def copy_modules(target: Path) -> None:
    """Put the wanted modules below target/lib/modules/<release> and index them anew."""
    source = MODULES / release()
    choose_modules(source, module_closure((source / "modules.dep").read_text(), WANTED), target)


def choose_modules(source: Path, chosen: Iterable[str], target: Path) -> None:
    """Put those of a kernel's modules, as its modules.dep has them, below target/lib/modules."""
    folder = target / "lib/modules" / source.name
    for path in chosen:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / path, folder / path)
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        shutil.copyfile(source / name, folder / name)
    subprocess.run(["depmod", "-b", str(target), source.name], check=True)
