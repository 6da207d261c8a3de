"""Real RPMs and repositories, made with rpmbuild and createrepo_c, and what real dnf says."""

import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Rpm:
    """One package; `version` is [epoch:]version-release, lists are as a spec file has them."""

    name: str
    version: str = "1.0-1"
    requires: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    obsoletes: tuple[str, ...] = ()
    recommends: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    arch: str = "noarch"


def run(*words: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "LC_ALL": "C.UTF-8", "COLUMNS": "300"},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def repository(
    folder: Path, rpms: Iterable[Rpm], *, comps: str = "", options: Iterable[str] = ()
) -> Path:
    """Build the packages into `folder` and index them."""
    folder.mkdir(parents=True, exist_ok=True)
    build(folder, rpms)
    words: list[str | Path] = ["createrepo_c", "-q", *options]
    if comps:
        (folder.parent / f"{folder.name}-comps.xml").write_text(comps)
        words += ["-g", folder.parent / f"{folder.name}-comps.xml"]
    run(*words, folder)
    return folder


def build(folder: Path, rpms: Iterable[Rpm]) -> None:
    """A spec file can hold many packages, but each name only once."""
    waiting = list(rpms)
    number = 0
    while waiting:
        batch = {rpm.name: rpm for rpm in reversed(waiting)}
        for arch in sorted({rpm.arch for rpm in batch.values()}):
            number += 1
            spec = folder.parent / f"{folder.name}-{number}.spec"
            spec.write_text(_spec([rpm for rpm in batch.values() if rpm.arch == arch]))
            top = folder.parent / f"{folder.name}-{number}.build"
            defines = [f"_topdir {top}", f"_rpmdir {folder}", "_rpmfilename %{NVRA}.rpm"]
            words = [word for define in defines for word in ("--define", define)]
            run("rpmbuild", "-bb", "--quiet", "--target", arch, *words, spec)
        waiting = [rpm for rpm in waiting if rpm not in batch.values()]


def _spec(rpms: list[Rpm]) -> str:
    text = "Name: unused\nVersion: 1\nRelease: 1\nSummary: s\nLicense: l\n%description\n"
    text += "%global _build_id_links none\n"
    files = sorted({file for rpm in rpms for file in rpm.files})
    for rpm in rpms:
        text += f"%package -n {rpm.name}\nSummary: s\nAutoReqProv: no\n{_tags(rpm)}"
        text += f"%description -n {rpm.name}\n"
        text += f"%files -n {rpm.name}\n" + "".join(f"{file}\n" for file in rpm.files)
    text += "%install\n"
    return text + "".join(
        f"mkdir -p %{{buildroot}}$(dirname {f})\n:>%{{buildroot}}{f}\n" for f in files
    )


def _tags(rpm: Rpm) -> str:
    epoch, _, rest = rpm.version.rpartition(":")
    version, _, release = rest.partition("-")
    text = f"Version: {version}\nRelease: {release}\n" + (f"Epoch: {epoch}\n" if epoch else "")
    for tag in ("requires", "provides", "conflicts", "obsoletes", "recommends"):
        text += "".join(f"{tag.title()}: {value}\n" for value in getattr(rpm, tag))
    return text


def dnf(
    work: Path,
    repositories: Mapping[str, Path],
    wanted: Iterable[str],
    *,
    weak: bool = False,
    excluded: Iterable[str] = (),
) -> set[str] | None:
    """What dnf would install, as "name-[epoch:]version-release.arch"; None when it refuses."""
    words = ["dnf", "--assumeno", "-y", f"--installroot={work}/root", "--releasever=9"]
    words += ["--setopt=reposdir=/nonexistent", f"--setopt=cachedir={work}/cache"]
    words += ["--setopt=gpgcheck=0", "--setopt=best=0", f"--setopt=install_weak_deps={int(weak)}"]
    words += [f"--repofrompath={name},{path}" for name, path in repositories.items()]
    words += [f"--exclude={name}" for name in excluded]
    words += ["--assumeno", "install", *wanted]
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "LC_ALL": "C.UTF-8", "COLUMNS": "300"},
        check=False,
    )
    if "Transaction Summary" not in done.stdout:
        assert re.search(r"^(Error|No match|Unable)", done.stdout + done.stderr, re.MULTILINE), done
        return None
    table = done.stdout.partition("Transaction Summary")[0].partition("Skipping packages")[0]
    rows = re.findall(r"^ (\S+) +(x86_64|noarch|i686) +(\S+) +\S+ +\d", table, re.MULTILINE)
    return {f"{name}-{evr}.{arch}" for name, arch, evr in rows}
