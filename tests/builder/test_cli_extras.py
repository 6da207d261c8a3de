"""ksbuild iso --extra-packages: a DVD lacks packages, a folder has them, there is no network."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from builder.cli import main
from builder.packages.known import home_of
from builder.plan.readback import parse
from builder.profile.load import load
from tests.builder.wanted import COMPS, EXAMPLE, THERE
from tests.media.sources import demo_source, el9_tree, master
from tests.packages.rpms import Rpm, dnf, repository, run
from tests.packages.test_extras import fingerprint, keyring, sign

__all__ = ["demo_source", "keyring"]


REPOSITORIES = ("AppStream", "HighAvailability", "ResilientStorage", "ELRepo")


def ksbuild(*arguments: "str | Path") -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


def mastered(demo_source: Path, folder: Path, names: "list[str]") -> Path:
    """Laid out as an EL9 DVD: BaseOS, AppStream and the installer's own image are on it."""
    el9_tree(demo_source, folder / "tree")
    (folder / "tree/images/install.img").write_bytes(b"installer\n" * 1000)
    repository(folder / "tree/BaseOS", [Rpm(name) for name in names[1:]], comps=COMPS)
    repository(folder / "tree/AppStream", [Rpm(names[0]), Rpm("python3-lxml")])
    master(folder / "tree", folder / "dvd.iso")
    return folder / "dvd.iso"


@pytest.fixture(scope="module")
def dvd(demo_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that has what EL9's have: nothing of the cluster, and no DRBD."""
    names = [name for name in THERE if not home_of(name)]
    return mastered(demo_source, tmp_path_factory.mktemp("dvd"), names)


@pytest.fixture(scope="module")
def whole_dvd(demo_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of somebody's own, with everything on it."""
    return mastered(demo_source, tmp_path_factory.mktemp("whole"), THERE)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the DVD lacks."""
    others = [Rpm(name) for name in THERE if home_of(name) and name != "pacemaker"]
    return repository(
        tmp_path_factory.mktemp("made") / "extras",
        [
            *others,
            Rpm("pacemaker", requires=("libqb",)),
            Rpm("libqb", "2.0.8-1.el9", requires=("python3-lxml",)),
        ],
    )


@pytest.fixture
def extras(made: Path, tmp_path: Path) -> Path:
    """A copy of that, to be spoilt."""
    return Path(shutil.copytree(made, tmp_path / "extras"))


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    """The example, with repositories that cannot be reached."""
    text = EXAMPLE.read_text()
    for host in ("repo.almalinux.org", "elrepo.org"):
        text = text.replace(f"https://{host}/", "https://127.0.0.1:9/")
    path = tmp_path / "pair.toml"
    path.write_text(text)
    return path


def local(profile: Path) -> Path:
    """Without any place on a network."""
    lines = profile.read_text().splitlines(keepends=True)
    profile.write_text("".join(line for line in lines if "127.0.0.1" not in line))
    assert load(profile).profile.install.url is None
    return profile


def manifest_of(medium: Path) -> dict[str, Any]:
    shown = ksbuild("inspect", medium, "--json")
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.stdout)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("named", [True, False])
def test_no_network(profile: Path, extras: Path, dvd: Path, tmp_path: Path, named: bool) -> None:
    """The repositories that the profile names cannot be reached, and need not be."""
    profile = profile if named else local(profile)
    out = tmp_path / "pair.iso"
    said = ksbuild("iso", profile, "--source", dvd, "--extra-packages", extras, "-o", out)
    assert said.exit_code == 0, said.output
    assert "the installation needs no network" in said.stdout
    text = ksbuild("inspect", out, "--show", "ks.cfg").stdout
    assert "curl" not in text
    handler = parse(text)
    assert handler.url.url == "file:///run/install/repo"
    (repo,) = handler.repo.repoList
    assert (repo.name, repo.baseurl) == (
        "ksbuild-extras",
        "file:///run/install/repo/ksbuild-extras",
    )
    menu = ksbuild("inspect", out, "--show", "EFI/BOOT/grub.cfg").stdout
    assert "inst.stage2=hd:LABEL=" in menu
    assert "rd.neednet" not in menu
    found = manifest_of(out)["extras"]
    count = len(list(extras.glob("*.rpm")))
    assert (found["packages"], found["network"]) == (count, False)
    assert f"{count} extra packages" in ksbuild("inspect", out).stdout
    again = ksbuild("plan", profile, "--against", out)
    assert again.exit_code == 0, again.output


def test_a_dvd_is_installed_from_and_install_url_is_for_boot_media(
    profile: Path, whole_dvd: Path, tmp_path: Path
) -> None:
    """What the check reads is what the kickstart names; nothing answers at install.url."""
    head, _, tail = profile.read_text().partition("repositories = [")
    profile.write_text(head + tail.partition("]\n")[2])
    url = load(profile).profile.install.url
    assert url
    assert not load(profile).profile.install.repositories
    out = tmp_path / "pair.iso"
    said = ksbuild("iso", profile, "--source", whole_dvd, "-o", out)
    assert said.exit_code == 0, said.output
    assert "the packages are not checked" not in said.stderr
    assert "install.url is for a boot ISO" in said.stdout
    handler = parse(ksbuild("inspect", out, "--show", "ks.cfg").stdout)
    assert handler.url.url == "file:///run/install/repo"
    assert ksbuild("plan", profile, "--against", out).exit_code == 0
    said = ksbuild("iso", profile, "--source", whole_dvd, "--mode", "boot", "-o", out, "--force")
    assert "the packages are not checked" in said.stderr, "the DVD's are not looked at"
    assert "install.url is for a boot ISO" not in said.stdout
    handler = parse(ksbuild("inspect", out, "--show", "ks.cfg").stdout)
    assert handler.url.url == url
    assert ksbuild("plan", profile, "--against", out).exit_code == 0


def test_dnf_installs_from_what_is_on_the_medium(
    profile: Path, extras: Path, dvd: Path, tmp_path: Path
) -> None:
    out = tmp_path / "pair.iso"
    said = ksbuild("iso", profile, "--source", dvd, "--extra-packages", extras, "-o", out)
    assert said.exit_code == 0, said.output
    places = {name: tmp_path / "read" / name for name in ("BaseOS", "AppStream", "ksbuild-extras")}
    for name, place in places.items():
        words = ("xorriso", "-osirrox", "on", "-indev", out, "-extract", f"/{name}", place)
        run(*words)
    found = dnf(tmp_path, places, THERE)
    assert found is not None
    assert {"pacemaker-1.0-1.noarch", "libqb-2.0.8-1.el9.noarch"} <= found
    del places["ksbuild-extras"]
    assert dnf(tmp_path, places, THERE) is None


def test_what_is_still_missing_is_named(
    profile: Path, extras: Path, dvd: Path, tmp_path: Path
) -> None:
    local(profile)
    out = tmp_path / "pair.iso"
    without = ksbuild("iso", profile, "--source", dvd, "-o", out)
    assert without.exit_code == 4
    assert "pacemaker" in without.stderr
    next(extras.glob("libqb*.rpm")).unlink()
    run("createrepo_c", "-q", extras)
    said = ksbuild("iso", profile, "--source", dvd, "--extra-packages", extras, "-o", out)
    assert said.exit_code == 4
    assert "libqb, needed by pacemaker" in said.stderr
    assert "--extra-packages" in said.stderr
    assert not out.exists()


def test_what_is_incomplete_still_asks_the_network(
    profile: Path, extras: Path, dvd: Path, tmp_path: Path
) -> None:
    next(extras.glob("libqb*.rpm")).unlink()
    run("createrepo_c", "-q", extras)
    out = tmp_path / "pair.iso"
    said = ksbuild("iso", profile, "--source", dvd, "--extra-packages", extras, "-o", out)
    assert said.exit_code == 0
    assert "the packages are not checked" in said.stderr
    assert "the medium alone lacks: libqb, needed by pacemaker" in said.stderr
    assert "the installation needs no network" not in said.stdout
    text = ksbuild("inspect", out, "--show", "ks.cfg").stdout
    assert [repo.name for repo in parse(text).repo.repoList] == [*REPOSITORIES, "ksbuild-extras"]
    assert "https://127.0.0.1:9/" in text
    assert manifest_of(out)["extras"]["network"] is True


def test_every_package_is_signed_by_a_pinned_key(
    profile: Path, extras: Path, dvd: Path, tmp_path: Path, keyring: Path
) -> None:
    out = tmp_path / "pair.iso"
    words = ("iso", profile, "--source", dvd, "--extra-packages", extras, "-o", out)
    assert "no key is pinned" in ksbuild(*words, "--dry-run").stderr
    armored = run("gpg", "--homedir", keyring, "--armor", "--export", "=rsa2048")
    (tmp_path / "own.asc").write_text(armored)
    pin = f'gpg_key = "own.asc"\ngpg_fingerprint = "{fingerprint(keyring, "rsa2048")}"'
    profile.write_text(profile.read_text().replace("[install]", f"[install]\n{pin}"))
    refused = ksbuild(*words)
    assert refused.exit_code == 4
    assert "not signed by a key that the profile pins" in refused.stderr
    assert not out.exists()
    for rpm in extras.glob("*.rpm"):
        sign(keyring, "rsa2048", rpm)
    run("createrepo_c", "-q", extras)
    done = ksbuild(*words)
    assert done.exit_code == 0, done.output
    assert "no key is pinned" not in done.stderr


def test_a_companion_takes_none(profile: Path, extras: Path, dvd: Path, tmp_path: Path) -> None:
    words = ("iso", profile, "--source", dvd, "--extra-packages", extras)
    refused = ksbuild(*words, "--mode", "oemdrv", "-o", tmp_path / "a.iso")
    assert refused.exit_code == 5
    assert "--mode patch" in refused.stderr
    assert not (tmp_path / "a.iso").exists()


def test_inspect_notices(profile: Path, extras: Path, dvd: Path, tmp_path: Path) -> None:
    out = tmp_path / "pair.iso"
    ksbuild("iso", profile, "--source", dvd, "--extra-packages", extras, "-o", out)
    raw = bytearray(out.read_bytes())
    package = next(extras.glob("libqb*.rpm")).read_bytes()
    raw[raw.rindex(package) + len(package) - 1] ^= 1
    out.write_bytes(raw)
    shown = ksbuild("inspect", out)
    assert shown.exit_code == 4
    assert "DIFFERS FROM THE MANIFEST: ksbuild-extras/libqb-2.0.8-1.el9.noarch.rpm is altered" in (
        shown.stdout
    )


def test_boot_mode_has_them_too(profile: Path, extras: Path, dvd: Path, tmp_path: Path) -> None:
    """The installer comes from the network there, and %pre mounts the medium."""
    out = tmp_path / "pair.iso"
    words = ("iso", profile, "--source", dvd, "--extra-packages", extras, "--mode", "boot")
    said = ksbuild(*words, "-o", out)
    assert said.exit_code == 0, said.output
    assert "the installation needs no network" not in said.stdout
    assert manifest_of(out)["extras"]["packages"] == len(list(extras.glob("*.rpm")))
    subprocess.run(
        ["xorriso", "-osirrox", "on", "-indev", out, "-extract", "/ksbuild-extras", tmp_path / "x"],
        check=True,
        capture_output=True,
    )
    assert {f.name for f in (tmp_path / "x").glob("*.rpm")} == {
        f.name for f in extras.glob("*.rpm")
    }
    assert "ksbuild-extras" in ksbuild("inspect", out, "--show", "ks.cfg").stdout
