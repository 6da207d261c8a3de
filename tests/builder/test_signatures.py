"""%post and the packages that were installed: real RPMs, real signatures, the real rpm."""

import configparser
import os
import re
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builder.errors import InputError
from builder.inputs import package_keys
from builder.plan.kickstart import Key
from builder.profile.load import load
from tests.builder.conftest import planned
from tests.builder.test_kickstart import scripts
from tests.packages.rpms import Rpm, build, run
from tests.packages.test_extras import fingerprint, keyring, sign
from tests.packages.webserver import serving

__all__ = ["keyring"]

RSAHEADER, SIGPGP = 268, 1002
# One more database of packages than this machine's own; all else is rpm's.
RPM = '#!/bin/sh\nexec /usr/bin/rpm --dbpath {} "$@"\n'


def key(keyring: Path, *kinds: str) -> Key:
    armour = "".join(
        run("gpg", "--homedir", keyring, "--armor", "--export", f"={kind}") for kind in kinds
    )
    return Key("own", tuple(fingerprint(keyring, kind) for kind in kinds), armour)


@pytest.fixture(scope="module")
def rpms(keyring: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packages "pinned" and "second", each signed by a key of its own, and "unsigned"."""
    folder = tmp_path_factory.mktemp("rpms") / "made"
    folder.mkdir()
    build(folder, [Rpm(name) for name in ("pinned", "second", "unsigned")])
    for rpm in folder.glob("*.rpm"):
        rpm.rename(folder / f"{rpm.name.partition('-')[0]}.rpm")
    sign(keyring, "rsa2048", folder / "pinned.rpm")
    sign(keyring, "rsa3072", folder / "second.rpm")
    return folder


def change_signature(rpm: Path, change: Callable[[bytearray, int, int], None]) -> None:
    """`change` gets the file, where the index entry of RSAHEADER is, and where its data are."""
    data = bytearray(rpm.read_bytes())
    (count,) = struct.unpack_from(">I", data, 96 + 8)
    index = 96 + 16
    for entry in range(index, index + 16 * count, 16):
        tag, _, offset, _ = struct.unpack_from(">IIII", data, entry)
        if tag == RSAHEADER:
            change(data, entry, index + 16 * count + offset)
    assert data != rpm.read_bytes()
    rpm.write_bytes(data)


def corrupt(data: bytearray, _entry: int, start: int) -> None:
    data[start + 200] ^= 1


def other_kind(data: bytearray, entry: int, _start: int) -> None:
    struct.pack_into(">I", data, entry, SIGPGP)


def installed(place: Path, *rpms: Path) -> None:
    """Note the packages as installed, as Anaconda does: dnf looks at no signature there."""
    run("rpm", "--dbpath", place / "db", "--initdb")
    words = ("rpm", "--dbpath", place / "db", "-i", "--justdb", "--nodeps", "--nosignature")
    run(*words, "--nodigest", *rpms)


def check(root: Path, place: Path, *keys: Key) -> "subprocess.CompletedProcess[str]":
    """Run the part of %post that looks at signatures."""
    profile = load(root / "profiles/example.toml").profile
    (script,) = scripts(planned(profile, keys=keys).either, "post")
    part = script[script.index("# --- every package") : script.index("# put PATH")]
    (place / "bin").mkdir()
    (place / "bin/rpm").write_text(RPM.format(place / "db"))
    (place / "bin/rpm").chmod(0o755)
    return subprocess.run(
        ["bash", "-euo", "pipefail"],
        input=part.replace("/etc/pki", f"{place}/pki"),
        capture_output=True, text=True, check=False,
        env={"PATH": f"{place}/bin:/usr/bin", "TMPDIR": str(place), "LC_ALL": "C.UTF-8"},
    )  # fmt: skip


def test_it_passes_shellcheck(root: Path, tmp_path: Path) -> None:
    profile = load(root / "profiles/example.toml").profile
    keys = tuple(Key(name, ("A" * 40,), "ARMOUR") for name in ("distribution", "ELRepo"))
    (script,) = scripts(planned(profile, keys=keys).either, "post")
    (tmp_path / "script.sh").write_text("#!/bin/bash\n" + script)
    run("shellcheck", tmp_path / "script.sh")


def test_signed_by_the_pinned_key(root: Path, tmp_path: Path, rpms: Path, keyring: Path) -> None:
    installed(tmp_path, rpms / "pinned.rpm")
    done = check(root, tmp_path, key(keyring, "rsa2048"))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_two_keys_in_one_file(root: Path, tmp_path: Path, rpms: Path, keyring: Path) -> None:
    installed(tmp_path, rpms / "pinned.rpm", rpms / "second.rpm")
    done = check(root, tmp_path, key(keyring, "rsa2048", "rsa3072"))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("bad", ["unsigned", "second", "corrupt", "other-kind"])
def test_anything_else_stops_the_installation(
    root: Path, tmp_path: Path, rpms: Path, keyring: Path, bad: str
) -> None:
    """Not signed, by a key nobody pinned, not any more, or so that rpm can't look at it here."""
    forged = tmp_path / "forged.rpm"
    shutil.copy(rpms / ("unsigned.rpm" if bad == "unsigned" else "second.rpm"), forged)
    own = key(keyring, "rsa2048")
    if bad in ("corrupt", "other-kind"):
        own = key(keyring, "rsa2048", "rsa3072")
        change_signature(forged, corrupt if bad == "corrupt" else other_kind)
    installed(tmp_path, rpms / "pinned.rpm", forged)
    done = check(root, tmp_path, own)
    assert done.returncode == 1, done.stdout + done.stderr
    name = "unsigned" if bad == "unsigned" else "second"
    assert f"|noarch|{name}-1.0-1" in done.stdout
    assert "pinned-1.0" not in done.stdout
    assert ("BAD" in done.stdout) is (bad == "corrupt")


def test_a_name_that_looks_like_a_signature(root: Path, tmp_path: Path, keyring: Path) -> None:
    """Nor is a package taken for one of the keys that rpm keeps among the packages."""
    own = key(keyring, "rsa2048")
    folder = tmp_path / "made"
    folder.mkdir()
    build(folder, [Rpm("gpg-pubkey-tools"), Rpm("key", f"1_key_id_{own.key_ids[0]}-1")])
    installed(tmp_path, *folder.glob("*.rpm"))
    done = check(root, tmp_path, own)
    assert done.returncode == 1
    assert "gpg-pubkey-tools" in done.stdout
    assert "|key-1_key_id" in done.stdout


def test_the_profile_pins_one_or_a_list(tmp_path: Path, root: Path, keyring: Path) -> None:
    both = key(keyring, "rsa2048", "rsa3072")
    (tmp_path / "own.asc").write_text(both.text)
    pins = ", ".join(f'"{each}"' for each in both.fingerprints)
    text = (root / "profiles/example.toml").read_text()
    path = tmp_path / "pair.toml"
    path.write_text(
        text.replace("[install]", f'[install]\ngpg_key = "own.asc"\ngpg_fingerprint = [{pins}]')
    )
    (found,) = package_keys(tmp_path, load(path).profile)
    assert set(found.fingerprints) == set(both.fingerprints)
    path.write_text(path.read_text().replace(f"[{pins}]", f'"{both.fingerprints[1]}"'))
    with pytest.raises(InputError, match=f"holds the key {both.fingerprints[0]}"):
        package_keys(tmp_path, load(path).profile)


@pytest.fixture
def site(rpms: Path, tmp_path: Path) -> Iterator[str]:
    """A repository of what "pinned" and "second" are."""
    folder = tmp_path / "site"
    folder.mkdir()
    for name in ("pinned", "second"):
        shutil.copy(rpms / f"{name}.rpm", folder)
    run("createrepo_c", "-q", folder)
    with serving(None) as found:
        for path in folder.rglob("*"):
            if path.is_file():
                found.files[f"/{path.relative_to(folder)}"] = path.read_bytes()
        yield found.url


def repositories(root: Path, place: Path, url: str, *keys: Key) -> Path:
    """What %post writes for a profile with that repository, run for real; the folder."""
    profile = load(root / "profiles/example.toml").profile
    own = profile.install.repositories[0].model_copy(update={"name": "own", "url": url})
    file = own.model_copy(update={"name": "local", "url": "file:///srv/x"})
    install = profile.install.model_copy(update={"repositories": [own, file]})
    made = planned(profile.model_copy(update={"install": install}), keys=keys)
    (script,) = scripts(made.either, "post")
    part = script[script.index("# put PATH") : script.index("install -d -m 0755 /usr/lib")]
    part = part.replace("/etc/", f"{place}/etc/")
    subprocess.run(["bash", "-euo", "pipefail"], input=part, text=True, check=True)
    (place / "etc/pki/rpm-gpg").mkdir(parents=True)
    for each in keys:
        (place / "etc/pki/rpm-gpg" / each.file).write_text(each.text)
    return place / "etc/yum.repos.d"


def dnf_takes(place: Path, folder: Path, name: str) -> bool:
    """Whether the real dnf would install it; it asks nobody."""
    words = ["dnf", "-y", f"--installroot={place}/root", "--releasever=9", "--downloadonly"]
    words += [f"--setopt=reposdir={folder}", f"--setopt=cachedir={place}/cache", "install", name]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8", "NO_PROXY": "127.0.0.1"},
    )  # fmt: skip
    if done.returncode:
        assert re.search(r"GPG|not signed|public key", done.stdout + done.stderr), done
    return done.returncode == 0


def test_dnf_on_the_node_takes_what_the_pinned_key_signed(
    root: Path, tmp_path: Path, site: str, keyring: Path
) -> None:
    own = key(keyring, "rsa2048")
    folder = repositories(root, tmp_path, site, own)
    assert [path.name for path in folder.iterdir()] == ["ksbuild-own.repo"]
    assert dnf_takes(tmp_path, folder, "pinned")
    assert not dnf_takes(tmp_path, folder, "second")


def test_dnf_takes_nothing_where_no_key_is_pinned(root: Path, tmp_path: Path, site: str) -> None:
    assert not dnf_takes(tmp_path, repositories(root, tmp_path, site), "pinned")


def test_a_repository_has_its_own_key_or_the_distributions(root: Path) -> None:
    profile = load(root / "profiles/example.toml").profile
    keys = [Key("distribution", ("1" * 40,), "A"), Key("ELRepo", ("2" * 40,), "B")]
    (script,) = scripts(planned(profile, keys=tuple(keys)).either, "post")
    found = {}
    for text in re.findall(r"<<'KSBUILD_REPO'\n(.*?)^KSBUILD_REPO$", script, re.M | re.S):
        parser = configparser.ConfigParser(interpolation=None)
        parser.read_string(text)
        (name,) = parser.sections()
        assert (parser[name]["gpgcheck"], parser[name]["enabled"]) == ("1", "1")
        found[name] = parser[name]["gpgkey"].rpartition("/")[2]
    distribution = "RPM-GPG-KEY-ksbuild-distribution"
    assert found == {
        "ksbuild-AppStream": distribution,
        "ksbuild-HighAvailability": distribution,
        "ksbuild-ResilientStorage": distribution,
        "ksbuild-ELRepo": "RPM-GPG-KEY-ksbuild-ELRepo",
    }
