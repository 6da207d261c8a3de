"""The decision over record and sight, every branch; and whose BMC it is."""

import itertools
from typing import Any, Optional

import pytest

from firstboot.fencing import identity
from firstboot.fencing.rehearsal import (
    IDLE,
    INTENT,
    OFF,
    OFF_SEEN,
    ON,
    UNASKED,
    Fire,
    GiveUp,
    Proven,
    Record,
    Seen,
    Stop,
    SwitchOn,
    Wait,
    decide,
)

UP = Seen(answers=True, boot_id="b", ready=True, power=ON)
AWAY = Seen(answers=False, power=ON)


@pytest.mark.parametrize(
    ("record", "seen", "todo"),
    [
        (Record(), UP, Fire("b")),
        (Record(firings=1), UP, Fire("b")),
        (Record(), Seen(answers=True, boot_id="b"), Wait),
        (Record(), Seen(answers=False, ready=True), Wait),
        (Record(firings=2), UP, Stop),
        (Record(1, INTENT, "a", "x"), Seen(answers=False, power=OFF), SwitchOn),
        (Record(1, INTENT, "a", "x"), AWAY, Wait),
        (Record(1, INTENT, "a", "x"), UP, GiveUp),
        (Record(1, OFF_SEEN, "a", "x"), Seen(answers=False, power=OFF), SwitchOn),
        (Record(1, OFF_SEEN, "a", "x"), AWAY, Wait),
        (Record(1, OFF_SEEN, "a", "x"), UP, Proven("b")),
        (Record(1, OFF_SEEN, "b", "x"), UP, Stop),
        (Record(1, INTENT, "a", "x", "evidence"), UP, Stop("evidence")),
        (Record(1, INTENT, "a", "x", "evidence"), Seen(answers=False, power=OFF), SwitchOn),
    ],
)
def test_what_is_done_next(record: Record, seen: Seen, todo: Any) -> None:
    found = decide(record, seen)
    assert isinstance(found, todo) if isinstance(todo, type) else found == todo


def test_over_everything_that_can_be_seen() -> None:
    """It fires only at a ready peer with nothing open; only an observed off proves anything."""
    records = [
        Record(firings, phase, boot, "x", stopped)
        for firings, phase, boot, stopped in itertools.product(
            (0, 1, 2, 3), (IDLE, INTENT, OFF_SEEN), ("a", "b"), ("", "evidence")
        )
    ]
    sights = [
        Seen(answers, "b", ready, power)
        for answers, ready, power in itertools.product(
            (True, False), (True, False), (ON, OFF, UNASKED)
        )
    ]
    for record, seen in itertools.product(records, sights):
        todo = decide(record, seen)
        if isinstance(todo, Fire):
            assert (record.phase, record.stopped) == (IDLE, "")
            assert record.firings < 2
            assert seen.answers
            assert seen.ready
        if isinstance(todo, Proven):
            assert record.phase == OFF_SEEN
            assert seen.answers
            assert todo.boot_id != record.peer_boot
        if record.phase != IDLE and seen.power == OFF:
            assert isinstance(todo, SwitchOn), "whoever is off by our hand is switched on"


# `ipmitool mc guid` 1.8.19 (Debian 12), of pyghmi 1.6.19's BMC and of OpenIPMI 2.0.33's ipmi_sim.
PYGHMI = "System GUID   : 00112233445566778899AABBCCDDEEFF\n"
IPMI_SIM = """\
System GUID   : efcdab89-6745-23a1-efcd-ab89674523a1
GUID Encoding : IPMI
GUID Version  : DCE Security with POSIX UIDs (not for IPMI)
"""


def test_a_guid_is_read_as_ipmitool_prints_it() -> None:
    assert identity.parse_guid(PYGHMI) == "00112233-4455-6677-8899-aabbccddeeff"
    assert identity.parse_guid(IPMI_SIM) == "efcdab89-6745-23a1-efcd-ab89674523a1"
    assert identity.parse_guid("Get GUID command failed\n") is None
    assert identity.parse_guid("System GUID : -----------------------------------\n") is None


MINE, PEERS = "4c4c4544-0031-3010-8048-b7c04f4d3232", "33221100-5544-7766-8899-aabbccddeeff"


@pytest.mark.parametrize(
    "guid",
    [
        "33221100-5544-7766-8899-aabbccddeeff",
        "00112233-4455-6677-8899-aabbccddeeff",
        "ffeeddcc-bbaa-9988-6677-445500112233",
        "ffeeddcc-bbaa-9988-7766-554433221100",
    ],
)
def test_every_byte_order_is_recognised(guid: str) -> None:
    assert identity.same(guid, PEERS)
    assert not identity.same(guid, MINE)


@pytest.mark.parametrize(
    ("guid", "mine", "peers", "marked", "why"),
    [
        (PEERS, MINE, PEERS, False, ""),
        (MINE, MINE, PEERS, False, "this node's own UUID"),
        (MINE, MINE, PEERS, True, "this node's own UUID"),
        (MINE, MINE, "", False, "this node's own UUID"),
        ("11111111-2222-3333-4444-555555555555", MINE, PEERS, False, "answers with 1111"),
        ("11111111-2222-3333-4444-555555555555", MINE, PEERS, True, ""),
        (None, MINE, PEERS, False, "tells no UUID"),
        (None, MINE, PEERS, True, ""),
        (None, "", "", False, ""),
    ],
)
def test_what_is_not_shown_to_be_the_peers_is_objected_to(
    guid: Optional[str], mine: str, peers: str, marked: bool, why: str
) -> None:
    found = identity.objection(guid, mine, peers, marked=marked)
    assert why in found
    assert bool(why) == bool(found)
