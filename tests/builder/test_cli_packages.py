"""Every package is looked for before the installer has to: repositories that lack some, or all."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from builder.cli import main
from builder.packages.known import home_of
from tests.builder.wanted import COMPS, THERE, example_at
from tests.media.sources import demo_source, el9_iso
from tests.packages.rpms import Rpm, repository
from tests.packages.webserver import Site, serving

__all__ = ["demo_source", "el9_iso"]


def ksbuild(*arguments: "str | Path") -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    rpms = [Rpm(name, requires=("libdrbd",) if name == "chrony" else ()) for name in THERE]
    folder = repository(tmp_path / "repo", [*rpms, Rpm("libdrbd")], comps=COMPS)
    with serving(None) as found:
        for path in (folder / "repodata").iterdir():
            found.files[f"/repodata/{path.name}"] = path.read_bytes()
        yield found


@pytest.fixture
def profile(site: Site, tmp_path: Path) -> Path:
    """The example, installed from one repository on this machine."""
    path = tmp_path / "pair.toml"
    path.write_text(example_at(site.url))
    return path


def test_all_there(profile: Path) -> None:
    said = ksbuild("validate", "--online", profile)
    assert said.exit_code == 0, said.output


def without(site: Site, tmp_path: Path, *absent: str, instead: "tuple[Rpm, ...]" = ()) -> None:
    """Serve a repository that lacks some packages, and has others instead."""
    rpms = [*(Rpm(name) for name in THERE if name not in absent), *instead]
    folder = repository(tmp_path / "poorer", rpms, comps=COMPS)
    site.files.clear()
    for path in (folder / "repodata").iterdir():
        site.files[f"/repodata/{path.name}"] = path.read_bytes()


def test_what_is_missing_is_named_with_its_home(
    profile: Path, site: Site, el9_iso: Path, tmp_path: Path
) -> None:
    without(site, tmp_path, "pacemaker")
    said = ksbuild("validate", "--online", profile)
    assert said.exit_code == 4
    assert "packages: error: pacemaker" in said.stderr
    assert "HighAvailability" in said.stderr
    assert ksbuild("validate", profile).exit_code == 0
    output = profile.with_suffix(".iso")
    built = ksbuild("iso", profile, "--source", el9_iso, "-o", output)
    assert built.exit_code == 4
    # The source says which distribution it is, and so where that has it.
    address = "https://repo.almalinux.org/almalinux/9/HighAvailability/x86_64/os/"
    line = f'{{ name = "HighAvailability", url = "{address}" }}'
    assert f"hint: in install.repositories: {line}" in built.stderr
    assert not output.exists()
    built = ksbuild("iso", profile, "--source", el9_iso, "-o", output, "--offline")
    assert built.exit_code == 0


@pytest.mark.parametrize("kernel", ["5.14.0-687.5.3.el9_8", "5.14.0-503.11.1.el9_5"])
def test_every_pair_has_its_kernel_and_its_drbd_looked_at(
    profile: Path, site: Site, tmp_path: Path, kernel: str
) -> None:
    """ELRepo's kmod-drbd9x.spec: `kernel >= X`, `kernel-core-uname-r >= X`; nobody asked for it."""
    built = "5.14.0-687.5.3.el9_8"
    needs = (f"kernel >= {built}", f"kernel-core-uname-r >= {built}")
    without(
        site, tmp_path, "kernel", "kmod-drbd9x",
        instead=(
            Rpm("kernel", kernel, requires=("kernel-core",)),
            Rpm("kernel-core", kernel, provides=(f"kernel-core-uname-r = {kernel}",)),
            Rpm("kmod-drbd9x", "9.3.3-1.el9_8.elrepo", requires=needs),
        ),
    )  # fmt: skip
    said = ksbuild("validate", "--online", profile)
    if kernel == built:
        assert said.exit_code == 0, said.output
        return
    assert said.exit_code == 4
    pair = f"kmod-drbd9x-9.3.3-1.el9_8.elrepo.noarch was built for kernel {built}"
    assert f"{pair}, and the kernel chosen is {kernel}" in said.stderr


IDS = [f"rhel-9-for-x86_64-{name}-rpms" for name in ("highavailability", "resilientstorage")]


def registered(profile: Path, *ids: str) -> None:
    """With Red Hat's repositories, which nobody can read from here."""
    rows = "".join(f'    {{ name = "{id_}" }},\n' for id_ in ids)
    text = profile.read_text().replace("repositories = [\n", f"repositories = [\n{rows}")
    profile.write_text(text.replace("[install]", '[install]\nregistration_file = "rhsm"'))


@pytest.mark.parametrize("ids", [IDS, IDS[1:]])
def test_what_only_a_registered_system_can_read_is_said_and_not_called_missing(
    profile: Path, site: Site, tmp_path: Path, ids: "list[str]"
) -> None:
    """ResilientStorage has the packages of HighAvailability as well."""
    absent = {name for name in THERE if home_of(name) in ("HighAvailability", "ResilientStorage")}
    without(site, tmp_path, *absent)
    registered(profile, *ids)
    said = ksbuild("validate", "--online", profile)
    assert said.exit_code == 0, said.output
    (line,) = (line for line in said.stderr.splitlines() if line.startswith("packages: "))
    reason = "not looked at, for they answer registered systems alone"
    assert line.startswith(f"packages: warning: {reason}: {', '.join(ids)}; taken to be there: ")
    assert set(line.rpartition(": ")[2].split(", ")) == absent
    assert f"dnf repoquery --repoid={ids[0]}" in said.stderr


def test_what_lives_elsewhere_is_missing_all_the_same(
    profile: Path, site: Site, tmp_path: Path
) -> None:
    without(site, tmp_path, "dlm", "drbd9x-utils")
    registered(profile, IDS[0])
    said = ksbuild("validate", "--online", profile)
    assert said.exit_code == 4
    missing = re.findall(r"packages: error: ([\w-]+),", said.stderr)
    assert missing == ["dlm", "drbd9x-utils"], "dlm is not in HighAvailability"


def test_red_hats_own_addresses_are_refused_with_the_way_out(profile: Path) -> None:
    text = profile.read_text().replace(
        "repositories = [\n",
        'repositories = [\n    { name = "HA", url = "https://cdn.redhat.com/content/x/os/" },\n',
    )
    profile.write_text(text)
    said = ksbuild("validate", "--online", profile)
    assert said.exit_code == 4
    assert "cdn.redhat.com/content/x/os/ answers only systems that are registered" in said.stderr
    assert "the repository's id as its name, without url" in said.stderr


def test_out_of_reach(profile: Path, site: Site, el9_iso: Path) -> None:
    site.files.clear()
    assert ksbuild("validate", "--online", profile).exit_code == 4
    output = profile.with_suffix(".iso")
    built = ksbuild("iso", profile, "--source", el9_iso, "-o", output)
    assert built.exit_code == 0
    assert "warning: the packages are not checked" in built.stderr
