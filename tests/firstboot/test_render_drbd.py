"""DRBD's files against the real drbdadm, in both dialects, without a kernel that has DRBD."""

import dataclasses
import os
import subprocess
from pathlib import Path

import pytest

from firstboot import files
from firstboot.drbd import set_rates
from firstboot.node import Identity, partition_uuid
from firstboot.render import drbd
from tests.firstboot.conftest import PAIR_ID, ScriptedRun, an_identity

# drbdadm takes the dialect of the kernel's module; this variable, of drbd-utils' own tests
# (tests/run.sh), stands in for one.
VERSIONS = {"el9": "9.2.0", "debian12-lab": "8.4.11"}
SECRET = "0123456789abcdef" * 3


def installed(root: Path, identity: Identity) -> Path:
    """The files as the agent writes them, and what includes them as both distributions do."""
    files.make_folder(root / files.SECRETS)
    files.create(root / files.SECRETS / "drbd", SECRET.encode(), 0o600)
    files.write(root, drbd.render(identity))
    conf = root / "etc/drbd.conf"
    conf.write_text('include "drbd.d/global_common.conf";\ninclude "drbd.d/*.res";\n')
    return conf


def drbdadm(
    conf: Path, identity: Identity, *arguments: str, node: str = ""
) -> "subprocess.CompletedProcess[str]":
    """A dry run: the commands it would start."""
    environment = {
        **os.environ,
        "__DRBD_NODE__": node or identity.node,
        "DRBD_DRIVER_VERSION_OVERRIDE": VERSIONS[identity.pair.platform],
    }
    return subprocess.run(
        ["drbdadm", "-c", str(conf), "-d", *arguments],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(params=sorted(VERSIONS))
def identity(request: pytest.FixtureRequest) -> Identity:
    return an_identity(platform=request.param)


@pytest.mark.parametrize("node", ["justinian", "julius"])
@pytest.mark.parametrize("platform", sorted(VERSIONS))
def test_drbdadm_would_bring_it_up(tmp_path: Path, node: str, platform: str) -> None:
    identity = an_identity(node, platform)
    done = drbdadm(installed(tmp_path, identity), identity, "adjust", "vmdata")
    assert done.returncode == 0, done.stderr
    commands = done.stdout.splitlines()
    words = set(done.stdout.split())
    assert {
        "--protocol=C",
        "--allow-two-primaries=yes",
        "--fencing=resource-and-stonith",
        "--after-sb-0pri=discard-zero-changes",
        "--after-sb-1pri=disconnect",
        "--after-sb-2pri=disconnect",
        "--rr-conflict=disconnect",
        "--cram-hmac-alg=sha256",
        "--verify-alg=crc32c",
        "--c-max-rate=256M",
        f"--shared-secret={SECRET}",
    } <= words
    mine, peers = ("127.0.7.1", "127.0.7.2") if node == "justinian" else ("127.0.7.2", "127.0.7.1")
    assert any(f"ipv4:{mine}:7788 ipv4:{peers}:7788" in command for command in commands)
    assert f"/dev/disk/by-partuuid/{partition_uuid(PAIR_ID, node, 'data')}" in words
    if platform == "el9":
        assert {"--auto-promote=no", "--quorum=off", "v09"} <= words
        assert commands[0].startswith(f"drbdsetup new-resource vmdata {int(node == 'julius')}")
    else:
        assert "v08" in words


@pytest.mark.parametrize(
    ("arguments", "new", "old"),
    [
        ("create-md vmdata", "v09 DISK internal create-md 1", "v08 DISK internal create-md"),
        (
            "new-current-uuid --clear-bitmap vmdata/0",
            "drbdsetup new-current-uuid 0 --clear-bitmap",
            "drbdsetup-84 new-current-uuid 0 --clear-bitmap",
        ),
        ("new-current-uuid --force-resync vmdata/0", "new-current-uuid 0 --force-resync", ""),
        ("primary --force vmdata", "primary vmdata --force", "drbdsetup-84 primary 0 --force"),
        ("get-gi vmdata", "get-gi vmdata 1 0", "get-gi 0"),
        ("disconnect vmdata", "drbdsetup disconnect vmdata 1", "drbdsetup-84 disconnect ipv4:"),
        ("secondary vmdata", "drbdsetup secondary vmdata", "drbdsetup-84 secondary 0"),
        (
            "connect --discard-my-data vmdata",
            "drbdsetup connect vmdata 1 --discard-my-data",
            "--max-epoch-size=8000 --discard-my-data",
        ),
    ],
)
def test_the_commands_of_the_steps_exist(
    tmp_path: Path, identity: Identity, arguments: str, new: str, old: str
) -> None:
    done = drbdadm(installed(tmp_path, identity), identity, *arguments.split())
    expected = new if identity.pair.has("drbd9") else old
    disk = f"/dev/disk/by-partuuid/{partition_uuid(PAIR_ID, 'justinian', 'data')}"
    if expected:
        assert done.returncode == 0, done.stderr
        assert expected.replace("DISK", disk) in done.stdout


def test_another_machine_is_not_in_the_resource(tmp_path: Path, identity: Identity) -> None:
    done = drbdadm(installed(tmp_path, identity), identity, "create-md", "vmdata", node="stranger")
    assert "not defined in your config (for this host)" in done.stderr


def test_each_dialect_refuses_the_other(tmp_path: Path) -> None:
    """So the parse above proves something."""
    conf = installed(tmp_path, an_identity(platform="debian12-lab"))
    assert "'fencing'" in drbdadm(conf, an_identity(), "up", "vmdata").stderr


def test_the_longest_secret_and_the_extremes_of_the_profile(tmp_path: Path) -> None:
    for platform in VERSIONS:
        plain = an_identity(platform=platform)
        for rate, factor, token in ((1, 1, 1000), (10000, 20, 60000)):
            pair = dataclasses.replace(
                plain.pair,
                drbd=dataclasses.replace(plain.pair.drbd, resync_mib_s=rate),
                cluster=dataclasses.replace(
                    plain.pair.cluster, timeout_factor=factor, token_ms=token
                ),
            )
            identity = dataclasses.replace(plain, pair=pair)
            conf = installed(tmp_path / f"{platform}-{rate}", identity)
            done = drbdadm(conf, identity, "up", "vmdata")
            assert done.returncode == 0, done.stderr


def test_the_secret_stands_in_one_private_file(tmp_path: Path, identity: Identity) -> None:
    installed(tmp_path, identity)
    with_secret = [p for p in tmp_path.rglob("*") if p.is_file() and SECRET in p.read_text()]
    assert {p.name for p in with_secret} == {"vmdata.res", "drbd"}
    assert {p.stat().st_mode & 0o777 for p in with_secret} == {0o600}
    assert SECRET not in "".join(file.text for file in drbd.render(identity))


def test_the_rates_that_are_set_in_life_are_those_of_the_file(
    tmp_path: Path, identity: Identity
) -> None:
    """As drbdadm itself would give them to drbdsetup."""
    pair = identity.pair
    fast = dataclasses.replace(pair, drbd=dataclasses.replace(pair.drbd, resync_mib_s=77))
    identity = dataclasses.replace(identity, pair=fast)
    conf, new = installed(tmp_path, identity), fast.has("drbd9")
    run = ScriptedRun()
    if new:
        done = drbdadm(conf, identity, "peer-device-options", "vmdata")
        line = done.stdout.strip()
    else:  # 8.4 gives all options of a disk with it
        done = drbdadm(conf, identity, "adjust", "vmdata")
        (attach,) = (line for line in done.stdout.splitlines() if " attach " in line)
        options = [w for w in attach.split() if w.startswith(("--c-", "--resync-"))]
        line = " ".join(["drbdsetup disk-options 0", *reversed(options)])
    assert "--c-max-rate=77M" in line
    set_rates(run.expect(line), drbd.rates(fast), 1, drbd9=new)
    run.assert_finished()
