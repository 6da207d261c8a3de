"""ksnode rehearse: who may, in which order, and what it waits for."""

import argparse
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from firstboot import latches
from firstboot.engine import Refused
from firstboot.fencing import record
from firstboot.fencing.rehearsal import IDLE, INTENT, Record
from firstboot.node import Identity
from firstboot.verbs.rehearse import RESULT, let_fire_again, prove, rehearse
from firstboot.verbs.waiting import NotYet
from tests.firstboot.conftest import ScriptedRun, a_pair, an_identity
from tests.firstboot.test_cluster_steps import no_sleep
from tests.firstboot.test_pacemaker import LOOK, recorded

WHOLE = recorded("mounted")
# What pacemaker tells of a node in standby: its instances are gone, its fence device stays.
EMPTY = re.sub(
    r'<resource id="ks-(drbd|dlm|vmdata)"[^>]*>\s*<node name="julius"[^>]*/>\s*</resource>',
    "",
    WHOLE,
)
AWAY = re.sub(r'(name="julius" id="2" online=)"true"', r'\1"false"', EMPTY)
STANDBY = "crm_standby --node julius --lifetime reboot --update on"
FENCE = "stonith_admin --reboot julius --timeout 120"


@pytest.fixture
def run() -> ScriptedRun:
    return ScriptedRun()


@pytest.fixture
def identity() -> Identity:
    return replace(an_identity(), pair=a_pair("debian12-lab"))


def lay_record(root: Path, **more: object) -> None:
    (root / record.PATH).parent.mkdir(parents=True, exist_ok=True)
    record.save(root, replace(Record(), **more))  # type: ignore[arg-type]


def test_the_recordings_differ() -> None:
    assert WHOLE != EMPTY != AWAY


def test_the_peer_is_emptied_then_cut_then_awaited(
    identity: Identity, tmp_path: Path, run: ScriptedRun
) -> None:
    (tmp_path / RESULT).parent.mkdir(parents=True)
    run.expect(LOOK, WHOLE).expect(STANDBY).expect(LOOK, WHOLE).expect(LOOK, EMPTY)
    run.expect(FENCE).expect(LOOK, AWAY).expect(LOOK, EMPTY).expect(LOOK, WHOLE)
    prove(identity, tmp_path, run, sleep=no_sleep)
    run.assert_finished()
    told = json.loads((tmp_path / RESULT).read_text())
    assert (told["peer"], told["by"]) == ("julius", "the cluster")


@pytest.mark.parametrize("state", [EMPTY, AWAY])
def test_a_pair_that_is_not_whole_is_left_alone(
    identity: Identity, tmp_path: Path, run: ScriptedRun, state: str
) -> None:
    run.expect(LOOK, state)
    with pytest.raises(Refused, match="the pair is not whole"):
        prove(identity, tmp_path, run, sleep=no_sleep)
    run.assert_finished()


def test_a_peer_that_keeps_its_resources_is_not_cut(
    identity: Identity, tmp_path: Path, run: ScriptedRun
) -> None:
    run.expect(LOOK, WHOLE).expect(STANDBY)
    for _ in range(102):
        run.expect(LOOK, WHOLE)
    with pytest.raises(NotYet, match="ks-vmdata is still on julius"):
        prove(identity, tmp_path, run, sleep=no_sleep)


def test_names_are_typed(
    identity: Identity, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rehearse(identity, tmp_path, argparse.Namespace(peer="justinian")) == 5
    assert "next: this cuts its power: ksnode rehearse julius" in capsys.readouterr().err


def test_before_the_pair_is_complete_the_agent_may_fire_again(
    identity: Identity, tmp_path: Path
) -> None:
    lay_record(tmp_path, phase=IDLE, firings=2)
    assert rehearse(identity, tmp_path, argparse.Namespace(peer="julius")) == 0
    assert record.load(tmp_path) == Record()


def test_not_while_a_shot_is_on_its_way(tmp_path: Path) -> None:
    lay_record(tmp_path, phase=INTENT, firings=1)
    with pytest.raises(Refused, match="under way"):
        let_fire_again(tmp_path)
    assert record.load(tmp_path).firings == 1


def test_a_shot_that_was_stopped_is_forgotten(tmp_path: Path) -> None:
    lay_record(tmp_path, phase=INTENT, firings=1, stopped="it goes on answering")
    let_fire_again(tmp_path)
    assert record.load(tmp_path) == Record()


def test_an_unreadable_record_is_forgotten(tmp_path: Path) -> None:
    lay_record(tmp_path)
    (tmp_path / record.PATH).write_text("?")
    let_fire_again(tmp_path)
    assert not (tmp_path / record.PATH).exists()
    assert not latches.is_set(tmp_path, latches.COMPLETE)
