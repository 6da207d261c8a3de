"""The place where machines run: a namespace with the cables in it, without root."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

from tests.uml import kernel

_FIRST_PORT = 7000
_LAN = "lan"

# Brings loopback up, then keeps the namespace. If the tests die without a word, its standard input
# ends and it kills the machines it was told of: no run leaves machines behind.
_KEEPER = """
ip link set lo up || exit 1
# Off by default on loopback; cables are pulled with policies.
for name in lo all; do echo 0 > /proc/sys/net/ipv4/conf/$name/disable_policy; done
echo ready
while read -r sign pid; do
  case $sign in
    +) machines="$machines $pid" ;;
    -) left=; for known in $machines; do [ "$known" = "$pid" ] || left="$left $known"; done
       machines=$left ;;
  esac
done
for pid in $machines; do kill -s KILL -- "-$pid"; done
"""


@dataclass(frozen=True)
class End:
    """One end of a cable: UDP ports on the namespace's loopback."""

    source_port: int
    target_port: int


@dataclass(frozen=True)
class Cable:
    """An Ethernet segment with two ends. An end nobody holds swallows frames."""

    a: End
    b: End


@dataclass(frozen=True)
class Tap:
    """A port of the lab's local network: a tap interface in its namespace."""

    name: str


def policy_argv(verb: str, end: End) -> list[str]:
    """Return the command that adds or deletes the policy which drops what end sends."""
    return [
        *("ip", "xfrm", "policy", verb, "src", "127.0.0.1", "dst", "127.0.0.1", "proto", "udp"),
        *("sport", str(end.source_port), "dport", str(end.target_port), "dir", "in"),
        *(("action", "block") if verb == "add" else ()),
    ]


class Powered(Protocol):
    """A machine as the lab knows it."""

    def power_cut(self) -> None:
        """Pull the plug; nothing happens when it is off."""


class Lab:
    """One unprivileged user and network namespace with the cables in it; a context manager."""

    def __init__(self) -> None:
        self.folder = Path()
        self._machines: list[Powered] = []
        self._ends = 0
        self._taps = 0
        self._keeper: subprocess.Popen[bytes] | None = None
        self._closed = False

    def __enter__(self) -> Lab:
        kernel.require_programs()
        # Short, because a unix socket's path holds 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="ksl-"))
        self._keeper = subprocess.Popen(
            ["unshare", "-Urn", "sh", "-c", _KEEPER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._keeper.stdout is not None
        if self._keeper.stdout.readline() != b"ready\n":
            self.close()
            raise kernel.MissingPiece(
                "this machine allows no user namespaces\n"
                "next: sudo sysctl kernel.unprivileged_userns_clone=1"
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Cut every machine's power, also of those that still start, and give the namespace up."""
        self._closed = True
        for machine in self._machines:
            machine.power_cut()
        if self._keeper is not None:
            assert self._keeper.stdin is not None
            assert self._keeper.stdout is not None
            self._keeper.stdin.close()
            self._keeper.wait()
            self._keeper.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def cable(self) -> Cable:
        """Lay one more cable."""
        first = _FIRST_PORT + self._ends
        self._ends += 2
        return Cable(End(first, first + 1), End(first + 1, first))

    def lan(self, *addresses: str) -> None:
        """Make the local network: a bridge on which the host has these addresses (with prefix)."""
        self._ip("link", "add", _LAN, "type", "bridge")
        self._ip("link", "set", _LAN, "up")
        for address in addresses:
            self._ip("address", "add", address, "dev", _LAN)

    def lan_port(self) -> Tap:
        """One more port of the local network."""
        tap = Tap(f"tap{self._taps}")
        self._taps += 1
        self._ip("tuntap", "add", tap.name, "mode", "tap")
        self._ip("link", "set", tap.name, "master", _LAN, "up")
        return tap

    def veth(self, name: str, pid: int) -> str:
        """Plug the network namespace of process `pid` in, where the end is called `name`."""
        port = f"port{pid}"
        self._ip("link", "add", port, "type", "veth", "peer", "name", name, "netns", str(pid))
        self._ip("link", "set", port, "master", _LAN, "up")
        return port

    def unplug(self, tap: Tap) -> None:
        """Take a port out of the local network, until plug()."""
        self._ip("link", "set", tap.name, "nomaster")

    def plug(self, tap: Tap) -> None:
        """Put a port back."""
        self._ip("link", "set", tap.name, "master", _LAN)

    def _ip(self, *arguments: str) -> None:
        subprocess.run(self.inside("ip", *arguments), check=True, capture_output=True)

    def pull_cable(self, cable: Cable) -> None:
        """Let no frame through from now on.

        Silently: a vec interface has no carrier to lose, so only traffic shows it to the guests.
        """
        self._change_policies("add", cable)

    def plug_cable(self, cable: Cable) -> None:
        """Undo pull_cable. Raises CalledProcessError if the cable was not pulled."""
        self._change_policies("delete", cable)

    def _change_policies(self, verb: str, cable: Cable) -> None:
        for end in (cable.a, cable.b):
            argv = policy_argv(verb, end)
            subprocess.run(self.inside(*argv), check=True, capture_output=True)

    def inside(self, *argv: str) -> list[str]:
        """Return the command that runs argv inside the namespace."""
        assert self._keeper is not None
        enter = ("nsenter", "-t", str(self._keeper.pid), "-U", "-n", "--preserve-credentials")
        return [*enter, *argv]

    def adopt(self, machine: Powered, pid: int) -> None:
        """Take responsibility for a machine that runs as process group pid."""
        self._machines.append(machine)
        self._tell(f"+ {pid}")
        if self._closed:
            machine.power_cut()

    def release(self, machine: Powered, pid: int) -> None:
        """Forget a machine that has ended, and its pid, which may soon be someone else's."""
        self._machines = [known for known in self._machines if known is not machine]
        self._tell(f"- {pid}")

    def _tell(self, line: str) -> None:
        assert self._keeper is not None
        assert self._keeper.stdin is not None
        if self._keeper.stdin.closed:
            return  # the keeper has ended, and all machines before it
        self._keeper.stdin.write(f"{line}\n".encode())
        self._keeper.stdin.flush()
