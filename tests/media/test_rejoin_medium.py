"""From the survivor's ticket to the newcomer's first words: verb, builder, medium, %post, session.

What %post would write is taken off the medium, and the newcomer meets the node that issued it.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from firstboot import latches
from firstboot.commands import run
from firstboot.node import from_json
from firstboot.rendezvous import credentials
from firstboot.rendezvous.admission import Admission
from firstboot.rendezvous.session import Meeting
from firstboot.steps import Context
from firstboot.steps.secrets import Secrets
from firstboot.verbs.allowrejoin import make
from tests.firstboot.conftest import Told
from tests.media.sources import ROOT
from tests.media.test_two_builds import CROSSOVER, install

PORT, ENOUGH = 18461, 12


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    """The example, its crossover on loopback."""
    text = (ROOT / "profiles/example.toml").read_text()
    for old, new in CROSSOVER.items():
        text = text.replace(old, new.replace("127.0.9.", "127.0.11."))
    path = tmp_path / "pair.toml"
    path.write_text(text)
    return path


def iso(profile: Path, source: Path, *options: str | Path) -> Path:
    made = profile.parent / "made.iso"
    argv: list[str | Path] = [sys.executable, "-m", "builder", "iso", profile]
    argv += ["--source", source, "-o", made]
    more: list[str | Path] = ["--mode", "oemdrv", "--offline", "--force", *options]
    subprocess.run([*argv, *more], cwd=ROOT, check=True, capture_output=True)
    return made


class Agent:
    """One node's agent up to and with the secrets step."""

    def __init__(self, node_json: str, root: Path) -> None:
        self.identity, self.root = from_json(node_json), root
        boot = root / "proc/sys/kernel/random/boot_id"
        boot.parent.mkdir(parents=True, exist_ok=True)
        boot.write_text("a boot\n")
        key = root / "etc/ssh/ssh_host_ed25519_key.pub"
        key.parent.mkdir(exist_ok=True)
        key.write_text(f"ssh-ed25519 {'A' * 40} root@{self.identity.node}\n")
        self.meeting = Meeting(self.identity, root, f"boot of {root.name}", port=PORT)
        self.meeting.admit(Admission(self.identity, root, run).answer)
        self.step = Secrets(Context(self.identity, root, run, Told(), self.meeting))
        self.step.check()
        self.step._make_own()
        self.meeting.start()

    def latched(self) -> bool:
        return latches.is_set(self.root, latches.SECRETS_STORED)


@pytest.mark.parametrize("survivor", ["justinian", "julius"])
def test_a_node_comes_back_by_a_medium(
    profile: Path, demo_source: Path, tmp_path: Path, survivor: str
) -> None:
    both = iso(profile, demo_source)
    agents = {}
    try:
        for name in ("justinian", "julius"):
            root = tmp_path / name
            agents[name] = Agent(install(both, name, root), root)
        for _ in range(ENOUGH):
            for agent in agents.values():
                agent.step.advance()
                agent.meeting.ask()
        assert all(agent.latched() for agent in agents.values())
        newcomer = agents[survivor].identity.peer.name
        agents[newcomer].meeting.stop()
        shutil.rmtree(tmp_path / newcomer)
        shutil.rmtree(tmp_path / "pair.keys")  # the workstation was lost
        (tmp_path / "ticket").touch(0o600)
        (tmp_path / "ticket").write_text(
            make(agents[survivor].identity, tmp_path / survivor, 3600, run)
        )
        one = iso(profile, demo_source, "--rejoin", newcomer, "--ticket", tmp_path / "ticket")
        assert not (tmp_path / "pair.keys").exists()
        node_json = install(one, newcomer, tmp_path / newcomer)
        link = "etc/ksbuild/introduction/link.key"
        assert (tmp_path / newcomer / link).read_text() == (tmp_path / survivor / link).read_text()
        back = agents[newcomer] = Agent(node_json, tmp_path / newcomer)
        assert back.meeting.ask().differences == ()
        assert back.meeting.ask().kind == credentials.REJOIN
        for _ in range(ENOUGH):
            back.step.advance()
            back.meeting.ask()
        assert back.latched()
        back.step.make_known()
        assert back.meeting.ask().kind == credentials.PAIR
        assert not back.step.check()
    finally:
        for agent in agents.values():
            agent.meeting.stop()
