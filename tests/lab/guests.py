"""A guest that really runs, in QEMU on the nodes, as `ksnode guest` makes it one of the pair's.

It counts (counting.s). What it tells on its serial line goes into a file on the node it runs on.
"""

from __future__ import annotations

import base64
import re
import shlex
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path
from threading import Thread

from tests.lab.drilling import Drilling, require
from tests.lab.production import require_fenced
from tests.uml.pair import Server, TestPair
from tests.uml.shell import Complaint

NAME, LOG = "vm1", "/var/log/vm1.log"
MORE, TOLD_S, ACTION_S, AGAIN_S = 20, 120.0, 600.0, 900.0
SECOND_STARTS = (
    "virsh --connect qemu:///system create {xml}",
    "virsh --connect qemu:///system define {xml}; virsh --connect qemu:///system start vm1",
)
FORGET = "virsh --connect qemu:///system undefine vm1 2>/dev/null || :"
XML = f"""\
<domain type="qemu">
  <name>{NAME}</name>
  <memory unit="MiB">16</memory>
  <os><type arch="x86_64" machine="pc">hvm</type></os>
  <features><acpi/></features>
  <devices>
    <disk type="file" device="disk">
      <driver name="qemu" type="raw"/>
      <source file="{{place}}/{NAME}.raw"/>
      <target dev="vda" bus="virtio"/>
    </disk>
    <serial type="pty"><log file="{LOG}" append="on"/></serial>
    <controller type="usb" model="none"/>
    <memballoon model="none"/>
  </devices>
</domain>
"""


class Told:
    """What the guest told on one node since now, and when the lab heard of it."""

    def __init__(self, pair: TestPair, server: Server) -> None:
        self._text: list[tuple[float, str]] = []
        follow = f"touch {LOG}; exec tail -q -n 0 -F {LOG}"
        self._process = subprocess.Popen(
            pair.shell.argv(server.address, follow),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self._thread = Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        while text := self._process.stdout.read(1):
            self._text.append((time.monotonic(), text))

    @property
    def text(self) -> str:
        """All of it; the last line may not be whole yet."""
        return "".join(text for _, text in list(self._text))

    @property
    def lines(self) -> int:
        """How many lines have ended."""
        return self.text.count("\n")

    @property
    def first(self) -> float:
        """When the lab heard first of it."""
        return self._text[0][0]

    @property
    def last(self) -> float:
        """When it heard of it last."""
        return self._text[-1][0]

    def stop(self) -> None:
        """End it, as often as one likes."""
        self._process.kill()
        self._process.wait()
        self._thread.join()


def numbers(text: str) -> list[int]:
    """The numbers of whole lines; the first line may lack its head. Raises Failed for others."""
    lines = text.split("\n")[1:-1]
    odd = [line for line in lines if not re.fullmatch(r"(start )?[0-9a-f]{8}", line)]
    require(not odd, f"the guest told {odd[:3]}")
    return [int(line[-8:], 16) for line in lines]


def counting_guest(drill: Drilling) -> None:
    """A guest counts: it writes each number to its disk, then tells it. While it runs, libvirt on
    the other node refuses to start it, by its lease. `ksnode guest move` moves it live over the
    bond: no number is missing, none is told twice, and nothing is started anew. Then its node loses
    its power: the guest is started on the other one, and goes on from no smaller number than it
    had told. `ksnode guest remove` ends it.
    """
    source = made(drill)
    target = other_than(drill, source)
    refused_elsewhere(drill, target)
    moved(drill, source, target)
    before = drill.fences()
    went_on(drill, target, source)
    drill.finish()
    require_fenced(drill, before, target.name)
    removed(drill, source)
    drill.finish()


def made(drill: Drilling) -> Server:
    """Make the guest one of the pair's; the node it runs on."""
    first, place = drill.pair.servers[0], drill.pair.plan.gfs2.mount
    image = base64.b64encode(sector()).decode()
    drill.pair.on(first, f"echo {image} | base64 -d >{place}/{NAME}.raw")
    drill.pair.on(first, f"truncate -s 1M {place}/{NAME}.raw")
    drill.pair.on(first, f"echo {shlex.quote(XML.format(place=place))} >/root/{NAME}.xml")
    add = f"ksnode guest add {NAME} --xml /root/{NAME}.xml"
    drill.tell(first.name, drill.pair.on(first, add, timeout=ACTION_S).strip())
    return runs_on(drill, first)


def sector() -> bytes:
    """The guest's first sector, assembled here."""
    with tempfile.TemporaryDirectory() as folder:
        part, whole = Path(folder) / "part.o", Path(folder) / "whole"
        text = Path(__file__).with_name("counting.s")
        subprocess.run(["as", "--32", "-o", part, text], check=True)
        link = ["ld", "-m", "elf_i386", "-Ttext", "0x7c00", "--oformat", "binary"]
        subprocess.run([*link, "-o", whole, part], check=True)
        return whole.read_bytes()


def runs_on(drill: Drilling, seen_from: Server) -> Server:
    """The one node it runs on, by pacemaker."""
    where = f"crm_resource --resource {NAME} --locate --quiet"
    names = drill.pair.on(seen_from, where).split()
    require(len(names) == 1, f"it runs on {names}")
    return next(server for server in drill.pair.servers if server.name == names[0])


def other_than(drill: Drilling, server: Server) -> Server:
    """The other node."""
    return next(other for other in drill.pair.servers if other is not server)


def refused_elsewhere(drill: Drilling, server: Server) -> None:
    """libvirt itself does not start it a second time, whoever asks."""
    xml = f"{drill.pair.plan.gfs2.mount}/guests/{NAME}.xml"
    for command in SECOND_STARTS:
        try:
            drill.pair.on(server, command.format(xml=xml), timeout=TOLD_S)
        except Complaint as complaint:
            require("lock" in complaint.stderr, complaint.stderr)
            drill.tell(server.name, f"refused: {complaint.stderr.strip().splitlines()[-1]}")
        else:
            require(False, f"it was started a second time: {command}")
        drill.pair.on(server, FORGET)


def moved(drill: Drilling, source: Server, target: Server) -> None:
    """Move it live, and count what was lost."""
    left, came = Told(drill.pair, source), Told(drill.pair, target)
    try:
        drill.wait("it counts", lambda: left.lines > MORE, TOLD_S)
        began = time.monotonic()
        move = f"ksnode guest move {NAME}"
        drill.tell(source.name, drill.pair.on(source, move, timeout=ACTION_S).strip())
        drill.figures["moving"] = time.monotonic() - began
        drill.wait("it goes on", lambda: came.lines > MORE, TOLD_S)
        drill.figures["silence while it moved"] = came.first - left.last
    finally:
        for told in (left, came):
            told.stop()
    require("start" not in came.text, "it was started anew")
    # A line may begin on one node and end on the other.
    seen = numbers(left.text + came.text)
    drill.figures["numbers lost"] = seen[-1] - seen[0] + 1 - len(seen)
    require(seen == list(range(seen[0], seen[-1] + 1)), f"numbers are missing: {seen}")
    require(runs_on(drill, target) is target, f"it is not on {target.name}")


def went_on(drill: Drilling, victim: Server, survivor: Server) -> None:
    """Cut the power of the node it runs on; it is started on the other, from where it was."""
    there, here = Told(drill.pair, victim), Told(drill.pair, survivor)
    try:
        drill.wait("it counts", lambda: there.lines > MORE, TOLD_S)
        victim.outlet.switch_off()
        drill.wait("it counts on the other node", lambda: here.lines > MORE, AGAIN_S)
        drill.figures["silence when its node lost power"] = here.first - there.last
    finally:
        for told in (there, here):
            told.stop()
    require(here.text.startswith("start "), f"it was not started: {here.text[:20]!r}")
    last, again = numbers(there.text)[-1], numbers(f"\n{here.text}")[0]
    require(again >= last, f"it had told {last}, and goes on from {again}")


def removed(drill: Drilling, server: Server) -> None:
    """It is no guest any more, and its files are thrown away."""
    remove = f"ksnode guest remove {NAME} --confirm {NAME}"
    told = drill.pair.on(server, remove, timeout=ACTION_S)
    (throw_away,) = re.findall(r"^to delete it: (rm .*)$", told, re.MULTILINE)
    drill.pair.on(server, throw_away)
    gone = partial(drill.pair.on, server, "virsh --connect qemu:///system list --all --name")
    require(not gone().split(), "libvirt still has it")
