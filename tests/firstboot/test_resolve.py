"""ksnode resolve: names typed, commands in order, and the same again after any crash."""

import argparse
import json
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

from firstboot.commands import CommandError, Result
from firstboot.journal import STATE
from firstboot.node import Identity
from firstboot.rendezvous.session import Meeting
from firstboot.splitbrain import look
from firstboot.splitbrain.half import Half
from firstboot.splitbrain.table import Part
from firstboot.steps import Context
from firstboot.verbs import resolve as verb
from firstboot.verbs.waiting import NotYet
from tests.firstboot.conftest import Told, a_pair, an_identity
from tests.firstboot.test_splitbrain import half

BAN = "crm_resource --ban --promoted --resource ks-drbd-clone --node justinian"
CLEAR = "crm_resource --clear --resource ks-drbd-clone --node justinian"
FORGET = (
    "cibadmin --delete-all --force --xpath "
    """'//rsc_location[@id='"'"'drbd-fence-by-handler-vmdata-ks-drbd-clone'"'"']'"""
)
NEWEST = ["cibadmin --query", "cibadmin --modify", FORGET, "cibadmin --create", CLEAR]
DUMP = "drbdmeta --force 0 v08"
MET = "SyncTarget ro:Secondary/Primary ds:Inconsistent/UpToDate C r-----"
DONE = "Connected ro:Secondary/Primary ds:UpToDate/UpToDate C r-----"
ALONE = "StandAlone ro:Secondary/Unknown ds:UpToDate/DUnknown r-----"
WAITS = "WFConnection ro:Secondary/Unknown ds:UpToDate/DUnknown C r-----"


class Node:
    """A node's kernel, as far as the verb sees it: each command may change /proc/drbd."""

    def __init__(self, root: Path, *, cluster: bool) -> None:
        self.root, self.cluster = root, cluster
        self.ran: list[str] = []
        self.fail_at = ""
        (root / "proc").mkdir()
        (root / STATE).mkdir(parents=True)
        self.be(ALONE)

    def be(self, state: str) -> None:
        (self.root / "proc/drbd").write_text(f" 0: cs:{state}\n    ns:0 oos:64\n")

    def __call__(
        self,
        argv: Sequence[str],
        *,
        stdin: Optional[str] = None,
        ok: "tuple[int, ...]" = (0,),
        timeout_s: float = 0,
    ) -> Result:
        del stdin, timeout_s
        command = shlex.join(argv)
        status, said = 0, ""
        if argv[0] == "crm_mon":
            status = 0 if self.cluster else 102
            said = "<r><summary><current_dc with_quorum='true'/></summary></r>"
        else:
            self.ran.append(command)
        if self.fail_at and command.startswith(self.fail_at):
            status = 1
        elif argv[0] == "drbdmeta":
            said = "version v08\n"
        elif command == "drbdadm disconnect vmdata":
            self.be(ALONE)
        elif command.startswith("drbdadm connect"):
            self.be(WAITS)
        result = Result(tuple(argv), status, said, "")
        if status not in ok:
            raise CommandError(result)
        return result

    @property
    def changes(self) -> "list[str]":
        """The commands, some without what varies or is tested elsewhere."""
        short = (DUMP, "cibadmin --modify", "cibadmin --create")
        return [next(filter(command.startswith, short), command) for command in self.ran]


@pytest.fixture
def identity() -> Identity:
    return replace(an_identity(), pair=a_pair("debian12-lab"))


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path, cluster=True)


def context_of(identity: Identity, node: Node) -> Context:
    meeting = Meeting(identity, node.root, "boot")
    return Context(identity, node.root, node, Told(), meeting)


def resolving(node: Node, *states: str) -> Callable[[float], None]:
    """A sleep in which the world goes on, one state after the other."""
    left = list(states)

    def sleep(_: float) -> None:
        if left:
            node.be(left.pop(0))

    return sleep


GIVE_WAY = [
    DUMP,
    BAN,
    "drbdadm secondary vmdata",
    "drbdadm connect --discard-my-data vmdata",
    CLEAR,
    FORGET,
]


def test_the_losing_node_in_order(
    identity: Identity, node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    verb.go(context_of(identity, node), Part.GIVE_WAY, sleep=resolving(node, WAITS, MET, DONE))
    assert node.changes == GIVE_WAY
    said = capsys.readouterr().out
    assert "on julius: ksnode resolve --discard justinian --cluster 00014" in said
    assert "SyncTarget, Secondary/Primary, Inconsistent/UpToDate" in said
    (copy,) = (node.root / STATE).glob("metadata-*.txt")
    assert (copy.read_text(), copy.stat().st_mode & 0o777) == ("version v08\n", 0o600)
    assert not (node.root / look.RECORD).exists()


def test_without_a_cluster_nobody_is_told(identity: Identity, tmp_path: Path) -> None:
    node = Node(tmp_path, cluster=False)
    node.be(WAITS)
    verb.go(context_of(identity, node), Part.GIVE_WAY, sleep=resolving(node, DONE))
    assert node.changes == [
        DUMP,
        "drbdadm disconnect vmdata",
        "drbdadm secondary vmdata",
        "drbdadm connect --discard-my-data vmdata",
    ]


@pytest.mark.parametrize("fail_at", GIVE_WAY)
def test_after_a_failure_at_any_command_the_same_goes_on(
    identity: Identity, node: Node, fail_at: str
) -> None:
    """Nothing is left out, and one copy of the metadata is kept: the first."""
    context = context_of(identity, node)
    node.fail_at = fail_at
    with pytest.raises(CommandError):
        verb.go(context, Part.GIVE_WAY, sleep=resolving(node, DONE))
    failed = len(node.ran)
    node.fail_at = ""
    again = Part.DONE if fail_at in (CLEAR, FORGET) else Part.GIVE_WAY
    verb.go(context, again, sleep=resolving(node, DONE))
    assert node.changes[failed:][-2:] == [CLEAR, FORGET]
    assert node.ran.count("drbdadm connect --discard-my-data vmdata") == 1 + (
        fail_at.startswith("drbdadm connect")
    )
    assert node.changes.count(DUMP) == 1 + (fail_at == DUMP)
    assert len(list((node.root / STATE).glob("metadata-*"))) == 1
    assert not (node.root / look.RECORD).exists()


def test_the_node_that_keeps_connects_and_waits(identity: Identity, node: Node) -> None:
    context = context_of(identity, node)
    verb.go(context, Part.KEEP, sleep=resolving(node, MET, DONE))
    assert node.changes == [*NEWEST, "drbdadm connect vmdata", CLEAR, FORGET]
    node.be(WAITS)
    verb.go(context, Part.KEEP, sleep=resolving(node, DONE))
    assert node.changes.count("drbdadm connect vmdata") == 1, "it waits for the peer already"


def test_a_half_that_was_to_go_may_be_kept_after_all(identity: Identity, node: Node) -> None:
    context = context_of(identity, node)
    with pytest.raises(NotYet):
        verb.go(context, Part.GIVE_WAY, sleep=resolving(node))
    begun = len(node.ran)
    verb.go(context, Part.KEEP, sleep=resolving(node, DONE))
    connects = ["drbdadm disconnect vmdata", *NEWEST, "drbdadm connect vmdata"]
    assert node.changes[begun:] == [*connects, CLEAR, FORGET]
    assert not (node.root / look.RECORD).exists()


@pytest.mark.parametrize("part", [Part.WAIT, Part.DONE])
def test_only_waiting(identity: Identity, node: Node, part: Part) -> None:
    node.be(MET)
    verb.go(context_of(identity, node), part, sleep=resolving(node, DONE))
    assert node.ran == [CLEAR, FORGET], "nothing of DRBD's"


def test_a_peer_that_does_not_come_or_parts_again(identity: Identity, node: Node) -> None:
    context = context_of(identity, node)
    with pytest.raises(NotYet, match="julius was not met"):
        verb.go(context, Part.GIVE_WAY, sleep=resolving(node))
    assert (node.root / look.RECORD).exists()
    node.be(WAITS)
    with pytest.raises(NotYet, match="StandAlone again"):
        verb.go(context, Part.WAIT, sleep=resolving(node, ALONE))


def typed(**more: Any) -> argparse.Namespace:
    given = {"discard": None, "cluster": None, "dry_run": False, "json": False}
    return argparse.Namespace(**{**given, **more})


@pytest.fixture
def halves(monkeypatch: pytest.MonkeyPatch) -> "dict[str, Optional[Half]]":
    """What both nodes see."""
    seen: dict[str, Optional[Half]] = {"mine": half(), "theirs": half("julius")}
    monkeypatch.setattr(look, "look", lambda *_: seen["mine"])
    monkeypatch.setattr(look, "ask", lambda *_: seen["theirs"])
    return seen


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"discard": "nero"}, "nero is none of justinian and julius"),
        ({"discard": "julius"}, "ksnode resolve --discard julius --cluster 00014"),
        ({"discard": "julius", "cluster": "14"}, "lost for ever"),
        ({"discard": "julius", "cluster": "00014"}, "nobody has typed on julius"),
    ],
)
def test_names_are_typed(
    identity: Identity,
    node: Node,
    halves: "dict[str, Optional[Half]]",
    capsys: pytest.CaptureFixture[str],
    given: "dict[str, str]",
    said: str,
) -> None:
    del halves
    (node.root / "run").mkdir()
    (node.root / "proc/sys/kernel/random").mkdir(parents=True)
    (node.root / "proc/sys/kernel/random/boot_id").write_text("boot\n")
    before = {p: p.read_bytes() for p in node.root.rglob("*") if p.is_file()}
    assert verb.resolve(identity, node.root, typed(**given)) == 5
    assert said in capsys.readouterr().err
    after = {p: p.read_bytes() for p in node.root.rglob("*") if p.is_file()}
    assert {p.name: c for p, c in after.items() if p not in before} in ({}, {"ksnode.lock": b""})
    assert all(after[p] == c for p, c in before.items())


def test_a_dry_run_and_a_look_change_nothing(
    identity: Identity,
    node: Node,
    halves: "dict[str, Optional[Half]]",
    capsys: pytest.CaptureFixture[str],
) -> None:
    (node.root / "run").mkdir()
    (node.root / "proc/sys/kernel/random").mkdir(parents=True)
    (node.root / "proc/sys/kernel/random/boot_id").write_text("boot\n")
    dry = typed(discard="justinian", cluster="00014", dry_run=True)
    assert verb.resolve(identity, node.root, dry) == 0
    assert "connect --discard-my-data" in capsys.readouterr().out
    assert verb.resolve(identity, node.root, typed(json=True)) == 0
    assert json.loads(capsys.readouterr().out)["relation"] == "split brain"
    halves["theirs"] = None
    assert verb.resolve(identity, node.root, typed()) == 0
    assert "julius: does not tell" in capsys.readouterr().out
    assert not (node.root / look.RECORD).exists()
