"""Two machines with real DRBD 8.4 and GFS2 write apart, and are made one again, both ways."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.uml.images import Images
from tests.uml.lab import Lab
from tests.uml.machine import Machine
from tests.uml.storage import StoragePair, unpack

pytestmark = [pytest.mark.uml, pytest.mark.slow, pytest.mark.timeout(1500)]

READY_S, ANSWER_S, RESOLVED_S = 240.0, 120.0, 300.0
PROGRAM = "PROGRAM=tests/uml/split_node.py"
MOUNT = "mount -t gfs2 -o lockproto=lock_nolock,noatime /dev/drbd0 /srv/vmdata"
LEAVE = "umount /srv/vmdata && drbdadm secondary vmdata"
KSNODE = "python3 -m firstboot"
NAMES = ("justinian", "julius")


class Split:
    """The pair, the machines that have power, and a shell in each."""

    def __init__(self, pair: StoragePair) -> None:
        self.pair = pair
        self.machines: list[Machine] = []
        self._orders = 0
        for node in pair.nodes:
            ksbuild = node.folder / "etc/ksbuild"
            shutil.copytree(ksbuild / "introduction", ksbuild / "pair")
            said = {"schema": 1, "node": node.identity.node, "steps": {}}
            (node.folder / "var/lib/ksbuild/status.json").write_text(json.dumps(said))
        self.machines = [self.boot(0), self.boot(1)]
        self.ready(0, 1)

    def boot(self, number: int) -> Machine:
        return self.pair.start(number, [PROGRAM])

    def ready(self, *numbers: int) -> None:
        for number in numbers:
            self.machines[number].wait_console("split: ready", READY_S)

    def begin(self, number: int, command: str) -> Path:
        """Type something on a node; where its answer will be."""
        self._orders += 1
        folder = self.pair.nodes[number].folder / "var/lib/drbd"
        order = folder / f"{self._orders:03}.order"
        new = order.with_suffix(".new")
        new.write_text(command)
        new.rename(order)
        return order.with_suffix(".answer")

    def end(self, answer: Path, within_s: float = ANSWER_S) -> tuple[int, str]:
        """Its exit status and what it printed."""
        until = time.monotonic() + within_s
        while not answer.exists():
            assert time.monotonic() < until, f"no {answer}"
            time.sleep(0.3)
        status, _, said = answer.read_text().partition("\n")
        return int(status), said

    def on(self, number: int, command: str, within_s: float = ANSWER_S) -> str:
        """What a command printed; it must succeed."""
        status, said = self.end(self.begin(number, command), within_s)
        assert status == 0, f"{NAMES[number]}: {command}: {said}"
        return said

    def refused(self, number: int, command: str) -> str:
        status, said = self.end(self.begin(number, f"{KSNODE} {command}"))
        assert status == 5, said
        return said

    def write(self, number: int, name: str, count: int) -> None:
        """Records that are on the disk when this returns."""
        self.on(
            number,
            f"cd /srv/vmdata && for i in $(seq {count}); do echo {name} $i >{name}-$i; done; sync",
        )

    def records(self, number: int) -> set[str]:
        """Every record there, by name and content."""
        said = self.on(number, "cd /srv/vmdata && for f in *-*; do echo $f $(cat $f); done")
        return set(said.splitlines())

    def part(self, names: tuple[str, str], *, mounted: int) -> None:
        """Both write apart, by force; `mounted` stays so, the other is let go. Then they meet."""
        for number in (0, 1):
            # Else DRBD freezes what is written without the peer until that is fenced.
            self.on(
                number, "drbdadm disconnect vmdata; drbdsetup disk-options 0 --fencing=dont-care"
            )
        for number, name in enumerate(names):
            self.on(number, f"drbdadm primary vmdata && {MOUNT}")
            self.write(number, name, 40 + 20 * number)
            if number != mounted:
                self.on(number, LEAVE)
        for number in (0, 1):
            self.on(number, "drbdadm connect vmdata")
        self.met()

    def met(self) -> None:
        """DRBD has seen that both wrote."""
        until = time.monotonic() + ANSWER_S
        while "StandAlone" not in self.on(0, "cat /proc/drbd") + self.on(1, "cat /proc/drbd"):
            assert time.monotonic() < until
            time.sleep(1)

    def gives_way(self, number: int) -> bool:
        """What was typed there is on its disk."""
        return (self.pair.nodes[number].folder / "var/lib/ksbuild/resolve.json").exists()

    def shown(self, number: int) -> Any:
        return json.loads(self.on(number, f"{KSNODE} resolve --json"))


def wrote(name: str, count: int) -> set[str]:
    return {f"{name}-{i} {name} {i}" for i in range(1, count + 1)}


@pytest.fixture(scope="module")
def split(pair_images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Split]:
    folder = tmp_path_factory.mktemp("split")
    root = unpack(pair_images.rootfs, folder / "root")
    with Lab() as lab:
        yield Split(StoragePair(lab, root, folder))


def keep(split: Split, what: str) -> None:
    """Real outputs of both nodes in this state, beside the consoles."""
    for number, name in enumerate(NAMES):
        said = split.on(number, "cat /proc/drbd; drbdadm get-gi vmdata; dmesg --time-format iso")
        (split.pair.folder / f"{what}-{name}").write_text(said)


def test_the_mounted_half_stays_and_goes_on_meanwhile(split: Split) -> None:
    assert split.shown(0)["relation"] == "the same generation"
    split.part(NAMES, mounted=0)
    keep(split, "split")
    for number in (0, 1):
        told = split.shown(number)
        assert told["relation"] == "split brain"
        by_name = {side["node"]: side for side in told["sides"]}
        assert all(side["written_kib"] > 0 and side["last_write"] for side in by_name.values())
        assert any(side["parted"] for side in by_name.values())
        assert (by_name["justinian"]["mounted"], by_name["julius"]["mounted"]) == (True, False)
    assert "lose for ever" in split.on(0, f"{KSNODE} resolve")
    whys = [split.on(number, f"{KSNODE} why") for number in (0, 1)]
    assert any("replication: split brain since 20" in why for why in whys)
    assert "mounted on justinian" in split.refused(0, "resolve --discard justinian --cluster lab")
    assert "lost for ever" in split.refused(1, "resolve --discard julius")
    assert "typed on julius" in split.refused(0, "resolve --discard julius --cluster lab")
    assert split.shown(1)["relation"] == "split brain", "a refusal changed something"
    resolve = f"{KSNODE} resolve --discard julius --cluster lab"
    assert "discard-my-data" in split.on(1, f"{resolve} --dry-run")
    assert not list(split.pair.nodes[1].folder.glob("var/lib/ksbuild/metadata-*"))
    losing = split.begin(1, resolve)
    until = time.monotonic() + ANSWER_S
    while not split.gives_way(1):
        assert time.monotonic() < until
        time.sleep(0.3)
    split.write(0, "meanwhile", 30)
    time.sleep(5)  # what is typed there has still to connect
    print(split.on(0, resolve, RESOLVED_S))
    status, said = split.end(losing, RESOLVED_S)
    assert status == 0, said
    assert "on justinian: ksnode resolve --discard julius --cluster lab" in said
    kept = wrote("justinian", 40) | wrote("meanwhile", 30)
    assert split.records(0) == kept
    split.on(0, LEAVE)
    split.on(1, f"drbdadm primary vmdata && {MOUNT}")
    assert split.records(1) == kept
    split.on(1, LEAVE)
    (copy,) = split.pair.nodes[1].folder.glob("var/lib/ksbuild/metadata-*")
    assert copy.stat().st_mode & 0o777 == 0o600
    assert "uuid {" in copy.read_text()
    assert not split.gives_way(1)


def test_the_other_way_through_power_cuts(split: Split) -> None:
    """The losing node loses its power between its commands, the other before it: both go on."""
    before = wrote("justinian", 40) | wrote("meanwhile", 30)
    split.part(("lost", "won"), mounted=1)
    split.on(1, LEAVE)
    resolve = f"{KSNODE} resolve --discard justinian --cluster lab"
    split.begin(0, resolve)
    until = time.monotonic() + ANSWER_S
    while not split.gives_way(0):
        assert time.monotonic() < until
        time.sleep(0.1)
    for machine in split.machines:
        machine.power_cut()
    split.machines = [split.boot(0), split.boot(1)]
    split.ready(0, 1)
    split.met()
    assert split.gives_way(0)
    assert "not resolved" in split.on(0, f"{KSNODE} why")
    keep(split, "rebooted")
    losing = split.begin(0, resolve)
    until = time.monotonic() + ANSWER_S
    while split.end(split.begin(1, resolve), RESOLVED_S)[0] != 0:
        assert time.monotonic() < until
        time.sleep(3)
    status, said = split.end(losing, RESOLVED_S)
    assert status == 0, said
    for number in (1, 0):
        split.on(number, f"drbdadm primary vmdata && {MOUNT}")
        assert split.records(number) == before | wrote("won", 60)
        split.on(number, LEAVE)
