"""%pre finds the packages that came along, or says what it found instead, before any disk."""

import subprocess
from pathlib import Path

import pytest

from builder.plan import Plan
from builder.plan.readback import parse
from builder.profile.load import load
from tests.builder.conftest import planned
from tests.builder.server import Server, refused
from tests.builder.test_kickstart import commands_gone, scripts

EXTRAS = "ksbuild-extras"
MOUNT = 'echo "$@" >>$SERVER/mounts; mkdir -p $SERVER/run/install/repo/{}/repodata; {}'


@pytest.fixture
def plan(root: Path) -> Plan:
    return planned(load(root / "profiles/example.toml").profile, extras=EXTRAS)


@pytest.fixture
def index(server: Server) -> Path:
    """Where the medium's repository is once it is mounted."""
    server.add_disk("sda", 950)
    server.stub("findmnt", "exit 1")
    return server.root / f"run/install/repo/{EXTRAS}/repodata/repomd.xml"


def test_one_line_for_anaconda(plan: Plan, example: Plan) -> None:
    for text in (plan.either, *plan.kickstarts.values()):
        repos = {repo.name: repo.baseurl for repo in parse(text).repo.repoList}
        assert repos[EXTRAS] == f"file:///run/install/repo/{EXTRAS}"
    assert EXTRAS not in example.either


def test_its_script_is_one_the_installer_can_run(plan: Plan, tmp_path: Path) -> None:
    (script,) = scripts(plan.either, "pre")
    assert f"/{EXTRAS}/" in script
    (tmp_path / "script.sh").write_text("#!/bin/bash\n" + script)
    argv: list[str | Path] = ["shellcheck", tmp_path / "script.sh"]
    assert subprocess.run(argv, capture_output=True, text=True, check=False).stdout == ""
    assert commands_gone(script) == set()


def test_without_network_nothing_is_asked(root: Path) -> None:
    profile = load(root / "profiles/example.toml").profile
    text = planned(profile, extras=EXTRAS, network=False).either
    assert parse(text).url.url == "file:///run/install/repo"
    assert "curl" not in text
    assert "http" not in text.partition("%packages")[0]
    assert "curl" in planned(profile, extras=EXTRAS).either


def test_the_initrd_has_mounted_it(server: Server, plan: Plan, index: Path) -> None:
    server.stub("findmnt", "exit 0")
    server.stub("mount", "exit 1")
    index.parent.mkdir(parents=True)
    index.write_text("<repomd/>")
    assert server.run(plan.either).success


def test_it_is_mounted_by_its_label(server: Server, plan: Plan, index: Path) -> None:
    server.stub("mount", MOUNT.format(EXTRAS, f"echo there >{index}"))
    assert server.run(plan.either).success
    options, device, place = (server.root / "mounts").read_text().rsplit(maxsplit=2)
    assert (options, device.removeprefix(str(server.root))) == (
        "-o ro",
        "/dev/disk/by-label/KSBUILD",
    )
    assert place.endswith("/run/install/repo")


@pytest.mark.parametrize("mounted", [True, False])
def test_another_medium(server: Server, plan: Plan, index: Path, mounted: bool) -> None:
    server.stub("findmnt", f"exit {int(not mounted)}")
    server.stub("mount", "exit 0")
    refused(server.run(plan.either), f"does not have the packages of this medium ({EXTRAS})")
    assert not index.exists()


def test_the_medium_is_gone(server: Server, plan: Plan, index: Path) -> None:
    server.stub("mount", "exit 32")
    refused(server.run(plan.either), "the medium labelled 'KSBUILD' cannot be mounted")
    assert not index.exists()
