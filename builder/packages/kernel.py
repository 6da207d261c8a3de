"""Do the kernel that will boot and the modules from elsewhere fit together?

ELRepo's kmod packages require the kernel they were built for, or a newer one, and the symbols of
the kernel's stable interface with their checksums (kmod-drbd9x.spec: `kernel >= X`,
`kernel-core-uname-r >= X`, `kernel(symbol) = crc`). Several kernels may be installed at once, so
dnf is content when an older kernel fits; but the newest one boots.
"""

import re

from builder.packages.index import provides
from builder.packages.model import Package, Problem
from builder.packages.version import Capability, Newest, split

_KERNEL = re.compile(r"kernel(-core)?(-uname-r)?")
_SYMBOL = re.compile(r"k(ernel|sym)\(.*\)")


def installed_side_by_side(package: Package) -> bool:
    """Whether two versions may be installed together (dnf.conf(5), installonlypkgs)."""
    return package.name in ("kernel", "kernel-core") or any(
        capability.name == "installonlypkg(kernel)" for capability in package.provides
    )


def check_pairs(chosen: tuple[Package, ...]) -> list[tuple[Package, Problem]]:
    """Check every chosen kmod package against the newest chosen kernel."""
    kernels = [p for p in chosen if p.name == "kernel-core"]
    kernels = kernels or [p for p in chosen if p.name == "kernel"]
    if not kernels:
        return []
    boots = max(kernels, key=lambda package: Newest(package.evr))
    present = [p for p in chosen if not installed_side_by_side(p) or p.evr == boots.evr]
    problems: list[tuple[Package, Problem]] = []
    for module in (package for package in chosen if package.name.startswith("kmod-")):
        needs = [need for need in module.requires if _is_kernel(need)]
        unmet = [need for need in needs if not any(provides(p, need) for p in present)]
        versions = [n.evr for n in needs if n.flag and _KERNEL.fullmatch(n.name)]
        built = max(versions, key=Newest, default="").removeprefix("0:")
        if unmet:
            problems.append((module, _misfit(module, boots, built, unmet)))
        elif built and _generation(built) != _generation(boots.evr):
            problems.append((module, _other_release(module, boots, built)))
    return problems


def _is_kernel(need: Capability) -> bool:
    return bool(_KERNEL.fullmatch(need.name) or _SYMBOL.fullmatch(need.name))


def _bare(package: Package) -> str:
    return package.evr.partition(":")[2]


def _generation(evr: str) -> str:
    """What a kernel's release changes with each minor release: 503 of 503.11.1.el9_5."""
    return split(evr)[2].partition(".")[0]


def _other_release(module: Package, boots: Package, built: str) -> Problem:
    return Problem(
        "kernel-release",
        f"{module} was built for kernel {built}, and the kernel chosen is {_bare(boots)}, "
        "of another minor release; the symbols it declares fit",
        "take module and kernel of the same minor release where you can",
    )


def _misfit(module: Package, boots: Package, built: str, unmet: list[Capability]) -> Problem:
    symbols = [need for need in unmet if _SYMBOL.fullmatch(need.name)]
    why = f"it lacks {unmet[0]}"
    if len(symbols) > 1:
        why = f"{len(symbols)} of its symbols differ, {symbols[0].name} among them"
    return Problem(
        "kernel-pair",
        f"{module} was built for kernel {built or 'of an unknown version'}, "
        f"and the kernel chosen is {_bare(boots)}: {why}",
        "take module and kernel of the same minor release: another medium, another module by "
        "--extra-packages, the network repositories, or want an older kernel by kernel-VERSION",
    )
