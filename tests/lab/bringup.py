"""From profile to two running nodes: the medium, the servers, their installation, their power."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.lab.progress import Printed, Tell, Watch
from tests.media.sources import demo_iso, el9_shaped_iso
from tests.qemu.images import StockImages
from tests.qemu.images import prepare as prepare_stock
from tests.qemu.pair import QemuPair, as_qemu
from tests.qemu.source import lab_source
from tests.uml.images import CLUSTER_PACKAGES, Images, prepare
from tests.uml.installation import Verdict
from tests.uml.kernel import MissingPiece
from tests.uml.lab import Lab
from tests.uml.pair import DISK_GIB, PROFILE, TestPair, build_medium
from tests.uml.shell import Shell


class NotInstalled(Exception):
    """A server was not installed; the text is what its installer said."""


@dataclass(frozen=True)
class Stock:
    """What pairs are made from, made once and kept: an installation ISO and Debian's images.

    `qemu` is there when the servers are to be QEMU machines.
    """

    source: Path
    images: Images
    qemu: StockImages | None = None


def stock(tell: Tell) -> Stock:
    """Make what the cache lacks. Raises kernel.MissingPiece with the command that brings it."""
    tell("", "the installation source and Debian's packages (kept in build/)")
    images = prepare(CLUSTER_PACKAGES)
    if platform() == "uml":
        return Stock(el9_shaped_iso(demo_iso()), images)
    qemu = prepare_stock()
    return Stock(lab_source(qemu), images, qemu)


def platform() -> str:
    """What the servers are, by LAB in the environment: uml or qemu. Raises MissingPiece."""
    chosen = os.environ.get("LAB") or "uml"
    if chosen not in ("uml", "qemu"):
        raise MissingPiece(f"LAB={chosen} is neither uml nor qemu\nnext: make lab LAB=qemu")
    return chosen


def described(profile: str, description: str) -> str:
    """The profile's text with that [pair] description; "" leaves it as it is."""
    if not description:
        return profile
    line = f"description = {json.dumps(description)}"
    own = re.compile(r"^description\s*=.*$", re.MULTILINE)
    if own.search(profile):
        return own.sub(lambda _: line, profile)
    return profile.replace("[pair]\n", f"[pair]\n{line}\n", 1)


@contextmanager
def a_pair(
    stock: Stock,
    folder: Path,
    profile: Path,
    *,
    description: str = "",
    write_cache: bool = True,
    disk_gib: int = DISK_GIB,
) -> Iterator[TestPair]:
    """Both servers with blank disks, cabled, and their medium; no power afterwards.

    The profile's copy below folder lets the lab's own key in, to look and to break things. With
    write_cache a power cut loses what a node had not flushed to its disk.
    """
    folder.mkdir(parents=True)
    with Lab() as lab:
        own = Shell(lab, folder).profile(profile, folder / "pair.toml")
        text = described(own.read_text(), description)
        own.write_text(as_qemu(text) if stock.qemu else text)
        medium = build_medium(stock.source, folder / "pair.iso", folder / "keys", own)
        kind = partial(QemuPair, stock=stock.qemu) if stock.qemu else TestPair
        made = kind(
            lab,
            stock.images,
            medium,
            folder / "servers",
            profile=own,
            write_cache=write_cache,
            disk_gib=disk_gib,
        )
        try:
            yield made
        finally:
            made.close()


def install(pair: TestPair, tell: Tell) -> list[Verdict]:
    """Install both servers at once. Raises NotInstalled."""
    tell("", "both servers start from the medium")
    verdicts = pair.install_both()
    for server, verdict in zip(pair.servers, verdicts, strict=True):
        if not verdict.success:
            raise NotInstalled(f"{server.name}: {verdict.reason}\n{verdict.script_tail}")
        tell(server.name, f"installed in {verdict.seconds:.0f} s")
    return verdicts


def bring_up(pair: TestPair, tell: Tell) -> Watch:
    """Switch both on and touch nothing more until both say complete, or patience is over."""
    tell("", "power on, where that is not so yet; from here on nobody touches anything")
    watch = Watch(pair, tell)
    for server in pair.servers:
        server.outlet.switch_on()
    while not watch.complete and watch.seconds < pair.patience_s:
        watch.look()
        time.sleep(1)
    return watch


@contextmanager
def complete_pair(
    stock: Stock, folder: Path, profile: Path = PROFILE, *, disk_gib: int = DISK_GIB
) -> Iterator[TestPair]:
    """Both nodes complete and running, /srv/vmdata/file with the word "kept" on them."""
    with a_pair(stock, folder, profile, disk_gib=disk_gib) as pair:
        install(pair, Printed())
        if not bring_up(pair, Printed()).complete:
            raise TimeoutError("the pair was not complete in time: see make lab")
        pair.on(pair.servers[0], "echo kept >/srv/vmdata/file; sync")
        yield pair
