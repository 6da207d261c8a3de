"""What is in effect, as the programs and the kernel tell it, and what of it is a warning."""

import logging
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from firstboot import drbd, latches
from firstboot.__main__ import main
from firstboot.commands import CommandError, Result
from firstboot.journal import Journal
from firstboot.node import to_json
from firstboot.render import corosync
from firstboot.verification import oddities, state
from tests.firstboot.conftest import ScriptedRun, an_identity
from tests.firstboot.test_pacemaker import recorded
from tests.firstboot.test_render_cluster import ROOTLESS, on_a_network
from tests.firstboot.test_steps import lay

RECORDED = Path(__file__).parent / "recorded"
CMAP = "corosync-cmapctl totem.crypto_cipher totem.crypto_hash"
LINKS = "corosync-cfgtool -s"
SHOW = "drbdsetup show vmdata --json"
AVC = "ausearch --input-logs --message AVC --start boot --raw"
# Everything as planned; the tests take one thing away.
SEEN: dict[str, Any] = {
    "mount_options": "rw,noatime,nodiratime",
    "crypto": {"cipher": "aes256", "hash": "sha256"},
    "drbd_hmac": "sha256",
    "links": {"0": True, "1": True},
    "ports": {"eth1": True, "eth2": True, "eth3": True},
    "ksm_saved_mib": 0.0,
    "denials": [],
}


def asked_alone(folder: Path, text: str) -> "list[str]":
    """What CMAP and LINKS print while corosync runs on one node of a pair, in a network apart."""
    (folder / "corosync.conf").write_text(text)
    (folder / "authkey").write_bytes(os.urandom(256))
    me = on_a_network("justinian").me
    script = (
        "ip link set lo up; ip link add bond0 type veth peer name br0;"
        " ip link set bond0 up; ip link set br0 up;"
        f" ip address add {me.crossover_address} dev bond0;"
        f" ip address add {me.uplink.address} dev br0;"
        f" mount --bind {folder} /etc/corosync;"
        " for at in /run /var/lib/corosync /dev/shm; do mount -t tmpfs none $at; done;"
        " mkdir /run/corosync; corosync -f >/dev/null 2>&1 & sleep 0.1; n=0;"
        f" until {CMAP} >/dev/null 2>&1; do n=$((n + 1)); [ $n -lt 150 ]; sleep 0.2; done;"
        f" {CMAP}; echo --; {LINKS}; kill $!; wait"
    )
    done = subprocess.run(
        [*ROOTLESS, "sh", "-ec", script], capture_output=True, text=True, check=True, timeout=90
    )
    return done.stdout.split("--\n")


@pytest.mark.parametrize(("cipher", "digest"), [("aes256", "sha256"), ("none", "none")])
def test_a_real_corosync_tells_what_it_runs_with(tmp_path: Path, cipher: str, digest: str) -> None:
    text = corosync.render(on_a_network("justinian"))[0].text
    text = text.replace("cipher: aes256", f"cipher: {cipher}")
    text = text.replace("hash: sha256", f"hash: {digest}")
    crypto, links = asked_alone(tmp_path, text)
    found = state.crypto(ScriptedRun().expect(CMAP, crypto))
    assert found == {"cipher": cipher, "hash": digest}
    assert state.connected_links(links) == {0: False, 1: False}, "nobody else is there"


def test_a_corosync_that_does_not_answer_tells_no_crypto() -> None:
    assert state.crypto(ScriptedRun().expect(CMAP, returncode=1)) == {"cipher": "", "hash": ""}


def test_drbd_tells_by_what_its_peer_proves_itself() -> None:
    shown = (RECORDED / "assumed-drbdsetup-show-9.json").read_text()
    assert drbd.authentication(ScriptedRun().expect(SHOW, shown), drbd9=True) == "sha256"
    without = shown.replace('"cram-hmac-alg": "sha256",', "")
    assert not drbd.authentication(ScriptedRun().expect(SHOW, without), drbd9=True)


def test_a_drbd_that_fails_does_not_tell_its_secret() -> None:
    shown = (RECORDED / "assumed-drbdsetup-show-9.json").read_text()
    run = ScriptedRun().expect(SHOW, shown.replace("cram-hmac-alg", "x"), returncode=20)
    assert not drbd.authentication(run, drbd9=True)


def test_denials_of_our_parts_alone() -> None:
    recorded = (RECORDED / "audit-avc").read_text()
    (ours,) = state.denials(ScriptedRun().expect(AVC, recorded))
    assert 'comm="drbdsetup-84"' in ours
    allowed = recorded.replace("tclass=file", "tclass=file permissive=1")
    assert not state.denials(ScriptedRun().expect(AVC, allowed)), "told of, and let through"
    assert not state.denials(ScriptedRun().expect(AVC, "", returncode=1))
    with pytest.raises(CommandError):
        state.denials(ScriptedRun().expect(AVC, "", returncode=127))


def test_what_ksm_saves(tmp_path: Path) -> None:
    """pages_sharing counts how many more sites share them; pages_shared would be too few."""
    lay(tmp_path, "sys/kernel/mm/ksm/pages_shared", "100")
    lay(tmp_path, "sys/kernel/mm/ksm/pages_sharing", "2560")
    assert state.ksm_saved_mib(tmp_path) == 10.0


def test_what_each_cable_carried(tmp_path: Path) -> None:
    def count(port: str, sent: int, received: int) -> None:
        lay(tmp_path, f"sys/class/net/{port}/statistics/tx_bytes", f"{sent}\n")
        lay(tmp_path, f"sys/class/net/{port}/statistics/rx_bytes", f"{received}\n")

    ports, mib = ["eth1", "eth2"], 1 << 20
    for port in ports:
        count(port, mib, 0)
    before = state.traffic(tmp_path, [*ports, "gone"])
    idle = {"mib_s": 0.0, "percent": 0.0}
    assert state.cables(before, before, 4.0) == {"eth1": idle, "eth2": idle}
    count("eth1", 9 * mib, 4 * mib)
    count("eth2", 3 * mib, 2 * mib)
    assert state.cables(before, state.traffic(tmp_path, ports), 4.0) == {
        "eth1": {"mib_s": 3.0, "percent": 75.0},
        "eth2": {"mib_s": 1.0, "percent": 25.0},
    }


def test_whether_the_bond_may_use_its_ports(tmp_path: Path) -> None:
    assert state.ports(tmp_path) == {}
    lay(tmp_path, "sys/class/net/bond0/bonding/slaves", "eth2 eth1 eth3")
    lay(tmp_path, "sys/class/net/eth1/bonding_slave/mii_status", "up")
    lay(tmp_path, "sys/class/net/eth2/bonding_slave/mii_status", "down")
    assert state.ports(tmp_path) == {"eth1": True, "eth2": False, "eth3": False}


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("mount_options", None, "/srv/vmdata is not mounted"),
        ("mount_options", "rw,noatime", "/srv/vmdata is mounted without nodiratime"),
        ("mount_options", "ro,noatime,nodiratime", "/srv/vmdata is mounted without rw"),
        ("crypto", {"cipher": "none", "hash": "sha256"}, "the cluster runs without a cipher"),
        ("crypto", {"cipher": "aes256", "hash": ""}, "the cluster runs without a hash"),
        ("drbd_hmac", "", "DRBD asks its peer for no proof of the secret"),
        ("links", {"0": False, "1": True}, "the cluster's link on the bond is down"),
        ("links", {"0": True}, "the cluster's link on the uplink is down"),
        (
            "ports",
            {"eth1": True, "eth2": True, "eth3": False},
            "no link on the crossover port eth3",
        ),
        ("ports", {"eth1": True, "eth2": True}, "2 of 3 crossover cables are in use"),
        ("denials", ["type=AVC a", "type=AVC b"], "SELinux denied 2 times what our parts wanted"),
    ],
)
def test_what_is_a_warning(key: str, value: Any, said: str) -> None:
    assert not oddities.warnings(an_identity(), SEEN)
    (warning,) = oddities.warnings(an_identity(), {**SEEN, key: value})
    what, _, way_out = warning.partition("; next: ")
    assert what == said
    assert way_out


def test_without_a_mount_what_follows_from_it_is_not_said() -> None:
    down = {"mount_options": None, "links": {}, "crypto": {"cipher": "", "hash": ""}}
    assert len(oddities.warnings(an_identity(), {**SEEN, **down, "drbd_hmac": ""})) == 1


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A complete node of which its agent has nothing bad to say, and real parsing of its world."""
    lay(tmp_path, "etc/ksbuild/node.json", to_json(an_identity()))
    mounts = "/dev/drbd0 /srv/vmdata gfs2 rw,noatime,nodiratime 0 0"
    lay(tmp_path, "proc/mounts", mounts)
    lay(tmp_path, "sys/class/net/bond0/bonding/slaves", "eth1 eth2 eth3")
    for port in ("eth1", "eth2", "eth3"):
        lay(tmp_path, f"sys/class/net/{port}/bonding_slave/mii_status", "up")
    lay(tmp_path, "sys/kernel/mm/ksm/pages_sharing", "0")
    Journal(tmp_path, an_identity(), "boot-1")("mounted", "ok")
    latches.set_once(tmp_path, latches.COMPLETE, "")
    answers = {
        "corosync-cfgtool": "LINK ID 0 udp\n\tnodeid: 2:\tconnected\n"
        "LINK ID 1 udp\n\tnodeid: 2:\tconnected\n",
        "corosync-cmapctl": "totem.crypto_cipher (str) = aes256\n"
        "totem.crypto_hash (str) = sha256\n",
        "drbdsetup": (RECORDED / "assumed-drbdsetup-show-9.json").read_text(),
        "ausearch": "",
        "crm_mon": recorded("mounted"),
    }

    quiet = logging.getLogger("firstboot.commands")
    monkeypatch.setattr(quiet, "level", logging.NOTSET)

    def run(argv: Sequence[str], **_: object) -> Result:
        assert quiet.level == logging.WARNING, "or the command is printed"
        return Result(tuple(argv), 0, answers[argv[0]], "")

    monkeypatch.setattr("firstboot.verbs.looking.run", run)
    return tmp_path


def test_a_cable_pulled_from_a_finished_pair_is_told(
    node: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ksnode = ["--root", str(node)]
    capsys.readouterr()
    assert main([*ksnode, "check"]) == 0
    assert capsys.readouterr().out == "KSNODE OK - justinian: as planned\n"
    assert main([*ksnode, "why"]) == 0
    assert "every step is as it should be" in capsys.readouterr().out
    lay(node, "sys/class/net/eth2/bonding_slave/mii_status", "down")
    assert main([*ksnode, "check"]) == 1
    told = capsys.readouterr().out
    label = "KSNODE WARNING - justinian: verification warning: "
    assert told.startswith(f"{label}no link on the crossover port eth2; next: ")
    assert told.count("\n") == 1
    assert main([*ksnode, "why"]) == 0
    told = capsys.readouterr().out
    assert "seen: no link on the crossover port eth2\n  next: the cable" in told


@pytest.mark.parametrize("verb", ["why", "check"])
def test_what_looks_prints_no_commands(node: Path, verb: str) -> None:
    assert main(["--root", str(node), verb]) == 0


def test_a_program_that_cannot_tell_is_told(
    node: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(argv: Sequence[str], **_: object) -> Result:
        raise CommandError(Result(tuple(argv), 127, "", "not installed"))

    monkeypatch.setattr("firstboot.verbs.looking.run", run)
    assert main(["--root", str(node), "check"]) == 1
    assert "corosync-cfgtool -s exited 127: not installed" in capsys.readouterr().out


def test_an_unfinished_node_is_not_looked_at(
    node: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (node / "var/lib/ksbuild/complete").unlink()
    lay(node, "sys/class/net/eth2/bonding_slave/mii_status", "down")
    assert main(["--root", str(node), "check"]) == 1
    assert "eth2" not in capsys.readouterr().out
