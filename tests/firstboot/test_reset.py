"""ksnode reset: typed names, and nothing erased that is not this pair's."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import pytest

from firstboot import data, files, latches
from firstboot.commands import CommandError, Result
from firstboot.journal import STATE
from firstboot.node import Identity, partition_uuid
from firstboot.rendezvous.session import Meeting
from firstboot.seed import Content, Side
from firstboot.steps import Context
from firstboot.verbs.reset import may_erase, not_typed, reset, start_over
from tests.firstboot.conftest import Told, an_identity
from tests.firstboot.test_steps import lay

MIB = 1 << 20
NAMED = Side(Content.OURS, "DRBD metadata")


class Doing:
    """A door for programs that remembers, and fails where told to."""

    def __init__(self, failing: str = "") -> None:
        self.done: list[str] = []
        self._failing = failing

    def __call__(self, argv: Sequence[str], **_: Any) -> Result:
        self.done.append(" ".join(argv))
        if self._failing and self._failing in self.done[-1]:
            raise CommandError(Result(tuple(argv), 1, "", "busy"))
        return Result(tuple(argv), 0, "vda" if argv[0] == "lsblk" else "", "")


@pytest.fixture
def identity() -> Identity:
    return an_identity()


def a_node(root: Path, identity: Identity, run: Doing) -> Context:
    """A node with a data partition full of bytes, secrets and latches."""
    disk = root / "dev/vda6"
    lay(root, "dev/vda6", "")
    disk.write_bytes(b"x" * 8 * MIB)
    link = root / "dev/disk/by-partuuid" / partition_uuid(identity.pair.id, identity.node, "data")
    link.parent.mkdir(parents=True)
    link.symlink_to(disk)
    lay(root, "sys/class/block/vda6/partition", "6\n")
    lay(root, "sys/class/block/vda6/uevent", "PARTNAME=ks-data\n")
    lay(root, "etc/ksbuild/secrets/drbd", "s")
    lay(root, "etc/ksbuild/node.json", "kept")
    lay(root, "etc/ksbuild/introduction/node.key", "kept")
    lay(root, "var/lib/pacemaker/cib/cib.xml", "x")
    lay(root, f"{STATE}/journal.jsonl", "kept")
    for latch in (latches.SEED_STARTED, latches.SECRETS_STORED):
        latches.set_once(root, latch, "{}")
    return Context(identity, root, run, Told(), Meeting(identity, root, "boot"))


def looks(monkeypatch: pytest.MonkeyPatch, side: Side) -> None:
    monkeypatch.setattr(data, "look", lambda *_, **__: side)


@pytest.mark.parametrize(
    ("node", "cluster", "latch", "refused"),
    [
        (None, None, None, "--node justinian"),
        ("julius", None, None, "--node justinian"),
        ("justinian", None, None, ""),
        ("justinian", None, latches.DATA_EXISTS, "--cluster 00014"),
        ("justinian", "14", latches.COMPLETE, "--cluster 00014"),
        ("justinian", "00014", latches.DATA_EXISTS, ""),
    ],
)
def test_names_are_typed(
    tmp_path: Path,
    identity: Identity,
    node: Optional[str],
    cluster: Optional[str],
    latch: Optional[str],
    refused: str,
) -> None:
    if latch:
        latches.set_once(tmp_path, latch, "")
    answer = not_typed(identity, tmp_path, node, cluster)
    assert refused in answer
    assert bool(answer) == bool(refused)


def test_untyped_stops_nothing(tmp_path: Path, identity: Identity) -> None:
    assert reset(identity, tmp_path, argparse.Namespace(node=None, cluster=None)) == 5
    assert not list(tmp_path.iterdir())


def test_ours_is_erased_and_the_attempt_forgotten(
    tmp_path: Path, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Doing()
    context = a_node(tmp_path, identity, run)
    looks(monkeypatch, NAMED)
    assert start_over(context) == 0
    content = (tmp_path / "dev/vda6").read_bytes()
    assert content[:MIB] == content[-MIB:] == bytes(MIB)
    assert content[MIB:-MIB] == b"x" * 6 * MIB
    order = [command.split()[0] for command in run.done]
    expected = ["systemctl", "drbdadm", "lsblk", "sfdisk", "partx", "wipefs", "udevadm"]
    assert order == expected
    assert run.done[3].endswith("/dev/vda 6 ks-wiped")
    assert os.listdir(tmp_path / STATE) == ["journal.jsonl"]
    assert not (tmp_path / files.SECRETS).exists()
    assert not (tmp_path / "var/lib/pacemaker/cib").exists()
    assert (tmp_path / "etc/ksbuild/node.json").exists()
    assert (tmp_path / "etc/ksbuild/introduction/node.key").exists()


def test_udev_may_take_the_link_away_meanwhile(
    tmp_path: Path, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks at the partition anew once its name changed; the kernel's own name stays."""

    class Udev(Doing):
        def __call__(self, argv: Sequence[str], **options: Any) -> Result:
            if argv[0] == "partx":
                for link in (tmp_path / "dev/disk/by-partuuid").iterdir():
                    link.unlink()
            return super().__call__(argv, **options)

    run = Udev()
    context = a_node(tmp_path, identity, run)
    looks(monkeypatch, NAMED)
    assert start_over(context) == 0
    assert f"wipefs --all {tmp_path}/dev/vda6" in run.done
    assert (tmp_path / "dev/vda6").read_bytes()[:MIB] == bytes(MIB)


def test_a_node_that_came_back_by_a_ticket_has_to_be_installed(
    tmp_path: Path,
    identity: Identity,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It has no introduction by which it could meet a new pair."""
    context = a_node(tmp_path, identity, Doing())
    lay(tmp_path, "etc/ksbuild/rejoin/node.crt", "")
    looks(monkeypatch, NAMED)
    assert start_over(context) == 0
    assert "next: install this node again, from the pair's own medium" in capsys.readouterr().out


@pytest.mark.parametrize("content", [Content.FOREIGN, Content.UNKNOWN])
def test_what_is_not_ours_is_left_alone(
    tmp_path: Path, identity: Identity, monkeypatch: pytest.MonkeyPatch, content: Content
) -> None:
    run = Doing()
    context = a_node(tmp_path, identity, run)
    looks(monkeypatch, Side(content, "xfs"))
    assert start_over(context) == 5
    assert (tmp_path / "dev/vda6").read_bytes() == b"x" * 8 * MIB
    assert latches.is_set(tmp_path, latches.SEED_STARTED)
    assert [command.split()[0] for command in run.done] == ["systemctl", "drbdadm"]


@pytest.mark.parametrize("program", ["sfdisk", "partx", "wipefs"])
def test_cut_off_anywhere_it_is_started_once_more(
    tmp_path: Path, identity: Identity, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    context = a_node(tmp_path, identity, Doing(program))
    looks(monkeypatch, NAMED)
    with pytest.raises(CommandError):
        start_over(context)
    assert latches.is_set(tmp_path, latches.SEED_STARTED), "it still counts as begun"
    lay(tmp_path, "sys/class/block/vda6/uevent", "PARTNAME=ks-wiped\n")
    looks(monkeypatch, Side(Content.UNKNOWN, "nothing signed, and yet not zero"))
    again = Context(identity, tmp_path, Doing(), Told(), context.meeting)
    assert start_over(again) == 0
    assert os.listdir(tmp_path / STATE) == ["journal.jsonl"]


def test_which_contents_may_be_erased() -> None:
    allowed = {(c, m) for c in Content for m in (False, True) if may_erase(Side(c, ""), m)}
    ours = {(c, m) for c in (Content.BLANK, Content.WIPED, Content.OURS) for m in (False, True)}
    assert allowed == ours | {(Content.UNKNOWN, True)}
