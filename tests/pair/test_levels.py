"""Several levels of devices, and several devices at one level, in the rehearsal."""

from __future__ import annotations

import re
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from firstboot.commands import CommandError
from firstboot.engine import Refused
from firstboot.fencing import record
from firstboot.fencing.rehearsal import Record
from firstboot.node import FenceDevice, Identity
from firstboot.steps.fencing import LOOK_AGAIN_S
from tests.pair.disk import Syscalls
from tests.pair.powered import BMC_LEVEL, NAMES, OTHER, World
from tests.pair.service import serving

FIRST, SECOND = NAMES
PORT = 18448
A_DATE = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def strips(level: int) -> tuple[FenceDevice, FenceDevice]:
    """Two feeds behind two power strips; only one of them asks for a password."""
    a, b = ("/usr/sbin/fence_strip_a", "/usr/sbin/fence_strip_b")
    return (
        FenceDevice(level, "custom", None, None, "apc", "/root/strip", a),
        FenceDevice(level, "custom", None, None, "apc", None, b),
    )


def lay(world: World) -> World:
    for name, root in world.roots.items():
        (root / "root/strip").touch(0o600)
        (root / "root/strip").write_text(f"strip-of-{name}\n")
    return world


def a_world(folder: Path, level: int, patch: pytest.MonkeyPatch) -> World:
    """Both strips of each node at that level, its BMC at BMC_LEVEL."""
    world = World(folder, strips(level))
    Syscalls(list(world.disks.values()), patch)
    for name, root in world.roots.items():
        (root / "root/strip").touch(0o600)
        (root / "root/strip").write_text(f"strip-of-{name}\n")
    return world


@pytest.fixture
def above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The BMC is rehearsed, the strips are for when it fails."""
    return a_world(tmp_path, BMC_LEVEL + 1, monkeypatch)


@pytest.fixture
def below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The strips are rehearsed, both at once, the BMC is for when they fail."""
    return a_world(tmp_path, BMC_LEVEL - 1, monkeypatch)


def go_on(world: World) -> None:
    for name in NAMES * 25:
        if world.power[name]:
            world.advance(name)
            world.ask(name)


def try_again(world: World) -> None:
    """As after a failed attempt: the agent starts from the top."""
    world.stop(FIRST)
    go_on(world)


def said(world: World, name: str) -> str:
    return "\n".join(detail for _, _, detail in world.told[name].events)


def sockets_asked(world: World, action: str, plug: str) -> list[str]:
    return [agent for agent, did, of in world.asked if (did, of) == (action, plug)]


def test_the_lowest_level_is_fired_the_others_say_on(above: World) -> None:
    go_on(above)
    for name in NAMES:
        proof = above.proven(name)
        assert proof
        assert proof["by"] == f"fence_ipmilan at 10.0.1.{2 if name == FIRST else 1}"
        assert proof["boots"] == [f"{OTHER[name]} boot 1", f"{OTHER[name]} boot 2"]
        assert len(above.cut_boots[name]) == 1
        assert "can't be chosen" not in said(above, name)
        assert sockets_asked(above, "status", name) == ["fence_strip_a", "fence_strip_b"]
    assert {action for _, action, _ in above.asked} == {"status"}


def test_both_devices_of_the_lowest_level_cut_together(below: World) -> None:
    go_on(below)
    for name in NAMES:
        proof = below.proven(name)
        assert proof
        assert proof["by"] == "fence_strip_a at - and fence_strip_b at -"
        assert proof["boots"] == [f"{OTHER[name]} boot 1", f"{OTHER[name]} boot 2"]
        assert len(below.cut_boots[name]) == 1
        assert "; its next boot can't be chosen" in said(below, name)
        assert sockets_asked(below, "off", name) == ["fence_strip_a", "fence_strip_b"]
    assert all(below.sockets.values())


def test_result_and_date_are_kept(above: World) -> None:
    """Of the proof, and of a firing that has proven nothing yet."""
    above.bmc_fails["off"] = ["before"]
    with pytest.raises(CommandError):
        go_on(above)
    for proven in (False, True):
        done = record.load(above.roots[FIRST])
        assert (done.firings, done.device) == (1 + proven, "fence_ipmilan at 10.0.1.2")
        assert done.peer_boot == f"{SECOND} boot 1"
        assert A_DATE.fullmatch(done.at)
        try_again(above)
    proof = above.proven(FIRST)
    assert proof
    assert A_DATE.fullmatch(proof.pop("at"))
    assert proof == {
        "boots": [f"{SECOND} boot 1", f"{SECOND} boot 2"],
        "by": "fence_ipmilan at 10.0.1.2",
        "firings": 2,
        "guids": [],
        "peer": SECOND,
    }


def test_nothing_is_fired_while_a_strip_above_gives_no_answer(above: World) -> None:
    above.jammed = {("fence_strip_b", "status", SECOND)}
    for _ in range(3):
        with pytest.raises(CommandError, match="fence_strip_b exited 1"):
            try_again(above)
        assert above.cut_boots == {FIRST: [], SECOND: []}
        assert record.load(above.roots[FIRST]) == Record()
    above.jammed.clear()
    try_again(above)
    assert above.proven(FIRST)
    assert above.proven(SECOND)


def test_nothing_is_fired_while_a_bmc_above_gives_no_answer(below: World) -> None:
    below.bmc_fails["status"] = ["before"] * 3
    for _ in range(3):
        with pytest.raises(CommandError, match="fence_ipmilan exited 1"):
            try_again(below)
        assert below.cut_boots == {FIRST: [], SECOND: []}
    try_again(below)
    assert below.proven(FIRST)
    assert below.proven(SECOND)


def test_a_level_above_that_says_off_is_somebody_elses(above: World) -> None:
    above.sockets["fence_strip_a", SECOND] = above.sockets["fence_strip_b", SECOND] = False
    with pytest.raises(Refused, match="fence_strip_b at - says off, but julius answers"):
        go_on(above)
    assert above.cut_boots == {FIRST: [], SECOND: []}


def test_a_feed_that_was_cut_alone_is_given_back(below: World) -> None:
    """The other strip jams, so the peer lives on and nothing is proven, twice."""
    below.jammed = {("fence_strip_b", "off", SECOND)}
    for _ in range(2):
        with pytest.raises(CommandError, match="fence_strip_b exited 1"):
            try_again(below)
        assert not below.sockets["fence_strip_a", SECOND]
    with pytest.raises(Refused, match=r"fired 2 times .* never saw the peer go off"):
        try_again(below)
    assert all(below.sockets.values())
    assert below.proven(FIRST) is None
    assert below.boots[SECOND] == 1


def test_bmcs_that_are_put_right_while_both_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second looked while they were swapped; the first aims by that until it looks again."""
    world = World(tmp_path)
    Syscalls(list(world.disks.values()), monkeypatch)
    boards = [str(uuid.uuid5(uuid.NAMESPACE_DNS, name)) for name in NAMES]
    world.guids = dict(zip(("10.0.1.1", "10.0.1.2"), reversed(boards), strict=True))
    while SECOND not in world.steps or not world.steps[SECOND]._guids:
        for name in NAMES:
            world.advance(name)
            world.ask(name)
    world.guids = dict(zip(("10.0.1.1", "10.0.1.2"), boards, strict=True))
    with pytest.raises(Refused, match=f"the device for {FIRST} answers with {boards[1]} as well"):
        try_again(world)
    assert world.cut_boots == {FIRST: [], SECOND: []}
    world.steps[SECOND]._looked_at -= LOOK_AGAIN_S
    world.advance(SECOND)
    try_again(world)
    assert all(world.proven(name) for name in NAMES)


class WithRedfish(World):
    """julius's only device is a Redfish service, a real one."""

    def identity(self, name: str) -> Identity:
        identity = super().identity(name)
        first, second = identity.pair.nodes
        bmc = replace(second.fencing[0], agent="redfish", address="127.0.0.1", port=PORT)
        nodes = (first, replace(second, fencing=(bmc,)))
        return replace(identity, pair=replace(identity.pair, nodes=nodes))


def test_a_redfish_that_shuts_us_out_is_never_relied_on(tmp_path: Path) -> None:
    world = WithRedfish(tmp_path / "world")
    with (
        serving(tmp_path, PORT, "another than secret-of-julius"),
        pytest.raises(Refused, match="does not let the fence account in") as refused,
    ):
        go_on(world)
    assert "the file on julius" in refused.value.way_out
    assert world.cut_boots == {FIRST: [], SECOND: []}
    assert record.load(world.roots[FIRST]) == Record()
