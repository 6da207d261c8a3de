"""Whose half may go: relations of generations, every bar on the way, and what is told of both."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Optional

import pytest

from firstboot.drbd import Status
from firstboot.engine import Refused
from firstboot.splitbrain import telling
from firstboot.splitbrain.half import Half, from_json, to_json
from firstboot.splitbrain.table import (
    NONE,
    Part,
    Relation,
    decide,
    objection,
    relation,
    resync_kib,
)
from tests.firstboot.conftest import an_identity

A, B, C, D = (letter * 16 for letter in "abcd")


def half(node: str = "justinian", **more: Any) -> Half:
    """One that wrote apart, and is not in use."""
    made = Half(
        node=node,
        up=True,
        connection="StandAlone",
        role="Secondary",
        disk="UpToDate",
        generations=(A if node == "justinian" else B, C, D, NONE),
        written_kib=100 if node == "justinian" else 20,
        mounted=False,
        guests=(),
        last_write="",
        parted="",
        gives_way=False,
    )
    return replace(made, **more)


MINE, THEIRS = half(), half("julius")


@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [
        ((A, NONE, NONE, NONE), (A, NONE, NONE, NONE), Relation.SAME),
        ((A, C, D, NONE), (A, NONE, NONE, NONE), Relation.SAME),
        ((A, B, NONE, NONE), (B, NONE, NONE, NONE), Relation.AHEAD),
        ((A, C, B, NONE), (B, NONE, NONE, NONE), Relation.AHEAD),
        ((B, NONE, NONE, NONE), (A, B, NONE, NONE), Relation.BEHIND),
        ((A, C, NONE, NONE), (B, C, NONE, NONE), Relation.SPLIT),
        ((A, NONE, C, NONE), (B, D, C, NONE), Relation.SPLIT),
        ((A, NONE, NONE, NONE), (B, NONE, NONE, NONE), Relation.UNRELATED),
        ((A, C, NONE, NONE), (B, D, NONE, NONE), Relation.UNRELATED),
        ((), (B, D, NONE, NONE), Relation.UNKNOWN),
        ((A, C, NONE, NONE), (), Relation.UNKNOWN),
        ((NONE, C, NONE, NONE), (B, C, NONE, NONE), Relation.UNKNOWN),
    ],
)
def test_relations(mine: "tuple[str, ...]", theirs: "tuple[str, ...]", expected: Relation) -> None:
    assert relation(half(generations=mine), half("julius", generations=theirs)) is expected


def test_the_size_of_a_resync_is_known_where_both_bitmaps_begin_at_the_same() -> None:
    assert resync_kib(MINE, THEIRS) == 120
    assert resync_kib(MINE, half("julius", generations=(B, D, C, NONE))) is None
    both = (half(generations=(A, NONE, C, D)), half("julius", generations=(B, NONE, C, D)))
    assert resync_kib(*both) is None
    assert resync_kib(half(generations=()), half("julius", generations=())) is None


def part(
    mine: Half, theirs: Optional[Half], loser: str, status: Optional[Status] = None
) -> "tuple[Optional[Part], str]":
    peer = "julius" if mine.node == "justinian" else "justinian"
    try:
        return decide(status, mine, theirs, peer, loser), ""
    except Refused as refusal:
        return None, refusal.evidence if refusal.way_out else "no way out"


def test_the_losing_node_goes_first() -> None:
    assert part(MINE, THEIRS, "justinian") == (Part.GIVE_WAY, "")
    assert part(MINE, THEIRS, "julius") == (
        None,
        "nobody has typed on julius yet that its changes go",
    )
    assert part(MINE, half("julius", gives_way=True), "julius") == (Part.KEEP, "")
    waiting = half("julius", gives_way=True, connection="WFConnection")
    assert part(MINE, waiting, "julius") == (Part.KEEP, "")


# What a half may not be for its changes to go, and for it to be kept; each alone is a bar.
BARS_LOSING: "dict[str, dict[str, Any]]" = {
    "vmdata is not up on": {"up": False},
    "guests run on": {"guests": ("web",)},
    "whether guests run": {"guests": None},
    "would go is mounted": {"mounted": True, "role": "Primary"},
    "would go is Primary": {"role": "Primary"},
    "disk is Diskless": {"disk": "Diskless"},
}
NO_BAR: "list[dict[str, Any]]" = [{}]
BARS_KEEPING: "dict[str, dict[str, Any]]" = {
    "is not up": {"up": False},
    "would be kept, is Inconsistent": {"disk": "Inconsistent"},
    "would be kept, is Outdated": {"disk": "Outdated"},
    "would be kept, is Diskless": {"disk": "Diskless"},
    "would be kept, is Failed": {"disk": "Failed"},
}


@pytest.mark.parametrize("here", ["justinian", "julius"])
@pytest.mark.parametrize("loser", ["justinian", "julius"])
def test_every_bar_holds_on_both_nodes_whatever_else_is_so(here: str, loser: str) -> None:
    """All combinations of one bar or none on either side with every harmless state."""
    keeper = "julius" if loser == "justinian" else "justinian"
    harmless_losing: Sequence[dict[str, Any]] = [
        {"disk": disk, "connection": connection}
        for disk in ("UpToDate", "Consistent", "Outdated", "Inconsistent")
        for connection in ("StandAlone", "WFConnection", "Connecting")
    ]
    harmless_keeping: Sequence[dict[str, Any]] = [
        {"disk": disk, "role": role, "mounted": mounted, "guests": guests}
        for disk in ("UpToDate", "Consistent")
        for role, mounted, guests in (
            ("Secondary", False, ()),
            ("Primary", True, ("web", "db")),
            ("Primary", True, None),
        )
    ]
    seen = 0
    for bar_l, bar_k in itertools.product(
        NO_BAR + list(BARS_LOSING.values()), NO_BAR + list(BARS_KEEPING.values())
    ):
        for more_l, more_k in itertools.product(harmless_losing, harmless_keeping):
            losing = half(loser, gives_way=True, **{**more_l, **bar_l})
            keeping = half(keeper, **{**more_k, **bar_k})
            mine, theirs = (losing, keeping) if here == loser else (keeping, losing)
            done, _ = part(mine, theirs, loser)
            allowed = Part.GIVE_WAY if here == loser else Part.KEEP
            assert done is (None if bar_l or bar_k else allowed), (losing, keeping)
            seen += 1
    assert seen == 7 * 6 * 12 * 6


@pytest.mark.parametrize(("evidence", "more"), BARS_LOSING.items())
def test_what_bars_the_losing_half_is_named(evidence: str, more: "dict[str, Any]") -> None:
    refusal = objection(half(**more), THEIRS)
    assert refusal
    assert evidence in refusal.evidence
    assert "justinian" in refusal.evidence


@pytest.mark.parametrize(("evidence", "more"), BARS_KEEPING.items())
def test_what_bars_the_half_to_keep_is_named(evidence: str, more: "dict[str, Any]") -> None:
    refusal = objection(MINE, half("julius", **more))
    assert refusal
    assert evidence in refusal.evidence
    assert "julius" in refusal.evidence


def test_only_a_split_brain_is_resolved() -> None:
    for generations, evidence in (
        ((A, C, D, NONE), "no split brain: justinian's data is the same"),
        ((C, D, NONE, NONE), "no split brain: justinian's data is newer"),
        ((B, A, NONE, NONE), "no split brain: justinian's data is older"),
        ((B, NONE, NONE, NONE), "no generation in common"),
        ((), "is not known"),
    ):
        done, told = part(MINE, half("julius", generations=generations), "justinian")
        assert done is None
        assert evidence in told
    waiting: dict[str, Any] = {"connection": "WFConnection"}
    done, told = part(half(**waiting), half("julius", **waiting), "justinian")
    assert done is None
    assert "have not met" in told
    assert part(MINE, None, "justinian") == (None, "julius does not tell of its half")


@pytest.mark.parametrize(
    ("disk", "peer_disk", "on_loser", "on_keeper"),
    [
        ("UpToDate", "UpToDate", Part.DONE, Part.DONE),
        ("Inconsistent", "UpToDate", Part.WAIT, None),
        ("Outdated", "UpToDate", Part.WAIT, None),
        ("UpToDate", "Inconsistent", None, Part.WAIT),
        ("Inconsistent", "Inconsistent", None, None),
        ("Consistent", "Consistent", None, None),
    ],
)
def test_once_they_met(
    disk: str, peer_disk: str, on_loser: Optional[Part], on_keeper: Optional[Part]
) -> None:
    """The peer is not asked then: DRBD itself has its state."""
    status = Status(True, "SyncTarget", "Secondary", "Secondary", disk, peer_disk)
    assert part(MINE, None, "justinian", status)[0] is on_loser
    assert part(MINE, None, "julius", status)[0] is on_keeper


def test_what_the_peer_tells_is_checked() -> None:
    told = json.loads(json.dumps(to_json(half("julius", guests=("web",), mounted=True))))
    assert from_json(told, "julius") == half("julius", guests=("web",), mounted=True)
    unknown = half("julius", guests=None)
    assert from_json(json.loads(json.dumps(to_json(unknown))), "julius") == unknown
    assert from_json(told, "justinian") is None
    bad: Any
    for bad in (
        None,
        [],
        {**told, "role": "\x1b[2J"},
        {**told, "guests": ["a\nb"]},
        {**told, "guests": "web"},
        {**told, "guests": ["x"] * 1001},
        {**told, "written_kib": "1"},
        {**told, "mounted": 1},
        {**told, "more": 1},
        {key: value for key, value in told.items() if key != "disk"},
    ):
        assert from_json(bad, "julius") is None, bad


def test_both_halves_are_told_and_what_may_be_typed() -> None:
    using = half(
        role="Primary", mounted=True, guests=("web", "db"), last_write="2026-01-02T03:04:05Z"
    )
    text = telling.text(using, THEIRS, "julius", "00014")
    assert "justinian: StandAlone, Primary, UpToDate" in text
    assert "last write   2026-01-02T03:04:05Z" in text
    assert "mounted; guests here: web, db" in text
    assert "last write   not known" in text
    assert "a resync copies at most 120 KiB" in text
    assert "on julius, then on justinian: ksnode resolve --discard julius --cluster 00014" in text
    assert "lose for ever the 20 KiB written on julius" in text
    assert "not yet: guests run on justinian" in text
    told = telling.as_json(using, THEIRS, "00014")
    assert (told["relation"], told["resync_kib_at_most"]) == ("split brain", 120)
    assert [side["node"] for side in told["sides"]] == ["justinian", "julius"]
    free, barred = told["choices"]
    assert (free["discard"], free["refused"], free["type_on"]) == (
        *("julius", "", ["julius", "justinian"]),
    )
    assert (barred["discard"], "guests" in barred["refused"]) == ("justinian", True)
    json.dumps(told)


def test_where_there_is_nothing_to_choose() -> None:
    same = half("julius", generations=MINE.generations)
    text = telling.text(MINE, same, "julius", "00014")
    assert "the same generation; nothing to choose here" in text
    assert "--discard" not in text
    alone = telling.text(MINE, None, "julius", "00014")
    assert "julius: does not tell; type ksnode resolve on it as well" in alone
    assert telling.as_json(MINE, None, "00014")["choices"] == []
    down = half(up=False, connection="", role="", disk="", generations=())
    assert "justinian: DRBD is not up" in telling.text(down, THEIRS, "julius", "00014")


def test_why_names_it() -> None:
    identity = an_identity()
    alone = Status(False, "StandAlone", "Primary", "Unknown", "UpToDate", "DUnknown")
    waiting = replace(alone, replication="WFConnection")
    (reason,) = telling.reasons(identity, alone, "2026-01-02T03:04:05Z", {})
    assert (reason["since"], reason["next"]) == ("2026-01-02T03:04:05Z", "ksnode resolve")
    assert reason["event"] == "split brain"
    assert "both nodes were written to apart (StandAlone, Primary" in reason["seen"]
    (unseen,) = telling.reasons(identity, alone, "", {})
    assert (unseen["event"], unseen["since"]) == ("stands alone", "not known")
    assert telling.reasons(identity, waiting, "", {}) == []
    assert len(telling.reasons(identity, waiting, "2026-01-02T03:04:05Z", {})) == 1
    assert telling.reasons(identity, None, "", {}) == []
    begun = {"discard": "julius", "at": "2026-01-02T03:04:06Z"}
    (left,) = telling.reasons(identity, None, "", begun)
    assert left["next"] == "once more: ksnode resolve --discard julius --cluster 00014"
    assert left["since"] == "2026-01-02T03:04:06Z"


def test_what_holds_a_node_back_is_named_with_the_way_on() -> None:
    """A split brain that this boot has not seen, and one that somebody resolved by other means."""
    identity, bans = an_identity(), ["cli-ban-ks-drbd-clone-on-justinian"]
    waiting = Status(False, "WFConnection", "Secondary", "Unknown", "UpToDate", "Outdated")
    (reason,) = telling.reasons(identity, waiting, "", {}, bans)
    assert (reason["event"], reason["next"]) == ("barred", "ksnode resolve")
    assert "may not promote DRBD here, by cli-ban-ks-drbd-clone-on-justinian" in reason["seen"]
    same = Status(True, "Connected", "Secondary", "Primary", "UpToDate", "UpToDate")
    (reason,) = telling.reasons(identity, same, "", {}, bans)
    clear = "crm_resource --clear --resource ks-drbd-clone --node justinian; cibadmin --delete-all"
    assert reason["next"].startswith(clear)
    syncing = Status(True, "SyncTarget", "Secondary", "Primary", "Inconsistent", "UpToDate")
    assert telling.reasons(identity, syncing, "", {}, bans) == []
