"""A pair that has its secrets, on loopback, and what lets a node of it come back."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from firstboot.commands import run
from firstboot.rendezvous import credentials, session
from firstboot.rendezvous.admission import Admission
from firstboot.rendezvous.session import Meeting
from firstboot.verbs.allowrejoin import make
from tests.firstboot.agents import NAMES, Pair
from tests.firstboot.conftest import a_ca, an_identity

OTHER = {NAMES[0]: NAMES[1], NAMES[1]: NAMES[0]}
LINK_KEY = "ksbuild-link-" + "5e" * 32
BOOT = "proc/sys/kernel/random/boot_id"


class Living(Pair):
    """A pair that has its secrets, of which each node lets the other come back."""

    def meeting(self, name: str) -> Meeting:
        made = super().meeting(name)
        made.admit(Admission(an_identity(name), self.roots[name], run).answer)
        return made

    def ticket(self, survivor: str, valid_s: int = 3600) -> dict[str, Any]:
        """What `ksnode allow-rejoin` prints on that node."""
        content = json.loads(make(an_identity(survivor), self.roots[survivor], valid_s, run))
        assert isinstance(content, dict)
        return content

    def install(self, name: str, given: dict[str, Any]) -> None:
        """The node's disk is new, and holds what %post takes off the medium."""
        root = self.roots[name]
        for part in ("etc", "var"):
            shutil.rmtree(root / part, ignore_errors=True)
        folder = root / "etc/ksbuild/rejoin"
        folder.mkdir(parents=True)
        for file, word in (("ca.crt", "ca"), ("node.crt", "certificate"), ("node.key", "key")):
            (folder / file).write_text(given[word])
        (root / "etc/ssh").mkdir()
        key = f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{name}New"
        (root / "etc/ssh/ssh_host_ed25519_key.pub").write_text(f"{key} root@{name}\n")


@pytest.fixture(scope="module")
def formed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The roots of a pair that has just exchanged its secrets."""
    folder = tmp_path_factory.mktemp("formed")
    pair = Living(folder, a_ca(folder / "introduction"))
    for root in pair.roots.values():
        (root / BOOT).parent.mkdir(parents=True)
        (root / BOOT).write_text("this boot\n")
        (root / "etc/ksbuild/introduction/link.key").write_text(f"{LINK_KEY}\n")
    pair.run()
    for root in pair.roots.values():
        for number, name in enumerate(NAMES, start=1):
            (root / f"etc/ksbuild/secrets/fence-{name}-1").write_text(f"bmc {number}")
            (root / f"etc/ksbuild/secrets/fence-{name}-1").chmod(0o600)
    return folder


@pytest.fixture
def pair(formed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Living:
    monkeypatch.setattr(session, "QUIET_S", 0.0)
    made = Living.__new__(Living)
    Living.__init__(made, tmp_path / "unused", formed / "introduction")
    for name in NAMES:
        shutil.copytree(formed / name, tmp_path / name)
        made.roots[name] = tmp_path / name
    return made


def ask(pair: Living, survivor: str, kind: str = credentials.REJOIN) -> session.State:
    """The other node's question by the ticket that its medium gave it, or by another kind."""
    newcomer = OTHER[survivor]
    issuer = pair.meeting(survivor)
    issuer.start()
    try:
        return pair.meeting(newcomer)._ask(kind)
    finally:
        issuer.stop()


def logged(caplog: pytest.LogCaptureFixture, text: str, times: int = 1) -> bool:
    """Whether the node that answers says so; it may do so after the caller has heard."""
    deadline = time.monotonic() + 10
    while caplog.text.count(text) < times and time.monotonic() < deadline:
        time.sleep(0.01)
    return caplog.text.count(text) == times
