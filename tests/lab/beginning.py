"""Drills on servers that are not a pair yet. Each docstring is the drill's pass criterion."""

from __future__ import annotations

import random
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab import audits
from tests.lab.bringup import Stock, a_pair, install
from tests.lab.drilling import SETTLE_S, require
from tests.lab.progress import STEPS, Tell, Watch
from tests.lab.report import keep_consoles
from tests.uml.disk import partition, written_extents
from tests.uml.guard import digest
from tests.uml.pair import PATIENCE_S, Server, TestPair, build_medium

QUIET_S, SEEN_S = 60.0, 600.0
LATE_S = 3 * 3600
CUTS_S = 3600.0
YEARS_BACK_S = 27 * 365 * 86400


@dataclass(frozen=True)
class Beginning:
    """What such a drill makes its servers from; its folder does not exist yet.

    Below `out` their consoles are kept.
    """

    stock: Stock
    folder: Path
    profile: Path
    tell: Tell
    out: Path
    random: random.Random

    @contextmanager
    def servers(self) -> Iterator[TestPair]:
        """Two servers with blank disks and their medium."""
        with a_pair(self.stock, self.folder, self.profile) as pair:
            try:
                yield pair
            finally:
                keep_consoles(pair, self.out)

    def see(self, server: Server, text: str, timeout: float = SEEN_S) -> None:
        """Wait until the server's console shows it; MachineError if it does not."""
        server.outlet.wait_console(text, timeout)
        self.tell(server.name, f"says: {text}")

    def expect_whole(
        self,
        pair: TestPair,
        patience_s: float = PATIENCE_S,
        meanwhile: Callable[[Watch], None] = lambda _: None,
    ) -> None:
        """Nobody types anything, and the pair becomes complete, and no audit complains."""
        watch = Watch(pair, self.tell)
        while not watch.complete:
            require(watch.seconds < patience_s, f"not complete within {patience_s:.0f} s")
            watch.look()
            meanwhile(watch)
            time.sleep(0.5)
        left = audits.settle(pair, SETTLE_S, self.tell)
        require(not left, "; ".join(left))


def bmc_dead(drill: Beginning) -> None:
    """The second node's BMC has no power while the pair comes up. Both wait, nothing is fired at,
    no data is created, and the first node names the BMC's address. Once it has power, the pair
    becomes complete with nothing typed.
    """
    with drill.servers() as pair:
        install(pair, drill.tell)
        first, second = pair.servers
        pair.bmcs[1].close()
        address = second.section.fencing[0].address
        assert address
        switch_on(pair)
        first.outlet.wait_console("ksnode: secrets: done", SEEN_S)
        wait_for(first, rf"ksnode: fencing: (failed|refused|waiting).*{re.escape(address)}")
        time.sleep(QUIET_S)
        require(not pair.bmcs[0].told("off"), "power was cut")
        require_no_data(pair)
        pair.bmcs[1] = pair.a_bmc(second)
        drill.expect_whole(pair)


def bmcs_swapped(drill: Beginning) -> None:
    """Each BMC switches the other server. Whoever is cut off, no data is created and nobody calls
    the pair complete. Once the BMCs are right and both have power, it becomes complete with
    nothing typed.
    """
    with drill.servers() as pair:
        install(pair, drill.tell)
        for bmc in pair.bmcs:
            bmc.close()
        first, second = pair.servers
        pair.bmcs = [pair.a_bmc(first, switches=second), pair.a_bmc(second, switches=first)]
        switch_on(pair)
        end = time.monotonic() + SEEN_S
        while not sum(bmc.told("off") for bmc in pair.bmcs):
            require(time.monotonic() < end, "nobody fired")
            time.sleep(0.5)
        drill.tell("", "somebody fired")
        time.sleep(2 * QUIET_S)
        for server in pair.servers:
            require("ksnode: complete" not in server.outlet.console_text(), "it called it complete")
        require_no_data(pair)
        for bmc in pair.bmcs:
            bmc.close()
        pair.bmcs = [pair.a_bmc(server) for server in pair.servers]
        switch_on(pair)
        drill.expect_whole(pair)


def foreign_pair(drill: Beginning) -> None:
    """The cables lead to a node of another pair, with the same ports and names. Each says that its
    peer does not know this pair's key and names the pair it claims; both wait, nobody's power is
    cut and no data is created.
    """
    with drill.servers() as pair:
        first, second = pair.servers
        own, other = pair.medium, str(uuid.uuid4())
        text = (drill.folder / "pair.toml").read_text().replace(pair.plan.id, other)
        profile = drill.folder / "foreign.toml"
        profile.write_text(text)
        require(pair.install(first).success, "the first was not installed")
        pair.medium = build_medium(
            drill.stock.source, drill.folder / "foreign.iso", drill.folder / "other", profile
        )
        require(pair.install(second).success, "the second was not installed")
        ids, pair.medium = (pair.plan.id, other), own
        switch_on(pair)
        for server, claimed in zip(pair.servers, reversed(ids), strict=True):
            drill.see(server, f"they claim pair {claimed}")
        time.sleep(QUIET_S)
        require(not sum(bmc.told("off") for bmc in pair.bmcs), "power was cut")
        require_no_data(pair)


def wrong_clock(drill: Beginning) -> None:
    """The second node's clock is 27 years back. The pair becomes complete with nothing typed, and
    the node says that its clock is wrong.
    """
    with drill.servers() as pair:
        install(pair, drill.tell)
        pair.servers[1].clock_offset_s = -YEARS_BACK_S
        switch_on(pair)
        drill.expect_whole(pair)
        said = pair.servers[1].outlet.console_text()
        require("ksnode: preflight:" in said, "preflight said nothing")
        require("renew its battery" in said, "the clock was not mentioned")


def peer_late(drill: Beginning) -> None:
    """The second node gets its power three hours after the first, by the first one's clock. The
    first waits, and the pair becomes complete with nothing typed.
    """
    with drill.servers() as pair:
        install(pair, drill.tell)
        first, second = pair.servers
        first.outlet.switch_on()
        first.outlet.wait_console("ksnode: uplink: ", SEEN_S)
        wait_for(first, r"ksnode: (cabling|rendezvous): waiting")
        pair.on(first, f"date -s @$(($(date +%s) + {LATE_S}))")
        time.sleep(QUIET_S)
        second.outlet.switch_on()
        drill.expect_whole(pair)


def cut_at_every_step(drill: Beginning) -> None:
    """Whenever a step is seen to have come through on either node for the first time, one node's
    power or both's is cut, as chance decides, and given back. The pair becomes complete with
    nothing typed.
    """
    with drill.servers() as pair:
        install(pair, drill.tell)
        seen: set[str] = set()

        def cut(watch: Watch) -> None:
            new = {step for of in watch.stages.values() for step in of if step in STEPS} - seen
            if not new:
                return
            seen.update(new)
            victims = drill.random.choice([pair.servers[:1], pair.servers[1:], pair.servers])
            names = " and ".join(victim.name for victim in victims)
            drill.tell("", f"{', '.join(sorted(new))}: power is cut: {names}")
            for victim in victims:
                victim.outlet.switch_off()
            switch_on(pair)

        switch_on(pair)
        drill.expect_whole(pair, CUTS_S, cut)
        require(seen == STEPS, f"not seen: {', '.join(STEPS - seen)}")


def medium_of_the_other(drill: Beginning) -> None:
    """A medium for the second node alone, in the first server: it installs nothing, writes to no
    disk, and names the ports that it saw.
    """
    with drill.servers() as pair:
        first, second = pair.servers
        one = drill.folder / "one.iso"
        pair.medium = build_medium(
            drill.stock.source, one, drill.folder / "keys", pair.profile, node=second.name
        )
        said = refusal(pair, first)
        require(f"this is not {second.name}" in said, said[-500:])
        require(first.nics[0].mac in said, "its ports are not named")


def medium_left_in(drill: Beginning) -> None:
    """The medium is started again on both installed servers: it writes to no disk, says whose they
    are, and how a node is installed anew on purpose.
    """
    with drill.servers() as pair:
        install(pair, drill.tell)
        for server in pair.servers:
            said = refusal(pair, server)
            require(f"carries {server.name} of this pair already" in said, said[-500:])
            wanted = f"ksbuild.reinstall={pair.plan.name}-{server.name}"
            require(wanted in said, f"{wanted} is not offered")


def reinstalled(drill: Beginning) -> None:
    """A node's operating system is installed anew on purpose: the partition table and every byte of
    the data partition stay as they are.
    """
    with drill.servers() as pair:
        install(pair, drill.tell)
        server = pair.servers[0]
        start, end = data_range(server)
        with server.disk.open("r+b") as disk:
            for place in (start, (start + end) // 2 // 512 * 512, end - 512):
                disk.seek(place)
                disk.write(b"data of ours" * 42 + b"12345678")
        before = data_written(server)
        word = f"ksbuild.reinstall={pair.plan.name}-{server.name}"
        require(pair.install(server, arguments=[word]).success, "it was not installed")
        require(data_written(server) == before, "the data partition was written to")


def switch_on(pair: TestPair) -> None:
    """Give both power; nothing happens where there is."""
    for server in pair.servers:
        server.outlet.switch_on()


def wait_for(server: Server, pattern: str) -> None:
    """Wait until the console shows the pattern."""
    end = time.monotonic() + SEEN_S
    while not re.search(pattern, server.outlet.console_text()):
        require(time.monotonic() < end, f"{server.name} did not say {pattern}")
        time.sleep(0.5)


def refusal(pair: TestPair, server: Server) -> str:
    """Start the medium, and see it refuse with the disk as it was; what it said."""
    before = digest(server.disk)
    verdict = pair.install(server)
    require(not verdict.success, "it installed")
    require(digest(server.disk) == before, "the disk was written to")
    return verdict.script_tail + "".join(verdict.logs.values())


def data_range(server: Server) -> tuple[int, int]:
    """The data partition's bytes on the disk."""
    data = partition(server.disk, "ks-data")
    return data.start * 512, (data.start + data.size) * 512


def data_written(server: Server) -> list[tuple[int, bytes]]:
    """What was ever written there, and where."""
    start, end = data_range(server)
    found = []
    with server.disk.open("rb") as disk:
        for a, b in written_extents(server.disk):
            if a < end and b > start:
                disk.seek(max(a, start))
                found.append((max(a, start), disk.read(min(b, end) - max(a, start))))
    return found


def require_no_data(pair: TestPair) -> None:
    """Nobody ever wrote to a data partition."""
    for server in pair.servers:
        require(not data_written(server), f"{server.name}'s data partition was written to")
