"""kill -9 of the server at any moment: what was acknowledged is there, and nodes go on."""

import random
import threading
import time
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from builder.plan import tokens
from builder.serve.store import Key, Store
from tests.serve.process import Process, serving

PAIR = "2f0c5a8e-6f5b-4c43-9b9e-7d3a3f0a9d14"
STAGES = ("disk", "packages", "uplink", "host", "replication")
ROUNDS = 6


def keep_telling(server: Process, node: str, stage: str, acknowledged: dict[str, int]) -> None:
    """Number after number, until nobody answers; the last one that was acknowledged."""
    number = acknowledged.get(f"{node} {stage}", 0)
    while True:
        number += 1
        try:
            status = server.tell(node, f"stage={stage}&event=waiting&detail={number}".encode())
        except (OSError, HTTPException):
            return
        assert status == 204
        acknowledged[f"{node} {stage}"] = number


@pytest.mark.timeout(600)
def test_nothing_that_was_acknowledged_is_lost(tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)  # noqa: S311
    moments, acknowledged = random.Random(seed), dict[str, int]()  # noqa: S311
    for _ in range(ROUNDS):
        with serving(tmp_path) as server:
            threads = [
                threading.Thread(target=keep_telling, args=(server, node, stage, acknowledged))
                for node in ("justinian", "julius")
                for stage in STAGES
            ]
            for thread in threads:
                thread.start()
            time.sleep(moments.uniform(0.05, 1.0))
            server.kill()
            for thread in threads:
                thread.join()
        store = Store(tmp_path / "state.sqlite", make=False)
        said = store.stages(PAIR)
        for told, number in acknowledged.items():
            node, stage = told.split()
            assert int(said[node][stage].detail) >= number, (told, f"seed {seed}")
        store.close()
    assert len(acknowledged) == 2 * len(STAGES)


@pytest.mark.timeout(600)
def test_a_node_goes_on_where_the_server_was_killed(tmp_path: Path) -> None:
    installer = {
        "X-RHN-Provisioning-MAC-0": "ens2 00:25:B3:22:D9:3C",
        "X-System-Serial-Number": "CZC00014A1",
    }
    with serving(tmp_path) as server:
        path = f"/ks/{tokens.kickstart(server.secret, 'justinian', 1)}"
        first = server.ask(path, headers=installer)
        assert first.status == 200
        server.kill()
    with serving(tmp_path) as server:
        again = server.ask(path, headers=installer)
        assert again.status == 200
        # The agent in it is the same; the introduction and the tokens come from the keys folder.
        assert again.body == first.body
        assert server.tell("justinian", b"stage=installed&event=done") == 204
        server.kill()
    with serving(tmp_path) as server:
        assert server.ask(path, headers=installer).status == 410
        assert b"starting its disk" in server.ask("/boot/00:25:b3:22:d9:3c/ipxe").body
        page = urlsplit(server.told["page"]).path
        assert b"Installed" in server.ask(page).body
    store = Store(tmp_path / "state.sqlite", make=False)
    allowance = store.allowance(Key(PAIR, "justinian"))
    assert allowance is not None
    assert allowance.installed is not None


def test_it_ends_when_it_is_told_to(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.process.terminate()
        assert server.process.wait(120) == 0
    assert "knows how far everything is" in (tmp_path / "log").read_text()
