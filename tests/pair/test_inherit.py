"""A node that comes back takes fencing over: the one in production is never cut off for it."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from firstboot import latches
from firstboot.commands import Result
from firstboot.engine import Refused
from firstboot.fencing import inherited
from firstboot.fencing.inherited import Voucher
from firstboot.steps import Context
from firstboot.steps.fencing import Fencing
from firstboot.verbs.rehearse import prove_newcomer, waiting_boot
from tests.firstboot.conftest import ScriptedRun
from tests.firstboot.test_pacemaker import LOOK, recorded
from tests.firstboot.test_rehearse import AWAY, FENCE
from tests.pair.disk import Syscalls
from tests.pair.powered import NAMES, OTHER, PlayedMeeting, PlayedRun, World, fenced_identity

GUIDS = {"10.0.1.1": "0" * 31 + "1", "10.0.1.2": "0" * 31 + "2"}
NEW_BOARD = "0" * 31 + "3"
ADDRESS = {"justinian": "10.0.1.1", "julius": "10.0.1.2"}


class Living(World):
    """Both have proven it and are complete; then one is installed anew by a ticket."""

    def __init__(self, folder: Path, survivor: str, patch: pytest.MonkeyPatch) -> None:
        super().__init__(folder)
        self.others = set(threading.enumerate())
        self.calls = Syscalls(list(self.disks.values()), patch)
        self.survivor, self.newcomer = survivor, OTHER[survivor]
        self.guids.update(GUIDS)
        for _ in range(40):
            for name in NAMES:
                self.advance_if_on(name)
                self.ask(name)
        assert self.proven("justinian")
        assert self.proven("julius")
        for name in NAMES:
            self.stop(name)
            self.cut_boots[name].clear()
        root = self.roots[self.newcomer]
        for part in ("etc/ksbuild", "var/lib/ksbuild"):
            shutil.rmtree(root / part)
            (root / part).mkdir()
        latches.set_once(root, latches.SECRETS_STORED, "{}")
        for part in ("pair", "rejoin", "secrets"):
            (root / "etc/ksbuild" / part).mkdir()
            (root / "etc/ksbuild" / part / "node.crt").touch()
        for path in (self.roots[survivor] / "etc/ksbuild/secrets").glob("fence-*"):
            shutil.copy(path, root / "etc/ksbuild/secrets")  # as the secrets step takes them
        self.disks[self.newcomer].settle()
        latches.set_once(self.roots[survivor], latches.COMPLETE, "{}")
        self.serve()

    def advance_if_on(self, name: str) -> None:
        if self.power[name]:
            self.advance(name)

    def serve(self) -> None:
        """The survivor's agent, which stays and answers."""
        meeting = PlayedMeeting(self.survivor, self)
        run = PlayedRun(self.survivor, self)
        identity, root = fenced_identity(self.survivor, self.platform), self.roots[self.survivor]
        self.context = Context(identity, root, run, self.told[self.survivor], meeting)
        meeting.admit(Voucher(self.context).answer)
        assert not Fencing(self.context).check()
        meeting.reach("fencing")
        self.meetings[self.survivor] = meeting

    def come_back(self) -> bool:
        """The newcomer's agent, until it is through or refuses."""
        for _ in range(20):
            self.ask(self.newcomer)
            if self.advance(self.newcomer):
                return True
            for thread in set(threading.enumerate()) - self.others:
                thread.join(5)  # what is asked in the background
        return False


@pytest.fixture(params=NAMES)
def living(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Living:
    return Living(tmp_path, request.param, monkeypatch)


def test_it_is_taken_over_and_nobody_is_cut_off(living: Living) -> None:
    before = living.proven(living.survivor)
    assert living.come_back()
    proof = living.proven(living.newcomer)
    assert proof
    assert proof["by"].endswith(f"taken over from {living.survivor}")
    assert proof["guids"] == [str_of(GUIDS[ADDRESS[living.survivor]])]
    assert living.proven(living.survivor) == before
    assert living.cut_boots == {"justinian": [], "julius": []}
    assert not living.steps[living.newcomer].check()


def str_of(guid: str) -> str:
    return f"{guid[:8]}-{guid[8:12]}-{guid[12:16]}-{guid[16:20]}-{guid[20:]}"


def other_board(living: Living) -> None:
    living.guids[ADDRESS[living.newcomer]] = NEW_BOARD


def newcomers_bmc_is_silent(living: Living) -> None:
    living.bmc_fails["status"] = ["before"] * 50


def newcomers_bmc_says_off(living: Living) -> None:
    living.wired[ADDRESS[living.newcomer]] = "nobody"
    living.power["nobody"] = False


@pytest.mark.parametrize(
    ("happen", "why"),
    [
        (other_board, "and with another when it was proven"),
        (newcomers_bmc_says_off, "says off"),
        (newcomers_bmc_is_silent, "exited 1"),
    ],
)
def test_what_is_not_as_it_was_proven_is_refused(
    living: Living, happen: Callable[[Living], None], why: str
) -> None:
    happen(living)
    with pytest.raises(Refused, match=why) as refused:
        living.come_back()
    word = f"on {living.survivor}: ksnode rehearse {living.newcomer}"
    assert refused.value.way_out == word
    assert living.proven(living.newcomer) is None
    assert living.cut_boots == {"justinian": [], "julius": []}


def test_the_survivors_own_device_is_looked_at_by_the_newcomer(living: Living) -> None:
    living.wired[ADDRESS[living.survivor]] = "nobody"
    living.power["nobody"] = False
    with pytest.raises(Refused, match="says off, but"):
        living.come_back()
    assert living.proven(living.newcomer) is None


def test_another_password_here_is_named(living: Living) -> None:
    (living.roots[living.newcomer] / "root/bmc").write_text("another\n")
    with pytest.raises(Refused, match="knows other passwords of the fence devices"):
        living.come_back()


@pytest.mark.parametrize("living", ["justinian"], indirect=True)  # as the recordings are
def test_a_new_board_is_proven_by_the_rehearsal(living: Living) -> None:
    """Typed on the survivor: the newcomer alone is cut off, and goes on by itself."""
    other_board(living)
    with pytest.raises(Refused):
        living.come_back()
    boot = waiting_boot(living.context)
    assert boot == living.boot_id(living.newcomer)
    script = ScriptedRun().expect(LOOK, AWAY).expect(FENCE)
    bmcs = living.context.run

    def run(argv: Sequence[str], **options: Any) -> Result:
        if argv[0] == "stonith_admin":
            living.lose_power("julius")
            living.get_power("julius")
        return (script if argv[0] in ("crm_mon", "stonith_admin") else bmcs)(argv, **options)

    context = Context(
        living.context.identity, living.context.root, run, living.context.report,
        living.context.meeting,
    )  # fmt: skip

    def boots(_: float) -> None:
        living.advance("julius")

    prove_newcomer(context, boot, sleep=boots)
    script.assert_finished()
    kept = json.loads((context.root / inherited.REHEARSED).read_text())
    assert kept["guids"] == [str_of(NEW_BOARD)]
    living.serve()
    assert living.come_back()
    assert living.cut_boots == {"justinian": [], "julius": []}, "by the cluster alone"


def test_a_member_of_the_cluster_is_no_newcomer(living: Living) -> None:
    script = ScriptedRun().expect(LOOK, recorded("mounted"))
    context = Context(
        fenced_identity("justinian"), living.roots["justinian"], script, living.context.report,
        living.context.meeting,
    )  # fmt: skip
    with pytest.raises(Refused, match="the cluster does not run here without julius"):
        prove_newcomer(context, "a boot")
    assert waiting_boot(living.context) == ""
