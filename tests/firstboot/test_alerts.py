"""What pacemaker tells as news, and how much of it people get: pure, on what it really told."""

import re
from pathlib import Path
from typing import Optional

import pytest

from firstboot import alerts
from firstboot.alerts import MOST, QUIET_S, News, fresh, news, overdue, take

RECORDED = (Path(__file__).parent / "pacemaker/alerts.txt").read_text()
BLOCKS = {
    name: dict(line.split("=", 1) for line in lines.strip().splitlines())
    for name, lines in re.findall(r"^\[(.+)\] .*\n((?:CRM_.*\n)+)", RECORDED, re.MULTILINE)
}
REBOOT = "Operation reboot of julius by justinian for stonith_admin."
EXPECTED = {
    "ours start ok": None,
    "fail count": None,
    "guest monitor ok": None,
    "guest monitor Cancelled": None,
    "guest migrate_to ok": "",
    "guest migrate_from ok": "vm1 was moved live to justinian",
    "guest start ok": "vm1 has started on julius",
    "guest stop ok": "vm1 has stopped on julius",
    "guest asyncmon error": "vm1: asyncmon has failed on justinian: error (1)",
    "guest monitor not running": "vm1: monitor has failed on justinian: not running (7)",
    "health red": "health of julius: raid is red",
    "health green": "health of julius: raid is green",
    "node lost": "julius is lost to the cluster, or has left it",
    "fencing -61": f"fencing of julius has FAILED: {REBOOT}388@justinian: Error",
    "fencing 0": f"fencing of julius is done: {REBOOT}407@justinian: OK",
}


def recorded(name: str) -> News:
    found = news(BLOCKS[name])
    assert found is not None
    return found


def test_every_recorded_event_is_one_of_these() -> None:
    assert BLOCKS.keys() == EXPECTED.keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_the_words_for_it(name: str) -> None:
    found = news(BLOCKS[name])
    assert (found.text if found else None) == EXPECTED[name]


def test_what_is_well_again_is_no_alarm() -> None:
    assert not recorded("health green").bad
    assert not recorded("guest start ok").bad
    member = news({**BLOCKS["node lost"], "CRM_alert_desc": "member"})
    assert member is not None
    assert (member.bad, member.text) == (False, "julius is a member of the cluster again")


@pytest.mark.parametrize("key", sorted(BLOCKS["guest stop ok"]))
@pytest.mark.parametrize("text", ["", "\x00\n\r", "\ud800\u2028", "x" * 5000, "-1", "fencing"])
def test_no_environment_breaks_it(key: str, text: str) -> None:
    for block in BLOCKS.values():
        found = news({**block, key: text})
        assert found is None or (found.text.isprintable() and len(found.text) < 3000)
    assert news({key: text}) is None or key == "CRM_alert_kind"


RED, GREEN = recorded("health red"), recorded("health green")


def tell(memory: alerts.Memory, told: News, now: float) -> Optional[str]:
    found = take(memory, told, now)
    return found.text if found else None


def test_good_news_are_for_those_who_heard_bad() -> None:
    memory = fresh()
    assert tell(memory, GREEN, 0) is None, "as each time the cluster starts"
    assert tell(memory, RED, 1) == RED.text
    assert tell(memory, GREEN, 2) == GREEN.text
    assert tell(memory, GREEN, 3000) is None


def test_the_same_again_waits_and_is_counted() -> None:
    memory, failed = fresh(), recorded("guest monitor not running")
    assert tell(memory, failed, 0) == failed.text
    for second in range(1, 50):
        assert tell(memory, failed, second) is None
    assert overdue(memory, QUIET_S - 1) == []
    (late,) = overdue(memory, QUIET_S)
    assert late.text == f"{failed.text} (48 more since the last message)"
    assert overdue(memory, QUIET_S * 3) == [], "once"
    assert tell(memory, failed, QUIET_S * 3) == failed.text


def test_what_goes_to_and_fro_ends_with_how_it_is() -> None:
    memory = fresh()
    said = [tell(memory, (RED, GREEN)[second % 2], second) for second in range(21)]
    assert [text for text in said if text] == [RED.text, GREEN.text]
    (late,) = overdue(memory, QUIET_S + 1)
    assert (late.text, late.bad) == (f"{RED.text} (18 more since the last message)", True)


def test_a_live_move_is_no_stop() -> None:
    memory = fresh()
    assert take(memory, recorded("guest migrate_to ok"), 0) is None
    assert take(memory, recorded("guest stop ok"), 1) is None
    assert tell(memory, recorded("guest stop ok"), 2) == "vm1 has stopped on julius"
    take(memory, recorded("guest migrate_to ok"), 0)
    assert take(memory, recorded("guest stop ok"), QUIET_S * 2) is not None


def guest(number: int) -> News:
    return News(f"resource vm{number}", "stopped", f"vm{number} has stopped")


def test_many_things_at_once_are_few_messages() -> None:
    memory = fresh()
    told = [tell(memory, guest(number), number) for number in range(30)]
    assert [bool(text) for text in told] == [True] * MOST + [False] * (30 - MOST)
    assert overdue(memory, QUIET_S - 1) == []
    rest = overdue(memory, QUIET_S + 30)
    assert {new.about for new in rest} == {f"resource vm{n}" for n in range(MOST, 30)}
    assert memory["sent"] == [QUIET_S + 30], "in one message"


def test_a_clock_that_is_set_back_silences_nobody() -> None:
    memory = fresh()
    assert tell(memory, RED, 1e9)
    assert tell(memory, RED, 1e6)


def test_it_does_not_grow_for_ever() -> None:
    memory = fresh()
    for number in range(1000):
        take(memory, guest(number), number * QUIET_S)
        overdue(memory, number * QUIET_S)
    assert len(memory["things"]) <= alerts.KEPT_S / QUIET_S
    assert len(memory["sent"]) <= MOST
