"""Going on without the other node: who may, and in which order it happens."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from firstboot import latches
from firstboot.engine import Refused
from firstboot.node import Identity
from firstboot.render import cib
from firstboot.verbs.startalone import allow, go_alone
from firstboot.verbs.waiting import NotYet
from tests.firstboot.conftest import ScriptedRun, a_pair, an_identity
from tests.firstboot.test_cluster_steps import MOUNTED, no_sleep
from tests.firstboot.test_gate import BOND_PING, START, UPLINK_PING
from tests.firstboot.test_pacemaker import LOOK, recorded
from tests.firstboot.test_resolve import CLEAR, FORGET

ALONE = re.sub(
    r'(name="julius" id="2" online=)"true"([^>]*)',
    r'\1"false"\2',
    recorded("mounted"),
)
UNFENCED = re.sub(r'(name="julius" id="2" [^>]*unclean=)"false"', r'\1"true"', ALONE)
UNPROMOTED = ALONE.replace('role="Promoted"', 'role="Unpromoted"')
FORGET_THE_PEER = "corosync-cmapctl -s quorum.cancel_wait_for_all u8 1"
OTHERS_RULE = """<bans><ban id="drbd-fence-by-handler-vmdata-rule-ks-drbd-clone" node="justinian"
    resource="ks-drbd-clone" weight="-1000000" promoted-only="true"/></bans>"""  # as crm_mon has it
BARRED = re.sub(r"(?s)<bans>.*</bans>", OTHERS_RULE, UNPROMOTED)


@pytest.fixture
def run() -> ScriptedRun:
    return ScriptedRun()


@pytest.fixture
def identity() -> Identity:
    return replace(an_identity(), pair=a_pair("debian12-lab"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/mounts").write_text(MOUNTED)
    latches.set_once(tmp_path, latches.COMPLETE, "")
    return tmp_path


def lay_drbd(root: Path, disk: str) -> None:
    # First line of a resource in /proc/drbd as in recorded/proc-drbd-8.4.11-connecting.
    line = f" 0: cs:WFConnection ro:Secondary/Unknown ds:{disk}/DUnknown C r-----\n"
    (root / "proc/drbd").write_text(line)


def test_only_who_typed_the_silent_peers_name_may(
    identity: Identity, root: Path, run: ScriptedRun
) -> None:
    with pytest.raises(Refused, match="the other node of this pair is julius, not justinian"):
        allow(identity, root, "justinian", run)
    run.expect(BOND_PING, returncode=1).expect(UPLINK_PING)
    with pytest.raises(Refused, match="julius answers on the uplink: it is not off"):
        allow(identity, root, "julius", run)
    run.expect(BOND_PING, returncode=1).expect(UPLINK_PING, returncode=1)
    allow(identity, root, "julius", run)
    (root / "var/lib/ksbuild/complete").unlink()
    with pytest.raises(Refused, match="not complete"):
        allow(identity, root, "julius", run)
    run.assert_finished()


def test_the_peer_is_fenced_before_anything_else(
    identity: Identity, root: Path, run: ScriptedRun
) -> None:
    run.expect(START).expect(LOOK, "", 102).expect(LOOK, UNFENCED).expect(FORGET_THE_PEER)
    run.expect(LOOK, UNFENCED).expect(LOOK, UNFENCED).expect(LOOK, ALONE).expect(LOOK, ALONE)
    go_alone(identity, root, run, sleep=no_sleep)
    run.assert_finished()


def test_a_peer_that_can_not_be_fenced_needs_a_human(
    identity: Identity, root: Path, run: ScriptedRun
) -> None:
    run.expect(START).expect(LOOK, UNFENCED).expect(FORGET_THE_PEER)
    for _ in range(61):
        run.expect(LOOK, UNFENCED)
    with pytest.raises(NotYet, match=r"julius is not fenced\n.*stonith_admin --confirm julius"):
        go_alone(identity, root, run, sleep=no_sleep)
    run.assert_finished()


def fenced(root: Path, run: ScriptedRun, disk: str) -> None:
    """The peer is fenced already, and this node's data so."""
    lay_drbd(root, disk)
    run.expect(START).expect(LOOK, ALONE).expect(FORGET_THE_PEER).expect(LOOK, ALONE)


@pytest.mark.parametrize(
    ("disk", "seen", "told"),
    [
        ("Consistent", UNPROMOTED, r"disk is Consistent\n.*start-alone julius --accept-loss"),
        ("UpToDate", BARRED, r"may not be promoted on justinian \(drbd-fence-by-handler"),
    ],
)
def test_data_that_may_be_old_waits_for_a_humans_word(
    identity: Identity, root: Path, run: ScriptedRun, disk: str, seen: str, told: str
) -> None:
    fenced(root, run, disk)
    for _ in range(61):
        run.expect(LOOK, seen)
    with pytest.raises(NotYet, match=told):
        go_alone(identity, root, run, sleep=no_sleep)
    run.assert_finished()


def test_by_that_word_it_is_the_newest(identity: Identity, root: Path, run: ScriptedRun) -> None:
    fenced(root, run, "Consistent")
    newest(run.expect(LOOK, UNPROMOTED), identity)
    # Not `primary --force`, by which DRBD 8.4.11 makes two generations of one, so that the peer's
    # is none of its (seen on 2026-11-27): the handler finds its constraint instead.
    run.expect("drbdadm primary vmdata").expect("drbdadm secondary vmdata").expect(LOOK, ALONE)
    go_alone(identity, root, run, accept_loss=True, sleep=no_sleep)
    run.assert_finished()


def newest(run: ScriptedRun, identity: Identity) -> None:
    """What promotion.call_newest() does, a configuration of the year 2242 being there already."""
    run.expect("cibadmin --query", '<cib admin_epoch="143000000" epoch="5"/>')
    run.expect("""cibadmin --modify --xml-text '<cib admin_epoch="143000001"/>'""").expect(FORGET)
    create = "cibadmin --create --scope constraints --xml-text"
    run.expect(f"{create} {shlex.quote(cib.newest(identity))}").expect(CLEAR)


def test_a_half_that_was_held_back_goes_on_by_that_word(
    identity: Identity, root: Path, run: ScriptedRun
) -> None:
    """After a split brain its own data is UpToDate, and the other half's rule is in the CIB."""
    fenced(root, run, "UpToDate")
    newest(run.expect(LOOK, BARRED), identity)
    run.expect(LOOK, UNPROMOTED).expect(LOOK, ALONE)
    go_alone(identity, root, run, accept_loss=True, sleep=no_sleep)
    run.assert_finished()


@pytest.mark.parametrize(
    ("disk", "seen"),
    [
        ("Outdated", UNPROMOTED),
        ("Inconsistent", UNPROMOTED),
        ("Diskless", UNPROMOTED),
        # The peer's handler placed its rule before this node was lost.
        ("Consistent", BARRED),
    ],
)
@pytest.mark.parametrize("accept_loss", [False, True])
def test_data_that_is_old_is_refused(
    identity: Identity, root: Path, run: ScriptedRun, disk: str, seen: str, accept_loss: bool
) -> None:
    fenced(root, run, disk)
    run.expect(LOOK, seen)
    with pytest.raises(Refused, match=f"data is {disk}: julius has newer"):
        go_alone(identity, root, run, accept_loss=accept_loss, sleep=no_sleep)
    run.assert_finished()
