"""A node comes back to its pair by a ticket: two real agents' halves, real TLS, real openssl."""

import json
import shutil
from pathlib import Path

import pytest

from firstboot.commands import run
from firstboot.engine import Refused
from firstboot.rendezvous import authority, credentials, ticket
from firstboot.rendezvous.admission import Admission
from firstboot.rendezvous.session import NotMet, NotOfThisPair
from tests.firstboot.agents import NAMES
from tests.firstboot.conftest import a_ca, a_leaf, an_identity
from tests.firstboot.living import OTHER, Living, ask, formed, logged, pair

__all__ = ["formed", "pair"]


@pytest.mark.parametrize("survivor", NAMES)
def test_a_node_comes_back(pair: Living, survivor: str) -> None:
    """To either of the two; all is as before then, and the ticket is gone."""
    newcomer = OTHER[survivor]
    before = {
        path: pair.read(survivor, path)
        for path in ("pair/ca.key", "pair/node.crt", "secrets/authkey", "secrets/drbd")
    }
    pair.install(newcomer, pair.ticket(survivor))
    pair.run()
    for path, text in before.items():
        assert pair.read(survivor, path) == text, path
    assert pair.read(newcomer, "secrets/authkey") == before["secrets/authkey"]
    assert pair.read(newcomer, "pair/ca.key") == before["pair/ca.key"]
    for number, name in enumerate(NAMES, start=1):
        assert pair.read(newcomer, f"secrets/fence-{name}-1") == f"bmc {number}"
    assert pair.read(survivor, "pair/peer-ssh-host-keys").endswith(f"AAAAI{newcomer}New\n")
    assert not (pair.roots[survivor] / ticket.PATH).exists()
    they_meet_by_the_pair_alone(pair)
    newcomers = pair.roots[newcomer]
    authority.check_leaf(
        run,
        pair.read(survivor, "pair/ca.crt"),
        pair.read(newcomer, "pair/node.crt"),
        newcomers / "etc/ksbuild/pair/node.key",
        newcomer,
    )
    for folder in ("pair", "secrets"):
        for file in (newcomers / "etc/ksbuild" / folder).iterdir():
            assert file.stat().st_mode & 0o777 == 0o600, file


def test_ssh_knows_the_newcomer_as_soon_as_it_is_let_in(pair: Living) -> None:
    """The survivor's agent need not run its steps again for that."""
    root, key = pair.roots["julius"], "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINew"
    admission = Admission(an_identity("julius"), root, run)
    admission.answer(credentials.PAIR, {credentials.SHARED: {"host_keys": [key]}})
    known = (root / "etc/ssh/ksbuild_known_hosts").read_text()
    assert known.startswith("justinian,")
    assert known.endswith(f" {key}\n")


def they_meet_by_the_pair_alone(pair: Living) -> None:
    meetings = [pair.meeting(name) for name in NAMES]
    for meeting in meetings:
        meeting.start()
    try:
        for meeting in meetings:
            assert meeting.ask().kind == credentials.PAIR
    finally:
        for meeting in meetings:
            meeting.stop()


def test_a_ticket_opens_sessions_in_which_only_certificates_travel(pair: Living) -> None:
    given = pair.ticket("julius")
    pair.install("justinian", given)
    issuer = pair.meeting("julius")
    issuer.tell("leaf", "certificates")
    issuer.tell("verification", "open, and none of a newcomer's business")
    issuer.tell("shared", "private", private=True)
    issuer.start()
    try:
        heard = pair.meeting("justinian").ask()
    finally:
        issuer.stop()
    assert heard.kind == credentials.REJOIN
    assert set(heard.told) == {"leaf"}
    assert heard.told["leaf"]["ca"] == pair.read("julius", "pair/ca.crt")
    said = json.dumps(dict(heard.told))
    assert "PRIVATE" not in said


def test_used_up_it_opens_nothing_for_whoever_stole_it(pair: Living) -> None:
    given = pair.ticket("justinian")
    pair.install("julius", given)
    pair.run()
    pair.install("julius", given)  # the thief, in the peer's place
    with pytest.raises(NotOfThisPair, match="used up or expired; next: on justinian: ksnode"):
        ask(pair, "justinian")


GIVEN = ticket.Ticket("PEM", issued=1000, expires=4600, boot_id="a", deadline=5600)


@pytest.mark.parametrize(
    ("boot", "now", "monotonic", "why"),
    [
        ("a", 1000, 2000, ""),
        ("a", 9999, 5599, ""),  # within its boot the wall clock may be set as it likes
        ("a", 0, 5599, ""),
        ("a", 1000, 5600, "it expired at 1970-01-01 01:16 UTC"),
        ("b", 4599, 9999, ""),
        ("b", 4600, 0, "it expired at"),
        ("b", 999, 0, "the clock was set back"),
    ],
)
def test_when_it_expires(boot: str, now: float, monotonic: float, why: str) -> None:
    found = ticket.shut(GIVEN, boot, now, monotonic)
    assert found.startswith(why)
    assert bool(found) == bool(why)


def test_expired_it_opens_nothing(pair: Living) -> None:
    pair.install("julius", pair.ticket("justinian"))
    assert ask(pair, "justinian").kind == credentials.REJOIN
    shorten(pair.roots["justinian"])
    with pytest.raises(NotOfThisPair, match="used up or expired; next: on justinian: ksnode"):
        ask(pair, "justinian")


def shorten(root: Path) -> None:
    """The ticket that is open there expires now."""
    kept = json.loads((root / ticket.PATH).read_text())
    (root / ticket.PATH).write_text(json.dumps({**kept, "deadline": 0, "expires": 0}))


def test_who_has_its_certificate_already_may_come_back_later(pair: Living) -> None:
    """Cut off between certificate and secrets, and the ticket expires meanwhile."""
    pair.install("julius", pair.ticket("justinian"))
    issuer, meeting = pair.meeting("justinian"), pair.meeting("julius")
    step = pair.step("julius", meeting)
    step._make_own()
    issuer.start()
    try:
        while not (pair.roots["julius"] / "etc/ksbuild/pair/node.crt").exists():
            step.advance()
            meeting.ask()
    finally:
        issuer.stop()
    assert not (pair.roots["julius"] / "etc/ksbuild/secrets/authkey").exists()
    shorten(pair.roots["justinian"])
    pair.run()
    they_meet_by_the_pair_alone(pair)


def test_the_ticket_before_the_last_opens_nothing(pair: Living) -> None:
    pair.install("julius", pair.ticket("justinian"))
    pair.ticket("justinian")
    with pytest.raises(NotMet):
        ask(pair, "justinian")


def test_two_newcomers_by_one_ticket(pair: Living) -> None:
    """The second has other keys; it is told so, and the first goes on."""
    given = pair.ticket("justinian")
    pair.install("julius", given)
    issuer = pair.meeting("justinian")
    issuer.start()
    try:
        first, second = pair.meeting("julius"), pair.meeting("julius")
        one = pair.step("julius", first)
        one._make_own()
        one.advance()
        first.ask()
        (pair.roots["julius"] / "etc/ksbuild/pair").rename(pair.roots["julius"] / "etc/first")
        two = pair.step("julius", second)
        two._make_own()
        two.advance()
        second.ask()
        with pytest.raises(Refused, match="another installation uses this ticket") as refused:
            two.advance()
        assert "on justinian: ksnode allow-rejoin" in refused.value.way_out
        shutil.rmtree(pair.roots["julius"] / "etc/ksbuild/pair")
        (pair.roots["julius"] / "etc/first").rename(pair.roots["julius"] / "etc/ksbuild/pair")
    finally:
        issuer.stop()
    pair.run()
    they_meet_by_the_pair_alone(pair)


def test_no_other_leaf_opens_it(
    pair: Living, formed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not another pair's ticket, nor one of its own making, nor the introduction."""
    pair.install("julius", pair.ticket("justinian"))
    folder = pair.roots["julius"] / "etc/ksbuild/rejoin"
    kept = {file: (folder / file).read_text() for file in ("node.crt", "node.key")}
    authority.make_key(run, folder / "node.key")
    (folder / "node.crt").write_text(
        authority.sign_itself(run, folder / "node.key", "julius", "leaf")
    )
    with pytest.raises(NotMet):
        ask(pair, "justinian")
    a_leaf(formed / "introduction", tmp_path / "other", "julius")
    for file in kept:
        (folder / file).write_bytes(
            (tmp_path / "other/etc/ksbuild/introduction" / file).read_bytes()
        )
    with pytest.raises(NotMet):
        ask(pair, "justinian")
    assert logged(caplog, "CERTIFICATE_VERIFY_FAILED", 2)
    (folder.parent / "introduction").mkdir()
    for file in ("ca.crt", "node.crt", "node.key"):
        source = tmp_path / "other/etc/ksbuild/introduction" / file
        (folder.parent / "introduction" / file).write_bytes(source.read_bytes())
    shutil.rmtree(folder)
    with pytest.raises(NotOfThisPair):
        ask(pair, "justinian", credentials.INTRODUCTION)


def test_a_newcomer_takes_no_other_node_for_its_peer(pair: Living, tmp_path: Path) -> None:
    """Its medium holds the pair's CA: whoever answers with another is refused."""
    pair.install("julius", pair.ticket("justinian"))
    (pair.roots["julius"] / "etc/ksbuild/rejoin/ca.crt").write_bytes(
        (a_ca(tmp_path / "another") / "ca.crt").read_bytes()
    )
    with pytest.raises(NotOfThisPair):
        ask(pair, "justinian")


def test_the_one_time_leaf_opens_none_of_the_pairs_sessions(
    pair: Living, caplog: pytest.LogCaptureFixture
) -> None:
    pair.install("julius", pair.ticket("justinian"))
    rejoin, own = (pair.roots["julius"] / f"etc/ksbuild/{kind}" for kind in ("rejoin", "pair"))
    shutil.copytree(rejoin, own)
    issuer = pair.meeting("justinian")
    issuer.start()
    try:
        with pytest.raises(NotMet):
            pair.meeting("julius")._ask(credentials.PAIR)
    finally:
        issuer.stop()
    assert logged(caplog, "CERTIFICATE_VERIFY_FAILED")
