"""Two agents of one pair on loopback, run in threads, cut and booted again as a test likes."""

import threading
import time
from pathlib import Path
from typing import Callable

from firstboot import commands, latches
from firstboot.rendezvous.session import Meeting
from firstboot.steps import Context
from firstboot.steps.meet import wait_for_peer
from firstboot.steps.secrets import Secrets
from tests.firstboot.conftest import Told, a_leaf, an_identity

PORT = 18444
NAMES = ("justinian", "julius")
KEYS = {name: f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{name}" for name in NAMES}


class Cut(BaseException):
    """The power went out."""


class Pair:
    """Two roots, and the agents that run on them until both are through the step."""

    def __init__(self, folder: Path, introduction: Path) -> None:
        self.roots = {name: folder / name for name in NAMES}
        for name, root in self.roots.items():
            a_leaf(introduction, root, name)
            (root / "etc/ssh").mkdir(parents=True)
            (root / "etc/ssh/ssh_host_ed25519_key.pub").write_text(f"{KEYS[name]} root@{name}\n")
        self.told = Told()
        self.cut: Callable[[Path, str], None] = lambda _path, _when: None

    def meeting(self, name: str) -> Meeting:
        return Meeting(an_identity(name), self.roots[name], f"boot of {name}", port=PORT)

    def step(self, name: str, meeting: Meeting) -> Secrets:
        identity, root = an_identity(name), self.roots[name]
        context = Context(identity, root, commands.run, self.told, meeting)
        return Secrets(context, sleep=lambda _: time.sleep(0.01))

    def boot(self, name: str, stop: threading.Event) -> bool:
        """One life of an agent: through the step and its barrier, or to the cut."""
        meeting = self.meeting(name)
        meeting.start()
        try:
            step = self.step(name, meeting)
            if step.check():
                step.apply()
            assert not step.check()
            meeting.reach(step.name)
            wait_for_peer(
                step._context, step.name, lambda: meeting.passed(step.name) or stop.is_set(),
                sleep=lambda _: time.sleep(0.01),
            )  # fmt: skip
            while not stop.wait(0.01):  # answers, as a node does that has gone on
                pass
        except Cut:
            return False
        finally:
            meeting.stop()
        return True

    def run(self) -> None:
        """Both agents, booted again after each cut, until both have stored everything."""
        stop, ends = threading.Event(), []

        def live(name: str) -> None:
            try:
                while not self.boot(name, stop):
                    pass
            except BaseException as error:
                ends.append(error)
                raise

        threads = [threading.Thread(target=live, args=(name,), daemon=True) for name in NAMES]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 60
        while not self.stored() and time.monotonic() < deadline and not ends:
            time.sleep(0.01)
        time.sleep(0.2)
        stop.set()
        for thread in threads:
            thread.join(10)
        assert not ends, ends
        assert self.stored(), "no end within a minute"

    def stored(self) -> bool:
        return all(latches.is_set(root, latches.SECRETS_STORED) for root in self.roots.values())

    def read(self, name: str, path: str) -> str:
        return (self.roots[name] / "etc/ksbuild" / path).read_text()
