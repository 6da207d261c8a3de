"""The agent's own way of telling, and the server that is told: both as they are."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from builder.plan import tokens
from firstboot import progress
from firstboot.engine import Refused, Step, converge
from firstboot.journal import Journal
from tests.firstboot.conftest import an_identity
from tests.serve.running import SECRET, Running


class Played(Step):
    """A step that is done at once, or refuses."""

    def __init__(self, name: str, refusal: Refused | None = None) -> None:
        self.name = name  # type: ignore[misc]
        self._refusal = refusal
        self._done = False

    def check(self) -> Sequence[str]:
        """Missing until it was applied."""
        return [] if self._done else ["a file is not as planned"]

    def apply(self) -> None:
        """Be done, or refuse."""
        if self._refusal:
            raise self._refusal
        self._done = True


@pytest.fixture
def journal(tmp_path: Path, server: Running) -> Journal:
    """julius's, as %post leaves it behind."""
    path = tmp_path / "node" / progress.CONFIGURATION
    path.parent.mkdir(parents=True)
    token = tokens.progress(SECRET, "julius")
    path.write_text(f'{{"token": "{token}", "url": "{server.origin}"}}')
    return Journal(tmp_path / "node", an_identity(), "boot-1")


def test_a_run_that_refuses(server: Running, journal: Journal) -> None:
    refusal = Refused("the disk <b>", "ksnode reset")
    steps = [Played("uplink"), Played("host"), Played("fencing", refusal)]
    with pytest.raises(Refused):
        converge(steps, journal, has=lambda _: True)
    journal.verdict("refused", evidence="the disk <b>", next="ksnode reset")
    journal.progress.flush(120)
    said = server.server.store.stages(server.key().pair)["julius"]
    events = {name: what.event for name, what in said.items()}
    assert events == {"uplink": "done", "host": "done", "fencing": "refused"}
    page = server.ask(server.page).text
    assert "<pre>the disk &lt;b&gt;</pre><p>Next:</p><pre>ksnode reset</pre>" in page.replace(
        "\n", ""
    )
