"""A node's half as it sees it: kernel log, disk, libvirt; and how the peer is asked for it."""

import shutil
from pathlib import Path

import pytest

from firstboot import latches
from firstboot.drbd import dump_metadata
from firstboot.node import Identity
from firstboot.rendezvous.credentials import PAIR
from firstboot.rendezvous.session import Meeting
from firstboot.splitbrain import look
from firstboot.splitbrain.half import Half
from firstboot.steps import Context
from tests.firstboot.conftest import ScriptedRun, Told, an_identity
from tests.firstboot.test_splitbrain import half

ALONE = "StandAlone ro:Secondary/Unknown ds:UpToDate/DUnknown r-----"


def lay_drbd(root: Path, state: str) -> None:
    (root / "proc/drbd").write_text(f" 0: cs:{state}\n    ns:0 oos:64\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/mounts").write_text("")
    lay_drbd(tmp_path, ALONE)
    return tmp_path


def test_the_peer_tells_its_half_to_the_pair_alone(
    roots: "dict[str, Path]", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two meetings over TLS: asked by name, looked at once, and only in sessions of the pair."""
    looked: list[str] = []

    def one(identity: Identity, *_: object) -> Half:
        looked.append(identity.node)
        return half(identity.node, mounted=True)

    monkeypatch.setattr(look, "look", one)
    meetings = {}
    for name in ("justinian", "julius"):
        root = tmp_path / name
        shutil.copytree(roots[name] / "etc/ksbuild/introduction", root / "etc/ksbuild/pair")
        shutil.copytree(roots[name] / "etc/ksbuild/introduction", root / "etc/ksbuild/introduction")
        identity = an_identity(name)
        meetings[name] = Meeting(identity, root, f"boot-{name}", port=18447)
        teller = look.Teller(identity, root, ScriptedRun())
        meetings[name].admit(teller.answer)
        assert teller.answer("introduction", {look.TOPIC: {"asks": "x"}}) == {}
        assert teller.answer(PAIR, {look.TOPIC: "x"}) == {}
    me = an_identity("justinian")
    context = Context(me, tmp_path / "justinian", ScriptedRun(), Told(), meetings["justinian"])
    assert look.ask(context) is None, "nobody answers yet"
    meetings["julius"].start()
    try:
        assert look.ask(context) == half("julius", mounted=True)
        assert look.ask(context) == half("julius", mounted=True)
    finally:
        meetings["julius"].stop()
    assert looked == ["julius", "julius"]


def test_metadata_is_copied_in_either_dialect(tmp_path: Path) -> None:
    run = ScriptedRun()
    for version, drbd9 in (("v09", True), ("v08", False)):
        run.expect(f"drbdmeta --force 0 {version} {tmp_path} internal dump-md", "x")
        assert dump_metadata(run, tmp_path, drbd9=drbd9) == "x"
    run.assert_finished()


def test_only_a_complete_node_names_it(root: Path) -> None:
    run, identity = ScriptedRun(), an_identity(platform="debian12-lab")
    assert look.reasons(identity, root, run) == []
    latches.set_once(root, latches.COMPLETE, "")
    run.expect("dmesg --time-format iso", "", 127)
    (reason,) = look.reasons(identity, root, run)
    assert (reason["event"], reason["next"]) == ("stands alone", "ksnode resolve")
    lay_drbd(root, "Connected ro:Secondary/Primary ds:UpToDate/UpToDate C r-----")
    assert look.reasons(identity, root, run) == []
    run.assert_finished()
