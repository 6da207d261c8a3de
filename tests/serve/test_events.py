"""What a node may tell, and how it reads on the page."""

from pathlib import Path
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.serve.events import DETAIL_CHARACTERS, EVENTS, LARGEST_BYTES, Event, EventError, parse
from builder.serve.stages import _STATES, _STEPS, NAMES, TITLES, Said, split, way
from firstboot.engine import Refused
from firstboot.sequence import SEQUENCE
from tests.builder.conftest import planned
from tests.serve.running import profile


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"stage=host", b"event=ok", b"stage=host&event=ok&x=1", b"stage=host&stage=host"),
        *(b"stage=none&event=ok", b"stage=host&event=none", b"stage=&event=", b"{}", b"\xff"),
        *(b"stage=host&event=ok&detail", b"stage=host;event=ok", b"stage=host&event=ok&event=ok"),
        *(b"&" * 1000, b"stage=host&event=ok&detail=a&detail=b", b"stage=host&event=ok\x00"),
        b"x" * (LARGEST_BYTES + 1),
    ],
)
def test_what_is_no_event(body: bytes) -> None:
    with pytest.raises(EventError) as caught:
        parse(body)
    assert "host" not in str(caught.value)


@given(st.binary(max_size=300))
def test_any_bytes_are_an_event_or_are_not(body: bytes) -> None:
    try:
        event = parse(body)
    except EventError:
        return
    assert event.stage in NAMES


@given(st.sampled_from(NAMES), st.sampled_from(sorted(EVENTS)), st.text())
def test_what_was_said_is_kept_but_for_what_controls(stage: str, event: str, detail: str) -> None:
    found = parse(
        urlencode({"stage": stage, "event": event, "detail": detail}, errors="replace").encode()
    )
    assert (found.stage, found.event) == (stage, event)
    assert len(found.detail) <= DETAIL_CHARACTERS
    assert all(
        c == "\n" or c == "\t" or c.isprintable() or c.isspace() or ord(c) > 126
        for c in found.detail
    )
    assert not set(found.detail) & set("\x00\x07\x1b\x7f\x9b\u202e\u2066")
    found.detail.encode()


def test_the_detail_is_bounded() -> None:
    detail = "\N{SNOWMAN}" * 7000
    event = parse(urlencode({"stage": "host", "event": "ok", "detail": detail}).encode())
    assert event.detail == detail
    event = parse(b"stage=host&event=ok&detail=" + b"x" * 60_000)
    assert len(event.detail) == DETAIL_CHARACTERS


def test_every_step_has_a_title_of_its_own() -> None:
    assert _STEPS.keys() == {step.name for step in SEQUENCE}
    assert len(set(TITLES.values())) == len(TITLES)
    assert _STATES.keys() == EVENTS


def test_every_event_of_the_agent_is_one(root: Path) -> None:
    """The engine's own words, and what the kickstart tells."""
    words = "ok, missing, done, absent, waiting, refused,\n        failed"
    assert words in (root / "firstboot/engine.py").read_text()
    assert {word.strip() for word in words.split(",")} <= EVENTS
    one = profile()
    from builder.plan.tokens import Progress

    told = planned(one, progress=Progress("http://x", {n.name: "t" for n in one.node})).either
    said = [line.split()[1:3] for line in told.splitlines() if line.strip().startswith("progress ")]
    assert len(said) >= 9
    for stage, event in said:
        assert Event(stage, event) == parse(f"stage={stage}&event={event}".encode())


def rows(**said: tuple[str, str]) -> dict[str, str]:
    heard = {name.replace("_", "-"): Said(*what, 1.0, 2.0) for name, what in said.items()}
    return {row.name: row.state for row in way("n", heard).rows}


def test_what_lies_behind_is_done() -> None:
    states = rows(packages=("started", ""))
    assert [states[n] for n in ("installer", "kickstart", "disk")] == ["done"] * 3
    assert states["packages"] == "running"
    assert states["installed"] == "ahead"
    states = rows(disk=("started", ""), first_boot=("done", ""), rendezvous=("waiting", "nobody"))
    assert states["disk"] == "done"
    assert states["rendezvous"] == "waiting"
    assert states["secrets"] == states["report"] == "ahead"


def test_what_was_refused_stays_refused_though_later_stages_were_heard() -> None:
    states = rows(fencing=("refused", "x; next: y"), mounted=("ok", ""))
    assert states["fencing"] == "refused"
    assert states["replication"] == "done"


def test_nothing_heard_is_nothing_said() -> None:
    nothing = way("n", {})
    assert nothing.now is None
    assert nothing.heard is None
    assert not nothing.complete
    assert {row.state for row in nothing.rows} == {"ahead"}


def test_complete() -> None:
    done = way("n", {"result": Said("complete", "", 1.0, 2.0), "report": Said("done", "r", 1, 1)})
    assert done.complete
    assert [row.name for row in done.rows if row.state == "ahead"] == ["alerts", "answering"]
    assert way("n", {"answering": Said("ok", "", 1.0, 2.0)}).complete, "only such a node says it"


def test_a_sync_shows_its_share() -> None:
    text = (
        "vmdata: SyncSource, Secondary/Secondary, UpToDate/Inconsistent, 31.4% done, 12 min to go"
    )
    (row,) = [r for r in way("n", {"replication": Said("waiting", text, 1, 2)}).rows if r.percent]
    assert row.percent == 31.4
    assert row.detail == text
    for nonsense in ("999%", "1.2.3 %", "-5 %x", "5000 %"):
        found = way("n", {"replication": Said("waiting", nonsense, 1, 2)}).rows
        assert all(r.percent is None or 0 <= r.percent <= 100 for r in found)


def test_evidence_and_next_command_as_the_agent_and_pre_word_them() -> None:
    refusal = Refused("the BMC at 10.0.1.112 is julius's own", "mend node.fencing; ksnode run")
    said = f"{refusal.evidence}; next: {refusal.way_out}"
    assert split(said) == (refusal.evidence, refusal.way_out)
    told = "/dev/sda is neither blank nor this node's\nsda 10G\nNext: if nobody needs it,\n  wipe"
    evidence, then = split(told)
    assert evidence.endswith("sda 10G")
    assert then.startswith("if nobody")
    assert split("just that") == ("just that", "")
    assert split("") == ("nothing was said", "")


@pytest.mark.parametrize("stage", ["apply", "update"])
def test_what_is_seldom_shows_once_it_was_heard_of(stage: str) -> None:
    assert stage not in rows()
    assert stage not in rows(result=("complete", ""), answering=("ok", ""))
    assert rows(**{stage: ("failed", "x; next: y")})[stage] == "failed"
