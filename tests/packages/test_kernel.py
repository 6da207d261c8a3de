"""The kernel and the DRBD module as a pair, in the shape of ELRepo's and EL9's own packages."""

from pathlib import Path

from builder.packages.folder import read_folder
from builder.packages.model import Repository
from builder.packages.resolve import resolve
from tests.packages.rpms import Rpm, dnf, repository
from tests.packages.test_resolve import answer

GA5 = "5.14.0-503.11.1.el9_5"
GA6 = "5.14.0-570.12.1.el9_6"


def kernel(release: str, crc: str) -> list[Rpm]:
    core = f"kernel-core-uname-r = {release}.x86_64"
    return [
        Rpm("kernel", release, (f"kernel-core-uname-r = {release}.x86_64",), arch="x86_64"),
        Rpm(
            "kernel-core",
            release,
            provides=(core, "installonlypkg(kernel)", f"kernel(printk) = {crc}"),
            arch="x86_64",
        ),
    ]


def module(version: str, release: str, crc: str) -> Rpm:
    requires = (
        f"kernel >= {release}",
        f"kernel-core-uname-r >= {release}",
        f"kernel(printk) = {crc}",
        "kernel(drbd_own) = 0x2",
    )
    provides = ("kernel(drbd_own) = 0x2", f"kernel-modules >= {release}.x86_64")
    return Rpm("kmod-drbd9x", version, requires, provides, arch="x86_64")


def made(tmp_path: Path, **repositories: list[Rpm]) -> list[Repository]:
    return [read_folder(repository(tmp_path / n, rpms)) for n, rpms in repositories.items()]


WANTED = ["kernel", "kmod-drbd9x"]


def test_the_installer_adds_a_kernel(tmp_path: Path) -> None:
    found = made(tmp_path, BaseOS=[*kernel(GA5, "0x1"), Rpm("a")])
    assert f"kernel-{GA5}.x86_64" in (answer(resolve(found, ["a"])) or ())
    assert answer(resolve(found, ["a", "-kernel"])) == {"a-1.0-1.noarch"}


def test_a_fitting_pair(tmp_path: Path) -> None:
    found = made(tmp_path, BaseOS=kernel(GA6, "0x1"), ELRepo=[module("9.3.3-1", GA6, "0x1")])
    resolution = resolve(found, WANTED)
    assert resolution.problems == ()
    assert answer(resolution) == dnf(tmp_path, paths(tmp_path, found), WANTED)


def test_built_for_a_newer_kernel(tmp_path: Path) -> None:
    found = made(tmp_path, BaseOS=kernel(GA5, "0x1"), ELRepo=[module("9.3.3-1", GA6, "0x1")])
    (problem,) = resolve(found, WANTED).problems
    assert problem.kind == "kernel-pair"
    assert problem.text == (
        f"kmod-drbd9x-9.3.3-1.x86_64 was built for kernel {GA6}, and the kernel chosen is {GA5}: "
        f"it lacks kernel >= {GA6}"
    )
    assert dnf(tmp_path, paths(tmp_path, found), WANTED) is None


def test_symbols_differ(tmp_path: Path) -> None:
    found = made(tmp_path, BaseOS=kernel(GA6, "0x9"), ELRepo=[module("9.3.3-1", GA5, "0x1")])
    (problem,) = resolve(found, WANTED).problems
    assert problem.kind == "kernel-pair"
    assert f"built for kernel {GA5}, and the kernel chosen is {GA6}" in problem.text
    assert "kernel(printk) = 0x1" in problem.text
    assert dnf(tmp_path, paths(tmp_path, found), WANTED) is None


def test_an_older_module_for_the_medium_s_kernel(tmp_path: Path) -> None:
    modules = [module("9.3.3-1", GA6, "0x1"), module("9.2.1-1", GA5, "0x1")]
    found = made(tmp_path, BaseOS=kernel(GA5, "0x1"), ELRepo=modules)
    resolution = resolve(found, WANTED)
    assert resolution.problems == ()
    assert "kmod-drbd9x-9.2.1-1.x86_64" in (answer(resolution) or ())
    assert answer(resolution) == dnf(tmp_path, paths(tmp_path, found), WANTED)


def test_side_by_side_does_not_help(tmp_path: Path) -> None:
    """dnf is content with two kernels; but the newer one boots, without the module."""
    kernels = [*kernel(GA5, "0x1"), *kernel(GA6, "0x9")]
    found = made(tmp_path, BaseOS=kernels, ELRepo=[module("9.3.3-1", GA5, "0x1")])
    (problem,) = resolve(found, WANTED).problems
    assert problem.kind == "kernel-pair"
    assert {str(package) for package in resolve(found, WANTED).chosen} == dnf(
        tmp_path, paths(tmp_path, found), WANTED
    )
    # The installer adds "kernel" by itself, and the version asked for satisfies that, too.
    pinned = [f"kernel-{GA5}", "kmod-drbd9x"]
    resolution = resolve(found, pinned)
    assert resolution.problems == ()
    assert answer(resolution) == dnf(tmp_path, paths(tmp_path, found), ["kernel", *pinned])


def test_another_minor_release_is_told(tmp_path: Path) -> None:
    found = made(tmp_path, BaseOS=kernel(GA6, "0x1"), ELRepo=[module("9.3.3-1", GA5, "0x1")])
    resolution = resolve(found, WANTED)
    assert [problem.kind for problem in resolution.problems] == ["kernel-release"]
    assert answer(resolution) == dnf(tmp_path, paths(tmp_path, found), WANTED)


def paths(tmp_path: Path, found: list[Repository]) -> dict[str, Path]:
    return {repository.name: tmp_path / repository.name for repository in found}
