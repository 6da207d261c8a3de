"""The whole decision table: every pair of sides, on either node, against the promises."""

import itertools
from typing import Optional

import pytest

from firstboot import seed
from firstboot.seed import Action, Content, Decision, SeedPermit, Side, decide

A, B = ("a" * 16, "0" * 15 + "2"), ("b" * 16,)
SEEDING = {Action.SEED, Action.SEED_FULL_SYNC}
UNUSED = (Content.BLANK, Content.WIPED)


def every_side() -> list[Side]:
    """Each content with each latch; ours with each generation, with and without a file system."""
    latches = list(itertools.product((None, "blank", "wiped", "ours", "unknown"), (False, True)))
    plain = [c for c in Content if c is not Content.OURS]
    sides = [Side(c, c.value, started=s, data_exists=d) for c in plain for s, d in latches]
    generations = [(True, ()), (False, A), (False, B), (False, ())]
    for (new, uuids), fs, (s, d) in itertools.product(generations, (False, True), latches):
        sides.append(Side(Content.OURS, "ours", new, uuids, fs, s, d))
    return sides


SIDES = every_side()
CASES = [(f, m, p) for f in (True, False) for m in SIDES for p in (*SIDES, None)]
DECIDED = [(first, mine, peers, decide(first, mine, peers)) for first, mine, peers in CASES]


def data_of(side: Side) -> bool:
    """Whether anything says that this side's pair has data."""
    return side.data_exists or (side.file_system and side.started is None)


def related(one: Side, other: Side) -> bool:
    """Whether their generations may be compared by DRBD: they meet, or were not asked for."""
    return not one.uuids or not other.uuids or bool(set(one.uuids) & set(other.uuids))


def test_the_table_is_whole() -> None:
    assert len(SIDES) == 4 * 10 + 4 * 2 * 10
    assert len(DECIDED) == 2 * 120 * 121
    assert {d.action for *_, d in DECIDED} == set(Action)


def test_only_the_first_node_seeds_and_only_with_a_permit() -> None:
    for first, _, _, decision in DECIDED:
        assert (decision.permit is not None) == (decision.action in SEEDING)
        assert first or decision.action not in SEEDING
        if decision.permit:
            assert decision.permit.skip_sync == (decision.action is Action.SEED)


def test_nothing_is_ever_created_where_data_may_be() -> None:
    """I2, I4: neither latch, nor a finished file system, nor anything unknown on either side."""
    for _, mine, peers, decision in DECIDED:
        if decision.action not in SEEDING:
            continue
        assert peers is not None
        for side in (mine, peers):
            assert side.content in (*UNUSED, Content.OURS)
            assert not data_of(side)
            if side.content is Content.OURS and not side.just_created:
                other = peers if side is mine else mine
                assert side.started or (other.started and related(side, other))


def test_the_sync_is_skipped_only_if_both_were_blank_and_are_untouched() -> None:
    for _, mine, peers, decision in DECIDED:
        if decision.action is Action.SEED:
            assert peers is not None
            for side in (mine, peers):
                untouched = side.content is Content.BLANK or side.just_created
                assert untouched
                assert side.started == "blank" or side.content is Content.BLANK
                assert side.started != "wiped"


def test_metadata_is_made_on_proved_partitions_alone() -> None:
    """I1: no write before a probe said blank, wiped or ours; ours keeps its metadata."""
    for _, mine, peers, decision in DECIDED:
        if decision.action in (Action.JOIN, *SEEDING):
            assert mine.content in UNUSED or decision.action in SEEDING
        if decision.action in (Action.JOIN, Action.CONNECT, *SEEDING):
            assert peers is not None
            assert mine.content not in (Content.FOREIGN, Content.UNKNOWN)
            assert peers.content not in (Content.FOREIGN, Content.UNKNOWN)
        if decision.action is Action.CONNECT:
            assert mine.content is Content.OURS


def test_what_is_unknown_stops_with_evidence_and_a_way_out() -> None:
    for _, mine, peers, decision in DECIDED:
        unknown = (Content.FOREIGN, Content.UNKNOWN)
        if mine.content in unknown or (peers and peers.content in unknown):
            assert decision.action is Action.STOP
        if decision.action is Action.STOP:
            assert decision.evidence
            assert decision.way_out
            assert mine.seen in decision.evidence or (peers and peers.seen in decision.evidence)


def test_a_peer_that_lies_or_is_silent_cannot_make_me_seed_over_data() -> None:
    for _, mine, peers, decision in DECIDED:
        if data_of(mine) or mine.content in (Content.FOREIGN, Content.UNKNOWN):
            assert decision.action not in SEEDING
        if peers is None:
            assert decision.action in (Action.WAIT, Action.STOP)


def test_data_is_latched_wherever_anybody_knows_of_it() -> None:
    for _, mine, peers, decision in DECIDED:
        if peers and decision.action in (Action.JOIN, Action.CONNECT):
            assert decision.data_exists == (data_of(mine) or data_of(peers))


def test_unrelated_generations_stop() -> None:
    for _, mine, peers, decision in DECIDED:
        both = peers and mine.content is peers.content is Content.OURS
        if peers and both and mine.uuids and peers.uuids and not set(mine.uuids) & set(peers.uuids):
            assert decision.action is Action.STOP


def test_both_nodes_decide_what_fits_together() -> None:
    """When one creates, the other takes part; when one stops for both, so does the other."""
    for first, mine, peers, decision in DECIDED:
        if peers is None or not first:
            continue
        other = decide(False, peers, mine)
        assert (decision.action is Action.STOP) == (other.action is Action.STOP)
        if decision.action in SEEDING:
            assert other.action in (Action.JOIN, Action.CONNECT)


BLANK, WIPED = Side(Content.BLANK, "blank"), Side(Content.WIPED, "wiped")
NEW = Side(Content.OURS, "new", just_created=True, started="blank")
NEW_WIPED = Side(Content.OURS, "new", just_created=True, started="wiped")
NEW_UNLATCHED = Side(Content.OURS, "new", just_created=True)
HALF = Side(Content.OURS, "half", uuids=A, started="blank")
HALF_MADE = Side(Content.OURS, "half made", uuids=A, file_system=True, started="blank")
OURS = Side(Content.OURS, "ours", uuids=A, file_system=True)
OLDER = Side(Content.OURS, "older", uuids=A[1:], file_system=True)
OTHERS = Side(Content.OURS, "others", uuids=B, file_system=True)
LATCHED = Side(Content.OURS, "ours", uuids=A, started="blank", data_exists=True)
UNASKED = Side(Content.OURS, "in use", data_exists=True)
NO_LATCH = Side(Content.OURS, "half, installed anew", uuids=A)
EMPTIED = Side(Content.BLANK, "emptied", started="blank", data_exists=True)
COVERED = Side(Content.OURS, "metadata over a file system", just_created=True, file_system=True)
SYNCING = Side(Content.OURS, "syncing", True, file_system=True, started="blank", data_exists=True)
FOREIGN = Side(Content.FOREIGN, "ext4")


@pytest.mark.parametrize(
    ("mine", "peers", "on_first", "on_second"),
    [
        (BLANK, None, Action.WAIT, Action.WAIT),
        (FOREIGN, None, Action.STOP, Action.STOP),
        (BLANK, BLANK, Action.SEED, Action.JOIN),
        (BLANK, WIPED, Action.SEED_FULL_SYNC, Action.JOIN),
        (WIPED, BLANK, Action.SEED_FULL_SYNC, Action.JOIN),
        (BLANK, FOREIGN, Action.STOP, Action.STOP),
        (NEW, NEW, Action.SEED, Action.CONNECT),  # cut off after create-md
        (NEW, BLANK, Action.SEED, Action.CONNECT),
        (BLANK, NEW, Action.SEED, Action.JOIN),
        (NEW, NEW_WIPED, Action.SEED_FULL_SYNC, Action.CONNECT),
        (NEW_UNLATCHED, NEW, Action.SEED_FULL_SYNC, Action.CONNECT),  # installed anew before data
        (HALF, HALF, Action.SEED_FULL_SYNC, Action.CONNECT),  # before mkfs
        (HALF_MADE, HALF_MADE, Action.SEED_FULL_SYNC, Action.CONNECT),  # within mkfs
        (HALF, NO_LATCH, Action.SEED_FULL_SYNC, Action.CONNECT),
        (NO_LATCH, NO_LATCH, Action.STOP, Action.STOP),
        (NO_LATCH, BLANK, Action.STOP, Action.STOP),  # metadata of nobody knows whom
        (HALF_MADE, LATCHED, Action.CONNECT, Action.CONNECT),  # the peer knows more
        (OURS, BLANK, Action.CONNECT, Action.CONNECT),  # the peer's disk is new
        (BLANK, OURS, Action.JOIN, Action.JOIN),  # mine is
        (OURS, OURS, Action.CONNECT, Action.CONNECT),  # both installed anew
        (OURS, OLDER, Action.CONNECT, Action.CONNECT),
        (OURS, OTHERS, Action.STOP, Action.STOP),
        (LATCHED, OURS, Action.CONNECT, Action.CONNECT),
        (OURS, SYNCING, Action.CONNECT, Action.CONNECT),
        (OURS, COVERED, Action.STOP, Action.STOP),
        (EMPTIED, LATCHED, Action.JOIN, Action.JOIN),  # the peer holds it all
        (EMPTIED, BLANK, Action.STOP, Action.STOP),
        (EMPTIED, NEW, Action.STOP, Action.STOP),
        (OURS, UNASKED, Action.CONNECT, Action.CONNECT),  # a complete node
        (BLANK, UNASKED, Action.JOIN, Action.JOIN),
        (Side(Content.OURS, "new", True, data_exists=True), BLANK, Action.STOP, Action.STOP),
    ],
)
def test_cases_of_the_fault_catalogue(
    mine: Side, peers: Optional[Side], on_first: Action, on_second: Action
) -> None:
    assert decide(True, mine, peers).action is on_first
    assert decide(False, mine, peers).action is on_second


def test_nobody_else_makes_a_permit() -> None:
    with pytest.raises(TypeError):
        SeedPermit(object(), skip_sync=True)
    assert isinstance(decide(True, BLANK, BLANK), Decision)


def test_a_side_comes_back_as_it_was_told() -> None:
    for side in SIDES:
        assert seed.side_from_json(seed.side_to_json(side)) == side


@pytest.mark.parametrize(
    "told",
    [
        None,
        "blank",
        {},
        {"content": "blank"},
        {**seed.side_to_json(BLANK), "content": "empty"},
        {**seed.side_to_json(BLANK), "data_exists": 0},
        {**seed.side_to_json(BLANK), "uuids": [1]},
        {**seed.side_to_json(BLANK), "uuids": 1},
        {**seed.side_to_json(BLANK), "seen": None},
        {**seed.side_to_json(BLANK), "started": True},
        {**seed.side_to_json(BLANK), "more": 1},
        [["content", "blank"]],
    ],
)
def test_nonsense_is_unknown(told: object) -> None:
    side = seed.side_from_json(told)
    assert side.content is Content.UNKNOWN
