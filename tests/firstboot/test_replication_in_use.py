"""The replication step where the peer's cluster has the data in its hands already."""

import json
from pathlib import Path

import pytest

from firstboot import files, latches
from tests.firstboot import devices
from tests.firstboot.test_filesystem import GET_GI, Peer
from tests.firstboot.test_replication import HAS_DATA, IS_ACTIVE, World, expect_look, world


def in_use(root: Path, node: str) -> World:
    here = world(root, [HAS_DATA], node=node)
    assert isinstance(here.context.meeting, Peer)
    here.context.meeting.come_through = frozenset({"replication", "cluster", "mounted"})
    return here


@pytest.mark.parametrize("node", ["justinian", "julius"])
def test_metadata_is_made_and_the_rest_left_to_pacemaker(tmp_path: Path, node: str) -> None:
    """DRBD's handlers, which let the node be promoted again, need pacemaker when the sync ends."""
    here = in_use(tmp_path, node)
    with devices.partition(tmp_path, here.context.identity):
        step = here.step()
        assert step.check()[-1] == "vmdata is not up"
        expect_look(here)
        here.script.expect("drbdadm create-md vmdata")
        step.apply()
        here.script.assert_finished()
        assert latches.is_set(tmp_path, latches.DATA_EXISTS)
        # Killed before create-md did anything: the next attempt says so, and makes it.
        here.script.expect(IS_ACTIVE, returncode=3)
        expect_look(here, 1)
        assert step.check() == ["no metadata yet"]
    here.script.assert_finished()


def test_what_has_metadata_needs_nothing_more(tmp_path: Path) -> None:
    """As after the agent was killed, or where the partition was kept."""
    here = in_use(tmp_path, "julius")
    here.context.meeting.ask()
    latches.set_once(tmp_path, latches.DATA_EXISTS, "join\n")
    rows = {"signatures": [{"type": "drbd", "label": None}]}
    with devices.partition(tmp_path, here.context.identity):
        step = here.step()
        files.write(tmp_path, step._files)
        here.script.expect(IS_ACTIVE, returncode=3)
        here.script.expect(f"wipefs -n -J {here.device()}", json.dumps(rows))
        here.script.expect(f"drbdmeta 0 v08 {here.device()} internal get-gi", GET_GI)
        assert not step.check()
    here.script.assert_finished()
