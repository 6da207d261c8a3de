"""The replication step against a peer that answers, a script of commands and recorded states."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

from firstboot import data, files, latches
from firstboot.commands import CommandError, Result
from firstboot.engine import Refused
from firstboot.rendezvous.session import Meeting
from firstboot.seed import Content, Side, side_from_json
from firstboot.steps import Context
from firstboot.steps.replication import TOPIC, Replication
from tests.firstboot import devices
from tests.firstboot.conftest import ScriptedRun, Told, an_identity
from tests.firstboot.test_filesystem import GET_GI, Peer, lay_proc

BLANK = Side(Content.BLANK, "blank")
NEW = Side(Content.OURS, "new", just_created=True, started="blank")
NEW_WIPED = Side(Content.OURS, "new", just_created=True, started="wiped")
FOREIGN = Side(Content.FOREIGN, "ext4")
HAS_DATA = Side(Content.OURS, "in use", data_exists=True)
GI_NEW = "0000000000000004:" + 3 * ("0" * 16 + ":") + "0:0:0:0:0:0:0\n"
IS_ACTIVE = "systemctl is-active pacemaker"
UNTOUCHED = ("in-sync", "UpToDate/UpToDate", "Inconsistent/Inconsistent")


class World:
    """A node on a blank loop device, its script, and a kernel that goes through states."""

    def __init__(self, root: Path, context: Context, script: ScriptedRun) -> None:
        self.root, self.context, self.script = root, context, script
        self.states: list[Optional[tuple[str, str, str]]] = []
        files.make_folder(root / files.SECRETS)
        files.create(root / files.SECRETS / "drbd", b"c0ffee" * 8, 0o600)

    def step(self) -> Replication:
        """With a sleep that brings the next state about."""
        return Replication(self.context, sleep=lambda _: self.next())

    def next(self) -> None:
        """The kernel's next state; None: it has no resource."""
        state = self.states.pop(0) if self.states else None
        assert state, "the step waits for ever"
        lay_proc(self.root, state[0])
        text = (self.root / "proc/drbd").read_text()
        (self.root / "proc/drbd").write_text(text.replace(state[1], state[2]))

    def device(self) -> str:
        """As wipefs is asked for it."""
        return str(data.device(self.root, self.context.identity))


class Playing(ScriptedRun):
    """A script whose adjust changes the kernel's state."""

    def __init__(self) -> None:
        super().__init__()
        self.on_adjust: Callable[[], None] = lambda: None

    def __call__(self, argv: Sequence[str], **options: Any) -> Result:
        result = super().__call__(argv, **options)
        if list(argv[:2]) == ["drbdadm", "adjust"]:
            self.on_adjust()
        return result


def world(root: Path, peers: list[Side], *, node: str = "justinian") -> World:
    """Of the lab's platform, whose DRBD is read from a file."""
    identity, script = an_identity(node, "debian12-lab"), Playing()
    context = Context(identity, root, script, Told(), Peer(identity, root, peers))
    here = World(root, context, script)
    script.on_adjust = here.next
    return here


def expect_look(here: World, times: int = 2) -> None:
    for _ in range(times):
        here.script.expect(f"wipefs -n -J {here.device()}")


@pytest.mark.parametrize(
    ("peers", "begin"),
    [
        (NEW, ["drbdadm new-current-uuid --clear-bitmap vmdata/0"]),
        (NEW_WIPED, ["drbdadm primary --force vmdata", "drbdadm secondary vmdata"]),
    ],
)
def test_the_first_node_from_blank(tmp_path: Path, peers: Side, begin: list[str]) -> None:
    here = world(tmp_path, [BLANK, peers])
    here.states = [UNTOUCHED, ("in-sync", "", "")]
    with devices.partition(tmp_path, here.context.identity):
        step = here.step()
        assert step.check()[-1] == "vmdata is not up"
        expect_look(here)
        here.script.expect("drbdadm create-md vmdata").expect("drbdadm adjust vmdata")
        for _ in range(3):  # told after adjust, and asked around the second consultation
            here.script.expect("drbdadm get-gi vmdata", GI_NEW)
        for command in begin:
            here.script.expect(command)
        here.script.expect("drbdadm get-gi vmdata", GET_GI)
        step.apply()
    here.script.assert_finished()
    assert data.begun_from(tmp_path) == "blank"
    assert not latches.is_set(tmp_path, latches.DATA_EXISTS)
    here.script.expect("drbdadm get-gi vmdata", GET_GI)
    assert not step.check()
    assert step.remark() == "Connected, Secondary/Secondary, UpToDate/UpToDate"


def test_the_second_node_never_begins(tmp_path: Path) -> None:
    here = world(tmp_path, [BLANK], node="julius")
    here.states = [UNTOUCHED, UNTOUCHED, ("target", "", ""), ("in-sync", "", "")]
    with devices.partition(tmp_path, here.context.identity):
        expect_look(here)
        here.script.expect("drbdadm create-md vmdata").expect("drbdadm adjust vmdata")
        here.script.expect("drbdadm get-gi vmdata", GI_NEW)
        here.script.expect("drbdadm get-gi vmdata", GET_GI)
        here.step().apply()
    here.script.assert_finished()
    told = here.context.report
    assert isinstance(told, Told)
    assert any("4.2% done, 0 min 47 s to go" in detail for _, _, detail in told.events)


def test_the_latch_comes_before_the_first_write(tmp_path: Path) -> None:
    """create-md refuses: the latch says that this installation was about to."""
    here = world(tmp_path, [BLANK])
    with devices.partition(tmp_path, here.context.identity):
        expect_look(here)
        here.script.expect("drbdadm create-md vmdata", returncode=1)
        with pytest.raises(CommandError):
            here.step().apply()
    assert latches.is_set(tmp_path, latches.SEED_STARTED)


@pytest.mark.parametrize(
    ("peers", "prepare", "evidence"),
    [
        (FOREIGN, lambda _: None, "the peer is neither blank nor this pair's: ext4"),
        (BLANK, devices.raw(0, b"x"), "this node is neither blank nor this pair's"),
        (Side(Content.UNKNOWN, "?"), lambda _: None, "the peer is neither"),
    ],
)
def test_nothing_is_written_beside_the_unknown(
    tmp_path: Path, peers: Side, prepare: devices.Prepare, evidence: str
) -> None:
    here = world(tmp_path, [peers])
    with devices.partition(tmp_path, here.context.identity) as loop:
        prepare(loop)
        before = devices.digest(loop)
        expect_look(here, 1 if "this node" in evidence else 2)
        with pytest.raises(Refused, match=evidence) as caught:
            here.step().apply()
        assert devices.digest(loop) == before
    assert caught.value.way_out
    here.script.assert_finished()
    assert not latches.is_set(tmp_path, latches.SEED_STARTED)


def test_a_peer_with_data_is_joined_and_the_latch_comes_first(tmp_path: Path) -> None:
    """Even the first node, on a new disk; cut off before metadata it starts here again."""
    here = world(tmp_path, [HAS_DATA])
    with devices.partition(tmp_path, here.context.identity):
        expect_look(here)
        here.script.expect("drbdadm create-md vmdata", returncode=1)
        step = here.step()
        with pytest.raises(CommandError):
            step.apply()
        assert latches.is_set(tmp_path, latches.DATA_EXISTS)
        assert not latches.is_set(tmp_path, latches.SEED_STARTED)
        here.script.expect(IS_ACTIVE, "inactive\n", 3)
        assert step.check() == ["vmdata is not up"]
        here.states = [("connecting", "", ""), ("target", "", ""), ("in-sync", "", "")]
        expect_look(here)
        here.script.expect("drbdadm create-md vmdata").expect("drbdadm adjust vmdata")
        here.script.expect("drbdadm get-gi vmdata", GI_NEW).expect("drbdadm get-gi vmdata", GET_GI)
        step.apply()
        here.script.expect(IS_ACTIVE, "inactive\n", 3)
        assert not step.check()
    here.script.assert_finished()


def test_after_a_cut_a_node_with_data_connects_again_until_pacemaker_does(tmp_path: Path) -> None:
    """The peer may not have latched it yet, and waits for this node's DRBD."""
    here = world(tmp_path, [BLANK])
    step = here.step()
    files.write(tmp_path, step._files)
    latches.set_once(tmp_path, latches.DATA_EXISTS, "")
    here.script.expect(IS_ACTIVE, "inactive\n", 3)
    assert step.check() == ["vmdata is not up"]
    here.script.expect(IS_ACTIVE, "active\n")
    assert not step.check()
    here.script.assert_finished()


def test_drbd_that_gave_up_is_refused_with_both_sides(tmp_path: Path) -> None:
    here = world(tmp_path, [BLANK])
    here.states = [("connecting", "WFConnection", "StandAlone")]
    with devices.partition(tmp_path, here.context.identity):
        expect_look(here)
        here.script.expect("drbdadm create-md vmdata").expect("drbdadm adjust vmdata")
        for _ in range(2):
            here.script.expect("drbdadm get-gi vmdata", GI_NEW)
        with pytest.raises(Refused, match=r"StandAlone.*the peer blank") as caught:
            here.step().apply()
    assert "--discard-my-data" in caught.value.way_out


def test_data_begun_once_and_whole_nowhere_is_refused(tmp_path: Path) -> None:
    """Inconsistent on both sides, though one knew data: no first sync may hide that."""
    used = Side(Content.OURS, "used", uuids=("0" * 14 + "a0",), started="blank")
    here = world(tmp_path, [BLANK, used])
    here.states = [UNTOUCHED]
    with devices.partition(tmp_path, here.context.identity):
        expect_look(here)
        here.script.expect("drbdadm create-md vmdata").expect("drbdadm adjust vmdata")
        for _ in range(4):
            here.script.expect("drbdadm get-gi vmdata", GI_NEW)
        with pytest.raises(Refused, match="does not go on by itself"):
            here.step().apply()
    here.script.assert_finished()


def test_a_primary_left_over_is_demoted(tmp_path: Path) -> None:
    here = world(tmp_path, [NEW])
    data.begin(here.context, "blank")
    here.states = [("in-sync", "Secondary/Secondary", "Primary/Secondary")]
    here.next()
    assert here.step().check()[-1].startswith("vmdata: Connected, Primary/Secondary")
    here.states = [("in-sync", "Secondary/Secondary", "Primary/Secondary")]
    for _ in range(2):
        here.script.expect("drbdadm get-gi vmdata", GET_GI)
    here.script.expect("drbdadm adjust vmdata").expect("drbdadm secondary vmdata")
    for _ in range(2):
        here.script.expect("drbdadm get-gi vmdata", GET_GI)
    here.step().apply()
    here.script.assert_finished()


def test_a_complete_node_runs_nothing_and_tells_that_it_has_data(tmp_path: Path) -> None:
    here = world(tmp_path, [BLANK])
    step = here.step()
    files.write(tmp_path, step._files)
    for latch in (latches.SEED_STARTED, latches.DATA_EXISTS, latches.COMPLETE):
        latches.set_once(tmp_path, latch, "{}")
    assert not step.check()
    here.script.assert_finished()
    meeting: Meeting = here.context.meeting
    told = side_from_json(meeting._told[TOPIC])
    assert (told.content, told.data_exists) == (Content.OURS, True)
