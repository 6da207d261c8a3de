"""A pair on loopback addresses, with certificates made by openssl, and recorded machines."""

import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import pytest

from firstboot.commands import CommandError, Result
from firstboot.node import (
    SCHEMA,
    Account,
    Bridge,
    Cluster,
    Crossover,
    Drbd,
    FenceDevice,
    Gfs2,
    Guests,
    Identity,
    Ksm,
    Node,
    NodeUplink,
    Pair,
    Storage,
    Uplink,
)
from firstboot.thresholds import Monitoring
from firstboot.whom import Alerts

# The same tests run on three Pythons (tests/test_agent_pythons.py). This is for the dear cases that
# can differ between them in nothing: what is judged is another program's doing, or the case is one
# more of a table whose other cases take the same lines, sockets and TLS sessions of the agent.
ONE_PYTHON = pytest.mark.one_python

PAIR_ID = "6d3fb2c3-52f5-4e0a-8d0c-1c8d2f6a0b11"
MACS = tuple(f"52:54:00:01:00:0{n}" for n in (1, 2, 3))
PEER_MACS = tuple(f"52:54:00:02:00:0{n}" for n in (1, 2, 3))
LIMITS = Monitoring(80, 90, 60, 90, 10, 500, ())


def a_pair(platform: str = "el9") -> Pair:
    """A pair whose crossover lies on 127.0.7.0/24, so that two agents can meet on one machine."""
    return Pair(
        id=PAIR_ID,
        name="00014",
        platform=platform,
        ssh_passwords=False,
        accounts=(Account("root", ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 one@example",)),),
        time_servers=(),
        uplink=Uplink("active-backup", None, 1500),
        crossover=Crossover("balance-rr", 100, 9000),
        bridges=(Bridge("br0.8", 8, ("10.0.8.112/22", "10.0.8.113/22")),),
        storage=Storage(os_gib=36, grain_sectors=2048, raid_degraded="refuse"),
        drbd=Drbd(7788, 256, "crc32c"),
        gfs2=Gfs2(128, "/srv/vmdata"),
        cluster=Cluster(5000, 1, 0, True, 10),
        ksm=Ksm(True, 60, 20, 10),
        guests=Guests(256, 2),
        monitoring=LIMITS,
        alerts=Alerts((), None, None, 25, None),
        nodes=(
            a_node("justinian", "CZC1", 1, MACS),
            a_node("julius", "CZC2", 2, PEER_MACS),
        ),
    )


def a_node(name: str, serial: str, number: int, macs: tuple[str, ...]) -> Node:
    """One of them; number 1 or 2 makes its addresses."""
    ports = (f"52:54:00:0{number}:00:00",)
    bmc = FenceDevice(1, "ipmilan", f"10.0.1.{number}", None, "ksfence", None, None)
    uplink = NodeUplink(ports, f"10.0.0.{number}/22", "10.0.3.254", ("10.0.3.254",))
    return Node(name, serial, uplink, f"127.0.7.{number}/24", macs, (bmc,))


def an_identity(node: str = "justinian", platform: str = "el9") -> Identity:
    """Who one of them is."""
    return Identity(SCHEMA, node, a_pair(platform))


class ScriptedRun:
    """A door for programs that plays a script: every call in order, nothing more, nothing less."""

    def __init__(self) -> None:
        self._expected: list[tuple[str, Result]] = []

    def expect(self, command: str, stdout: str = "", returncode: int = 0) -> "ScriptedRun":
        """The next call must be this command; it answers so."""
        result = Result(tuple(shlex.split(command)), returncode, stdout, "")
        self._expected.append((command, result))
        return self

    def __call__(
        self,
        argv: Sequence[str],
        *,
        stdin: Optional[str] = None,
        ok: tuple[int, ...] = (0,),
        timeout_s: float = 0,
    ) -> Result:
        del stdin, timeout_s
        came = shlex.join(argv)
        assert self._expected, f"unexpected command: {came}"
        expected, result = self._expected.pop(0)
        assert came == expected
        if result.returncode not in ok:
            raise CommandError(result)
        return result

    def assert_finished(self) -> None:
        """Every expected command was run."""
        assert not self._expected, f"never run: {[command for command, _ in self._expected]}"


def openssl(folder: Path, *arguments: str) -> None:
    """Run openssl in a folder."""
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def a_ca(folder: Path) -> Path:
    """A CA below `folder`."""
    folder.mkdir(parents=True)
    openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-days", "3650", "-subj", "/CN=ca",
            "-addext", "basicConstraints=critical,CA:TRUE")  # fmt: skip
    return folder


CA_CONFIG = """
[ca]
default_ca = it
[it]
database = index.txt
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = names
[names]
commonName = supplied
"""


def a_leaf(ca: Path, root: Path, name: str, *, dates: tuple[str, str] = ("2020", "2080")) -> None:
    """A leaf for `name` from `ca`, valid between two years, laid where a node's agent looks."""
    folder = root / "etc/ksbuild/introduction"
    folder.mkdir(parents=True)
    (folder / "ext").write_text(f"subjectAltName=DNS:{name}\n")
    (folder / "ca.conf").write_text(CA_CONFIG)
    (folder / "index.txt").touch()
    openssl(folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", "node.key", "-out", "node.csr", "-subj", f"/CN={name}")  # fmt: skip
    openssl(folder, "ca", "-batch", "-notext", "-config", "ca.conf", "-in", "node.csr",
            "-cert", f"{ca}/ca.crt", "-keyfile", f"{ca}/ca.key", "-out", "node.crt",
            "-extfile", "ext", "-startdate", f"{dates[0]}0101000000Z",
            "-enddate", f"{dates[1]}0101000000Z")  # fmt: skip
    (folder / "ca.crt").write_bytes((ca / "ca.crt").read_bytes())


@pytest.fixture(scope="session")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The roots of two nodes of one pair, by name, and of a stranger from another pair."""
    folder = tmp_path_factory.mktemp("roots")
    ca, other = a_ca(folder / "ca"), a_ca(folder / "other-ca")
    roots = {name: folder / name for name in ("justinian", "julius", "stranger", "impostor")}
    a_leaf(ca, roots["justinian"], "justinian")
    a_leaf(ca, roots["julius"], "julius")
    a_leaf(other, roots["stranger"], "julius")
    a_leaf(ca, roots["impostor"], "somebody")
    return roots


@pytest.fixture
def told() -> "Told":
    """Collects what steps report."""
    return Told()


class Told:
    """A Report that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []

    def __call__(self, step: str, event: str, detail: str = "") -> None:
        self.events.append((step, event, detail))
