"""corosync.conf, dlm.conf and the units, each checked by the program that will read it."""

import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from firstboot.node import Identity
from firstboot.render import corosync, dlm, systemd
from tests.firstboot.conftest import an_identity

# `pcs cluster setup` of pcs 0.11.5 writes the file without asking any daemon.
PCS = """pcs cluster setup --corosync_conf {out} 00014
  justinian addr=127.0.7.1 addr=10.0.0.1 julius addr=127.0.7.2 addr=10.0.0.2
  transport knet ip_version=ipv4
  link linknumber=0 link_priority=10 link linknumber=1 link_priority=1
  crypto cipher=aes256 hash=sha256 totem token=5000 quorum wait_for_all=1"""
ROOTLESS = ["unshare", "--user", "--map-root-user", "--mount", "--net"]


def sections(text: str) -> list[Any]:
    """A corosync.conf as (section, keys and sections in it), in order."""
    stack: list[list[Any]] = [[]]
    for line in (raw.strip() for raw in text.splitlines()):
        if line.endswith("{"):
            stack.append([line[:-1].strip()])
        elif line == "}":
            closed = stack.pop()
            stack[-1].append((closed[0], sorted(closed[1:], key=str)))
        elif line and not line.startswith("#"):
            key, value = line.split(":", 1)
            stack[-1].append((key.strip(), value.strip()))
    return stack[0]


def test_corosync_conf_says_what_pcs_would(tmp_path: Path) -> None:
    out = tmp_path / "corosync.conf"
    subprocess.run(PCS.format(out=out).split(), capture_output=True, check=True)
    theirs, ours = sections(out.read_text()), sections(corosync.render(an_identity())[0].text)
    by_chance = {"cluster_uuid"}  # theirs is random; the cluster does not need one
    theirs = [(s, [k for k in keys if k[0] not in by_chance]) for s, keys in theirs]
    logging = "logging"  # where messages go is no matter of the cluster's
    assert [s for s in theirs if s[0] != logging] == [s for s in ours if s[0] != logging]


def on_a_network(node: str) -> Identity:
    """corosync does not talk over loopback, where the tests' pair has its bond."""
    identity = an_identity(node)
    nodes = [
        replace(n, crossover_address=f"192.168.40.{i}/24")
        for i, n in enumerate(identity.pair.nodes, start=1)
    ]
    return replace(identity, pair=replace(identity.pair, nodes=(nodes[0], nodes[1])))


def check_corosync(node: str, text: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """`corosync -t` in a network of its own where only that node's addresses are, with a key."""
    (folder / "corosync.conf").write_text(text)
    (folder / "authkey").write_bytes(os.urandom(256))
    me = on_a_network(node).me
    script = (
        "ip link add bond0 type veth peer name br0; ip link set bond0 up; ip link set br0 up;"
        f" ip address add {me.crossover_address} dev bond0;"
        f" ip address add {me.uplink.address} dev br0;"
        f" mount --bind {folder} /etc/corosync; corosync -t"
    )
    return subprocess.run(
        [*ROOTLESS, "sh", "-ec", script], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("node", ["justinian", "julius"])
def test_corosync_takes_it(tmp_path: Path, node: str) -> None:
    done = check_corosync(node, corosync.render(on_a_network(node))[0].text, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("aes256", "aes257", "invalid cipher"),
        ("token: 5000", "token: 5", "token timeout"),
        ("nodeid: 2", "nodeid: 1", "nodeid"),
        ("ring0_addr: 192.168.40.1", "ring0_addr: 192.168.40.3", "valid name"),
    ],
)
def test_corosync_would_notice(tmp_path: Path, good: str, bad: str, said: str) -> None:
    text = corosync.render(on_a_network("justinian"))[0].text
    assert good in text
    done = check_corosync("justinian", text.replace(good, bad), tmp_path)
    assert done.returncode != 0
    assert said in (done.stdout + done.stderr).lower()


def lock_settings(identity: Identity) -> dict[str, str]:
    lines = dlm.render(identity)[0].text.splitlines()
    return dict(line.split("=") for line in lines if line and not line.startswith("#"))


def test_dlm_conf_holds_only_what_dlm_controld_knows() -> None:
    settings = lock_settings(an_identity())
    assert settings == {"protocol": "tcp", "plock_ownership": "1", "plock_rate_limit": "0"}
    manual = subprocess.run(["dlm_controld", "-h"], capture_output=True, text=True, check=False)
    known = set(re.findall(r"--(\w+)", manual.stdout + manual.stderr))
    assert settings.keys() <= known
    assert "plock_rate" not in known  # so that a misspelt one would be noticed


def test_dlm_conf_follows_the_profile() -> None:
    identity = an_identity()
    cluster = replace(identity.pair.cluster, plock_rate_limit=100, plock_ownership=False)
    settings = lock_settings(replace(identity, pair=replace(identity.pair, cluster=cluster)))
    assert (settings["plock_rate_limit"], settings["plock_ownership"]) == ("100", "0")


def lay_units(root: Path, platform: str = "el9") -> None:
    """The machine's own units, the cluster's among them, and ours over them."""
    shutil.copytree("/lib/systemd/system", root / "lib/systemd/system", symlinks=True)
    programs = ["bin/python3", "sbin/corosync", "sbin/corosync-cfgtool", "sbin/pacemakerd"]
    for program in programs:
        (root / "usr" / program).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy("/bin/true", root / "usr" / program)
    for name in ("virtqemud.service", "virtlockd.service"):  # the node's, not this machine's
        (root / "lib/systemd/system" / name).write_text("[Service]\nExecStart=/usr/bin/python3\n")
    for file in systemd.render(an_identity(platform=platform)):
        target = root / file.path.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(file.text)


def verify(root: Path) -> str:
    """What systemd-analyze has against the cluster's units; nothing when it finds them good."""
    done = subprocess.run(
        ["systemd-analyze", f"--root={root}", "--man=no", "--recursive-errors=no", "verify",
         systemd.GATE, systemd.HEALTH, systemd.HEALTH_TIMER,
         "pacemaker.service", "corosync.service", "resource-agents-deps.target"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert (done.returncode == 0) == (not said), said
    return said


@pytest.mark.parametrize("platform", ["el9", "debian12-lab"])
def test_systemd_takes_the_units(tmp_path: Path, platform: str) -> None:
    lay_units(tmp_path, platform)
    assert not verify(tmp_path)


def test_systemd_would_notice(tmp_path: Path) -> None:
    lay_units(tmp_path)
    for file in systemd.render(an_identity()):
        target = tmp_path / file.path.relative_to("/")
        target.write_text(file.text.replace("After=", "Afer=").replace("Type=", "Typ="))
    said = verify(tmp_path)
    assert said.count("Unknown key 'Afer'") == 5
    assert "Unknown key 'Typ'" in said


def exposure(folder: Path, name: str, text: str, most: int) -> "subprocess.CompletedProcess[str]":
    """systemd's own review of a unit; fails when it thinks worse of it than `most` of 100."""
    (folder / name).write_text(text)
    return subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={most}",
         str(folder / name)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def agents_unit() -> str:
    """ksnode.service, as the kickstart writes it."""
    script = (Path(__file__).parents[2] / "kickstarts/parts/agent.sh.j2").read_text()
    found = re.search(r"<<'KSBUILD_UNIT'\n(.*?)KSBUILD_UNIT\n", script, re.DOTALL)
    assert found
    return found[1]


def hardened(line: str) -> bool:
    """Whether a line of a unit takes something away from it."""
    return (
        re.match(r"(Capability|Lock|Private|Protect|ReadWrite|Restrict|SystemCall|UMask)", line)
        is not None
    )


@pytest.mark.parametrize(
    ("name", "text", "most"),
    [
        ("ksnode.service", agents_unit(), 68),
        (systemd.GATE, systemd.render(an_identity())[0].text, 30),
        (systemd.HEALTH, systemd.render(an_identity())[1].text, 80),
    ],
)
def test_systemd_thinks_well_of_our_services(
    tmp_path: Path, name: str, text: str, most: int
) -> None:
    done = exposure(tmp_path, name, text, most)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Unknown" not in done.stderr
    bare = "".join(line for line in text.splitlines(keepends=True) if not hardened(line))
    assert exposure(tmp_path, name, bare, most).returncode != 0


def test_the_agent_sees_and_reaches_what_the_machine_has() -> None:
    """Each of these would hide a later mount, a device, or keep it from writing /etc."""
    names = {line.partition("=")[0] for line in agents_unit().splitlines()}
    hiding = {
        name for name in names if re.match(r"Protect|Private|ReadOnly|Inaccessible|Mount", name)
    }
    assert not hiding | {name for name in names if name.startswith("Device")}
