"""`ksnode update` on a pair in production, one node at a time, by real dnf.

The repository lies on the node and has one small package. grubby is a stand-in that names the
kernel that runs (tests/uml/images.py).
"""

from __future__ import annotations

import base64
import io
import subprocess
import tarfile
import tempfile
from functools import partial
from pathlib import Path

from tests.lab.drilling import Drilling, require
from tests.lab.operations import BACK_S, NO_GUEST, guest_on, moves, place
from tests.lab.production import go_on, require_fenced
from tests.packages.rpms import Rpm, repository
from tests.uml.machine import RESTARTING
from tests.uml.pair import Server

OLD, NEW = "/usr/share/tool/1.0", "/usr/share/tool/1.1"
FOLDER = "/root/packages"
REPOSITORY = f"[updates]\nname=updates\nbaseurl=file://{FOLDER}/new\ngpgcheck=0\n"
UPDATE = "systemd-run --quiet --unit=update /usr/local/sbin/ksnode update"
BOOT_ID = "cat /proc/sys/kernel/random/boot_id"
UPDATED_S = 1200.0


def update(drill: Drilling) -> None:
    """`ksnode update` on each node in turn, the other one writing. The guest moves off live, a
    newer package is installed, the node restarts once and takes its part again by itself, and only
    then is it called updated. Nobody is fenced, and no kernel replays a GFS2 journal.
    """
    packed = packages()
    before = drill.fences()
    first, second = drill.pair.servers
    for server, other in ((first, second), (second, first)):
        renew(drill, server, other, packed)
        drill.finish()
        require("Replaying journal" not in drill.pair.on(server, "dmesg"), "a dirty journal")
    require_fenced(drill, before)


def renew(drill: Drilling, server: Server, other: Server, packed: str) -> None:
    """Update one node, and see what it did."""
    lay(drill, server, packed)
    place(drill, server)
    writer, moved = drill.write()[other.name], moves(drill.pair)
    boot = drill.pair.on(server, BOOT_ID)
    drill.pair.on(server, UPDATE)
    drill.wait("its guest is off", lambda: guest_on(drill, other) == [other.name], BACK_S)
    if drill.pair.platform == "uml":
        restart(drill, server)
    restarted = partial(has_restarted, drill, server, boot)
    took = drill.wait("it has restarted", restarted, UPDATED_S)
    drill.figures[f"{server.name}: until it answers again"] = took
    server.outlet.wait_console(f"ksnode: update: ok: {server.name} is updated", UPDATED_S)
    require(drill.pair.on(server, f"ls {NEW}").strip() == NEW, "the old package is there")
    require(moves(drill.pair) == moved + 1, "the guest was not moved live, once")
    go_on(drill, writer)
    drill.pair.on(server, NO_GUEST)


def packages() -> str:
    """One package in two versions, the newer in a repository, as text."""
    with tempfile.TemporaryDirectory() as name, io.BytesIO() as packed:
        folder = Path(name)
        repository(folder / "old", [Rpm("tool", "1.0-1", files=(OLD,))])
        repository(folder / "new", [Rpm("tool", "1.1-1", files=(NEW,))])
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for part in ("old", "new"):
                archive.add(folder / part, part)
        return base64.b64encode(packed.getvalue()).decode()


def lay(drill: Drilling, server: Server, packed: str) -> None:
    """The older package installed, the repository with the newer beside it."""
    drill.pair.on(server, f"mkdir -p {FOLDER} /etc/yum.repos.d")
    drill.pair.on(server, f"base64 -d <<'END' | tar -xzC {FOLDER}\n{packed}\nEND")
    drill.pair.on(server, f"dnf -y -q install {FOLDER}/old/*.rpm; ls {OLD}", timeout=BACK_S)
    drill.pair.on(server, f"cat >/etc/yum.repos.d/lab.repo <<'END'\n{REPOSITORY}END")


def restart(drill: Drilling, server: Server) -> None:
    """What a server's firmware would do: a restart of User-mode Linux's own has no network."""
    machine = server.outlet.machine
    drill.wait("it restarts", lambda: RESTARTING in machine.console_text(), UPDATED_S)
    server.outlet.switch_off()
    server.outlet.switch_on()


def has_restarted(drill: Drilling, server: Server, boot: str) -> bool:
    """Whether it answers, in another boot."""
    try:
        return drill.pair.on(server, BOOT_ID) != boot
    except subprocess.SubprocessError:
        return False
