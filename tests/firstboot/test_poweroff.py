"""ksnode poweroff: what becomes of the guests, in which order a node leaves, who is waited for."""

import argparse
import os
import re
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Optional

import pytest

from firstboot import latches
from firstboot.commands import Result
from firstboot.engine import Refused
from firstboot.node import Identity
from firstboot.verbs.poweroff import Wish, leave, plan, poweroff
from firstboot.verbs.waiting import NotYet, outcome
from tests.firstboot.conftest import ScriptedRun, a_pair, an_identity
from tests.firstboot.test_cluster_steps import MOUNTED, no_sleep
from tests.firstboot.test_pacemaker import LOOK, recorded

WHOLE = recorded("mounted")
VM1 = (
    '<resource id="vm1" role="Started" active="true" failed="false">'
    '<node name="justinian" id="1"/></resource></resources>'
)
WITH_GUEST = WHOLE.replace("</resources>", VM1)
RECORDED = Path(__file__).parent / "recorded"
STANDBY = "crm_standby --node justinian --lifetime reboot --update on"
STOP = "systemctl stop corosync.service pacemaker.service"
ASK = "attrd_updater --node justinian --name ks-poweroff --update yes"
TOGETHER = "attrd_updater --node {} --name standby --update-both on --delay 5"


def without(text: str, node: str) -> str:
    """What pacemaker tells once that node is in standby: only its fence device stays."""
    of_node = rf'<node name="{node}"[^>]*/>'
    ours = r'<resource id="(ks-(drbd|dlm|vmdata)|vm1)"[^>]*>'
    return re.sub(rf"{ours}\s*{of_node}\s*</resource>", "", text)


def away(text: str, node: str) -> str:
    return re.sub(rf'(name="{node}" id="\d" online=)"true"', r'\1"false"', without(text, node))


def standing_by(text: str, node: str) -> str:
    return re.sub(rf'(name="{node}" [^>]*standby=)"false"', r'\1"true"', text)


def asking(text: str, node: str) -> str:
    attribute = '<attribute name="ks-poweroff" value="yes"/>'
    return re.sub(
        rf'(<node_attributes>.*?<node name="{node}">)', rf"\1{attribute}", text, flags=re.S
    )


def wish(
    *, pair: bool = False, reboot: bool = False, force: bool = False, dry: bool = False
) -> Wish:
    return Wish(argparse.Namespace(pair=pair, reboot=reboot, force=force, dry_run=dry))


@pytest.fixture
def run() -> ScriptedRun:
    return ScriptedRun()


@pytest.fixture
def identity() -> Identity:
    return replace(an_identity(), pair=a_pair("debian12-lab"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "proc").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "proc/mounts").write_text("proc /proc proc rw 0 0\n")
    (tmp_path / "proc/drbd").write_text((RECORDED / "proc-drbd-8.4.11-in-sync").read_text())
    latches.set_once(tmp_path, latches.COMPLETE, "")
    return tmp_path


def told(identity: Identity, root: Path, run: ScriptedRun, wanted: Wish) -> str:
    found = plan(identity, root, wanted, run)
    run.assert_finished()
    return "; ".join((*found.losses, *found.steps))


def test_guests_move_to_the_other_node(identity: Identity, root: Path, run: ScriptedRun) -> None:
    run.expect(LOOK, WITH_GUEST)
    assert told(identity, root, run, wish()) == "vm1 moves to julius, live where a guest can"


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        (away(WITH_GUEST, "julius"), "vm1 stops: julius is not online"),
        (standing_by(WITH_GUEST, "julius"), "vm1 stops: julius is in standby"),
        (without(WITH_GUEST, "julius"), "vm1 stops: ks-vmdata is not started on julius"),
        (without(WHOLE, "julius"), "no guest stops: ks-vmdata is not started on julius"),
    ],
)
def test_where_the_other_can_not_take_them_they_stop(
    identity: Identity, root: Path, run: ScriptedRun, shown: str, why: str
) -> None:
    run.expect(LOOK, shown)
    assert told(identity, root, run, wish()) == why


def test_a_peer_that_still_gets_its_data_is_not_left_alone(
    identity: Identity, root: Path, run: ScriptedRun
) -> None:
    source = (RECORDED / "proc-drbd-8.4.11-source").read_text()
    (root / "proc/drbd").write_text(source)
    run.expect(LOOK, without(WITH_GUEST, "julius"))
    with pytest.raises(Refused, match=r"julius's data is Inconsistent .*without justinian") as no:
        plan(identity, root, wish(), run)
    assert no.value.way_out.endswith("ksnode poweroff --force")
    run.expect(LOOK, without(WITH_GUEST, "julius"))
    assert "vm1 stops" in told(identity, root, run, wish(force=True))
    run.expect(LOOK, WITH_GUEST)  # a pair loses nothing: the resync goes on when it is back
    assert told(identity, root, run, wish(pair=True)) == "vm1 stops, none is moved"


def test_a_node_that_gets_its_data_may_leave(
    identity: Identity, root: Path, run: ScriptedRun
) -> None:
    (root / "proc/drbd").write_text((RECORDED / "proc-drbd-8.4.11-target").read_text())
    run.expect(LOOK, without(WHOLE, "justinian"))
    assert told(identity, root, run, wish()) == "no guest moves to julius, live where a guest can"


def test_nothing_is_begun_while_a_node_waits_to_be_fenced(
    identity: Identity, root: Path, run: ScriptedRun
) -> None:
    unclean = re.sub(r'(name="julius" id="2" [^>]*unclean=)"false"', r'\1"true"', WHOLE)
    run.expect(LOOK, unclean)
    with pytest.raises(Refused, match="julius is to be fenced first"):
        plan(identity, root, wish(force=True), run)


def test_a_pair_takes_two(identity: Identity, root: Path, run: ScriptedRun) -> None:
    run.expect(LOOK, away(WHOLE, "julius")).expect(LOOK, "", 102)
    with pytest.raises(Refused, match="julius is not in the cluster"):
        plan(identity, root, wish(pair=True), run)
    with pytest.raises(Refused, match="justinian is not in the cluster"):
        plan(identity, root, wish(pair=True), run)


def test_a_node_that_is_being_set_up_is_its_agents(
    identity: Identity, root: Path, run: ScriptedRun
) -> None:
    (root / "var/lib/ksbuild/complete").unlink()
    with pytest.raises(Refused, match="not complete"):
        plan(identity, root, wish(), run)


@pytest.mark.parametrize("reboot", [False, True])
def test_a_node_is_emptied_then_stopped_then_switched_off(
    identity: Identity, root: Path, run: ScriptedRun, reboot: bool
) -> None:
    run.expect(LOOK, WITH_GUEST).expect(STANDBY).expect(LOOK, WITH_GUEST)
    run.expect(LOOK, without(WHOLE, "justinian")).expect(STOP)
    run.expect(f"systemctl {'reboot' if reboot else 'poweroff'}")
    leave(identity, root, wish(reboot=reboot), run, sleep=no_sleep)
    run.assert_finished()


def test_without_a_cluster_the_system_alone_stops(
    identity: Identity, root: Path, run: ScriptedRun
) -> None:
    run.expect(LOOK, "", 102).expect(STOP).expect("systemctl poweroff")
    leave(identity, root, wish(), run, sleep=no_sleep)
    run.assert_finished()


def test_what_stays_mounted_keeps_the_power(
    identity: Identity, root: Path, run: ScriptedRun
) -> None:
    (root / "proc/mounts").write_text(MOUNTED)
    run.expect(LOOK, "", 102).expect(STOP)
    with pytest.raises(NotYet, match="/srv/vmdata is still mounted"):
        leave(identity, root, wish(), run, sleep=no_sleep)
    run.assert_finished()


def test_a_guest_that_will_not_go_keeps_the_power(
    identity: Identity, root: Path, run: ScriptedRun
) -> None:
    run.expect(LOOK, WITH_GUEST).expect(STANDBY)
    for _ in range(601):
        run.expect(LOOK, WITH_GUEST)
    with pytest.raises(NotYet, match=r"vm1 is still on justinian\n.*--lifetime reboot --delete"):
        leave(identity, root, wish(), run, sleep=no_sleep)
    run.assert_finished()


def test_a_pair_is_emptied_at_one_moment_by_the_first(
    identity: Identity, root: Path, run: ScriptedRun
) -> None:
    both = asking(WITH_GUEST, "julius")
    run.expect(LOOK, WITH_GUEST).expect(ASK).expect(LOOK, WITH_GUEST).expect(LOOK, both)
    run.expect(TOGETHER.format("justinian")).expect(TOGETHER.format("julius"))
    run.expect(LOOK, both).expect(LOOK, without(WHOLE, "justinian"))
    run.expect(LOOK, without(without(WHOLE, "justinian"), "julius"))
    run.expect(STOP).expect("systemctl poweroff")
    leave(identity, root, wish(pair=True), run, sleep=no_sleep)
    run.assert_finished()


def test_the_second_node_waits_for_both_to_be_empty(root: Path, run: ScriptedRun) -> None:
    second = an_identity("julius", "debian12-lab")
    emptied = without(WHOLE, "julius")
    run.expect(LOOK, WHOLE).expect(ASK.replace("justinian", "julius"))
    run.expect(LOOK, standing_by(WHOLE, "julius")).expect(LOOK, emptied)
    run.expect(LOOK, away(emptied, "justinian")).expect(STOP).expect("systemctl poweroff")
    leave(second, root, wish(pair=True), run, sleep=no_sleep)
    run.assert_finished()


@pytest.mark.parametrize("last", [WHOLE, away(WHOLE, "julius")])
def test_what_was_asked_of_a_pair_is_taken_back(
    identity: Identity, root: Path, run: ScriptedRun, last: str
) -> None:
    run.expect(LOOK, WHOLE).expect(ASK)
    for _ in range(601 if last == WHOLE else 1):
        run.expect(LOOK, last)
    run.expect(ASK.replace("--update yes", "--delete"))
    with pytest.raises(NotYet, match=r"type on julius: ksnode poweroff --pair|not online any more"):
        leave(identity, root, wish(pair=True), run, sleep=no_sleep)
    run.assert_finished()


def test_a_session_that_ends_takes_back_what_it_asked(
    identity: Identity, root: Path, run: ScriptedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    def hang_up(_: float) -> None:
        os.kill(os.getpid(), signal.SIGHUP)

    before = signal.getsignal(signal.SIGHUP)
    run.expect(LOOK, WHOLE).expect(ASK).expect(LOOK, WHOLE)
    run.expect(ASK.replace("--update yes", "--delete"))
    assert outcome(lambda: leave(identity, root, wish(pair=True), run, sleep=hang_up)) == 1
    assert "stopped by hand" in capsys.readouterr().err
    run.expect(LOOK, WITH_GUEST).expect(STANDBY).expect(LOOK, WITH_GUEST)
    assert outcome(lambda: leave(identity, root, wish(), run, sleep=hang_up)) == 1
    assert "to take it back: crm_standby" in capsys.readouterr().err
    run.assert_finished()
    assert signal.getsignal(signal.SIGHUP) == before


class Asked:
    """A door that tells of a cluster, and lets nothing else through."""

    def __init__(self, shown: str) -> None:
        self._shown = shown

    def __call__(
        self,
        argv: Sequence[str],
        *,
        stdin: Optional[str] = None,
        ok: "tuple[int, ...]" = (0,),
        timeout_s: float = 0,
    ) -> Result:
        del stdin, ok, timeout_s
        assert argv[0] == "crm_mon", argv
        return Result(tuple(argv), 0, self._shown, "")


def test_a_dry_run_only_looks(
    identity: Identity,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("firstboot.verbs.poweroff.run", Asked(WITH_GUEST))
    typed = argparse.Namespace(pair=False, reboot=False, force=False, dry_run=True)
    assert poweroff(identity, root, typed) == 0
    assert capsys.readouterr().out == "ksnode: vm1 moves to julius, live where a guest can\n"
    (root / "proc/drbd").write_text((RECORDED / "proc-drbd-8.4.11-source").read_text())
    monkeypatch.setattr("firstboot.verbs.poweroff.run", Asked(without(WITH_GUEST, "julius")))
    assert poweroff(identity, root, typed) == 5
    assert "next: wait for it, or: ksnode poweroff --force" in capsys.readouterr().err
