"""Two real agents exchange the pair's secrets over TLS on loopback, with real openssl."""

import contextlib
import json
import logging
import subprocess
from pathlib import Path
from typing import Any

import pytest

from firstboot import files, latches
from firstboot.commands import run
from firstboot.engine import Refused
from firstboot.rendezvous import credentials, session
from firstboot.rendezvous.authority import check_leaf
from firstboot.rendezvous.session import NotMet, NotOfThisPair
from tests.firstboot.agents import KEYS, NAMES, Cut, Pair
from tests.firstboot.conftest import ONE_PYTHON, a_ca
from tests.firstboot.living import logged


@pytest.fixture(scope="module")
def introduction(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_ca(tmp_path_factory.mktemp("introduction") / "ca")


@pytest.fixture
def pair(tmp_path: Path, introduction: Path, monkeypatch: pytest.MonkeyPatch) -> Pair:
    made = Pair(tmp_path, introduction)
    monkeypatch.setattr(session, "QUIET_S", 0.0)
    for name in ("replace", "create"):
        real = getattr(files, name)

        def writing(target: Path, content: bytes, mode: int, real: Any = real) -> None:
            made.cut(target, "before")
            real(target, content, mode)
            made.cut(target, "after")

        monkeypatch.setattr(files, name, writing)
    return made


def assert_as_it_should_be(pair: Pair) -> None:
    for path in ("pair/ca.crt", "pair/ca.key", "secrets/authkey", "secrets/drbd"):
        assert pair.read("justinian", path) == pair.read("julius", path)
    assert pair.read("julius", "pair/peer-ssh-host-keys") == KEYS["justinian"] + "\n"
    assert pair.read("justinian", "pair/peer-ssh-host-keys") == KEYS["julius"] + "\n"
    for name, peer in (NAMES, NAMES[::-1]):
        known = pair.roots[name] / "etc/ssh/ksbuild_known_hosts"
        assert known.read_text().partition(" ")[2] == KEYS[peer] + "\n"
        assert known.read_text().startswith(f"{peer},")
        assert known.stat().st_mode & 0o777 == 0o644
    for root in pair.roots.values():
        for folder in ("pair", "secrets"):
            assert (root / "etc/ksbuild" / folder).stat().st_mode & 0o777 == 0o700
            for file in (root / "etc/ksbuild" / folder).iterdir():
                assert file.stat().st_mode & 0o777 == 0o600, file
    for name, root in pair.roots.items():
        for leaf, named in (("node", name), ("guests", f"{name}-bond")):
            ca, certificate = (pair.read(name, f"pair/{kind}.crt") for kind in ("ca", leaf))
            check_leaf(run, ca, certificate, root / f"etc/ksbuild/pair/{leaf}.key", named)
    talk_by_the_pair_alone(pair)


def talk_by_the_pair_alone(pair: Pair) -> None:
    """Both directions of a fresh meeting, and the introduction in both directions refused."""
    meetings = [pair.meeting(name) for name in NAMES]
    for meeting in meetings:
        meeting.start()
    try:
        for meeting in meetings:
            assert meeting.ask().kind == credentials.PAIR
            with pytest.raises(NotOfThisPair):
                meeting._ask(credentials.INTRODUCTION)
    finally:
        for meeting in meetings:
            meeting.stop()


def test_both_end_with_the_same_secrets_and_refuse_the_introduction(pair: Pair) -> None:
    pair.run()
    assert_as_it_should_be(pair)
    assert len(pair.read("justinian", "secrets/authkey")) == 344
    assert len(pair.read("justinian", "secrets/drbd")) == 48


def test_no_secret_is_logged_told_or_kept_where_others_read(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "firstboot.commands")  # an agent that stays hushes it
    pair.run()
    said = caplog.text + json.dumps(pair.told.events)
    assert "openssl genpkey" in said, "the log was not seen at all"
    for name in NAMES:
        for path in ("secrets/authkey", "secrets/drbd", "pair/node.key", "pair/guests.key"):
            secret = pair.read(name, path)
            assert secret[40:80] not in said
            for other in pair.roots[name].rglob("*"):
                if other.is_file() and other.stat().st_mode & 0o077:
                    assert secret[40:80] not in other.read_text(errors="replace")


def test_no_program_is_started_with_a_secret(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the pair or of the introduction, in arguments or environment; openssl is the real one."""
    shown: list[str] = []
    real = subprocess.run

    def noted(argv: "list[str]", **options: Any) -> "subprocess.CompletedProcess[Any]":
        shown.extend([*argv, *(f"{name}={word}" for name, word in options["env"].items())])
        return real(argv, **options)

    monkeypatch.setattr(subprocess, "run", noted)
    pair.run()
    assert {"openssl", "genpkey", "LANG=C.UTF-8"} <= set(shown)
    for name in NAMES:
        keys = [*(pair.roots[name] / "etc/ksbuild").rglob("*.key")]
        assert {key.parent.name for key in keys} == {"introduction", "pair"}
        lines = [line for key in keys for line in key.read_text().splitlines()[1:-1]]
        secrets = [pair.read(name, "secrets/authkey"), pair.read(name, "secrets/drbd"), *lines]
        assert not [secret for secret in secrets if any(secret in word for word in shown)]


WRITES = {
    "justinian": [
        *("guests.key", "node.key", "ca.key", "ca.crt", "guests.crt", "node.crt"),
        *("authkey", "drbd", "peer-ssh-host-keys"),
        "secrets-stored",
    ],
    "julius": [
        *("guests.key", "node.key", "ca.crt", "guests.crt", "node.crt"),
        *("peer-ssh-host-keys", "authkey", "drbd", "ca.key"),
        "secrets-stored",
    ],
}


def test_these_are_the_writes_there_are(pair: Pair) -> None:
    seen: dict[str, list[str]] = {name: [] for name in NAMES}
    roots = {root: name for name, root in pair.roots.items()}

    def note(path: Path, when: str) -> None:
        for root, name in roots.items():
            if root in path.parents and when == "after":
                seen[name].append(path.name)

    pair.cut = note
    pair.run()
    assert {name: sorted(made) for name, made in seen.items()} == {
        name: sorted(made) for name, made in WRITES.items()
    }


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("node", "write"),
    [
        pytest.param(node, write, marks=[] if write == "ca.crt" else [ONE_PYTHON])
        for node in NAMES
        for write in WRITES[node]
    ],
)
def test_a_cut_at_any_write_costs_nothing(pair: Pair, node: str, write: str, when: str) -> None:
    cuts: list[Path] = []

    def cut(path: Path, moment: str) -> None:
        here = path.name == write and moment == when and pair.roots[node] in path.parents
        if here and len(cuts) < 2:  # and once more when it comes back
            cuts.append(path)
            raise Cut

    pair.cut = cut
    pair.run()
    assert cuts, "it was never cut"
    assert_as_it_should_be(pair)


def test_a_first_node_installed_again_before_the_switch_is_followed(pair: Pair) -> None:
    """The second has a leaf of a CA that is gone, but nobody uses that CA yet."""

    def no_latch(path: Path, _when: str) -> None:
        if path.name == "secrets-stored":
            raise Cut

    pair.cut = no_latch
    meetings = {name: pair.meeting(name) for name in NAMES}
    steps = {name: pair.step(name, meeting) for name, meeting in meetings.items()}
    with contextlib.ExitStack() as stack:
        for name in NAMES:
            steps[name]._make_own()
            meetings[name].start()
            stack.callback(meetings[name].stop)
        cuts = 0
        for name in NAMES * 20:
            try:
                steps[name].advance()
                meetings[name].ask()
            except Cut:
                cuts += 1
        assert cuts, "they never came as far"
    pair.cut = lambda _path, _when: None
    forget(pair.roots["justinian"])
    old = pair.read("julius", "pair/ca.crt")
    pair.run()
    assert pair.read("julius", "pair/ca.crt") != old
    assert_as_it_should_be(pair)


def forget(root: Path) -> None:
    for folder in ("etc/ksbuild/pair", "etc/ksbuild/secrets", "var/lib/ksbuild"):
        for path in (root / folder).glob("*"):
            path.unlink()


def test_a_node_installed_again_after_the_switch_is_kept_out(pair: Pair) -> None:
    pair.run()
    forget(pair.roots["julius"])
    first, second = (pair.meeting(name) for name in NAMES)
    first.start()
    try:
        with pytest.raises(NotOfThisPair):
            second.ask()
    finally:
        first.stop()


def test_what_a_guest_may_read_opens_no_session(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    """QEMU's key is in reach of a guest that breaks out of it."""
    pair.run()
    folder = pair.roots["julius"] / "etc/ksbuild/pair"
    for kind in ("key", "crt"):
        (folder / f"guests.{kind}").replace(folder / f"node.{kind}")
    first, second = (pair.meeting(name) for name in NAMES)
    first.start()
    try:
        with pytest.raises(NotMet):
            second.ask()
        assert logged(caplog, "the certificate names 'julius-bond'")
    finally:
        first.stop()


def test_a_secret_that_is_gone_is_refused_not_made_anew(pair: Pair) -> None:
    pair.run()
    (pair.roots["julius"] / "etc/ksbuild/secrets/authkey").unlink()
    with pytest.raises(Refused, match=r"gone here: .*/authkey"):
        pair.step("julius", pair.meeting("julius")).check()


def test_private_topics_stay_out_of_the_introduction(pair: Pair) -> None:
    first, second = (pair.meeting(name) for name in NAMES)
    first.start()
    try:
        first.tell("shared", "a secret", private=True)
        second.tell("shared", {"stored": "anything"}, private=True)
        assert "shared" not in second.ask().told
        assert first.heard("shared", private=True) is None
        # Even told openly it does not count: whoever holds the medium could.
        second.tell("shared", {"stored": "anything"})
        second.ask()
        assert first.heard("shared") is not None
        assert first.heard("shared", private=True) is None
    finally:
        first.stop()


def test_a_session_opened_before_the_switch_ends_with_it(pair: Pair) -> None:
    meeting = pair.meeting("justinian")
    peers = pair.meeting("julius")._state(credentials.INTRODUCTION)
    meeting._heard(peers, credentials.INTRODUCTION)
    latches.set_once(pair.roots["justinian"], latches.SECRETS_STORED, "{}")
    with pytest.raises(NotOfThisPair, match="closed while"):
        meeting._heard(peers, credentials.INTRODUCTION)
