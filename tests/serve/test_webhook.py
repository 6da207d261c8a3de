"""What finished and what failed is told to one URL, at least once, whatever happens meanwhile."""

import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from builder.serve import webhook
from builder.serve.events import Event
from builder.serve.stages import NAMES
from builder.serve.webhook import Webhook, poster
from tests.serve.running import Running, running

PAIR = {"2f0c5a8e-6f5b-4c43-9b9e-7d3a3f0a9d14": "00014"}


@dataclass
class Hook:
    """Somebody's server: the statuses it answers with, then 200 for ever."""

    statuses: list[int] = field(default_factory=list)
    heard: list[dict[str, Any]] = field(default_factory=list)
    port: int = 0
    never: str = ""  # of this node nothing is taken


@pytest.fixture
def hook() -> Iterator[Hook]:
    one = Hook()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status = one.statuses.pop(0) if one.statuses else 200
            status = 404 if said["node"] == one.never else status
            self.send_response(status)
            self.send_header("Location", f"http://127.0.0.1:{one.port}/elsewhere")
            self.end_headers()
            if status == 200:
                one.heard.append(said)

        def do_GET(self) -> None:
            raise AssertionError("it was followed elsewhere")

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    one.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield one
    server.shutdown()
    server.server_close()


def eventually(true: Callable[[], object]) -> None:
    until = time.monotonic() + 120
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def with_hook(hook: Hook, said: list[str]) -> Webhook:
    return Webhook(poster(f"http://127.0.0.1:{hook.port}/secret-path"), PAIR, said.append)


def bring_up(server: Running) -> None:
    server.tell("fencing", "refused", "the BMC is julius's own; next: mend node.fencing")
    server.tell("result", "complete", node="julius")


def test_both_are_told(tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "FIRST_S", 0.05)
    hook.statuses = [500, 302, 404]  # none of these has taken it
    said: list[str] = []
    with running(tmp_path, webhook=with_hook(hook, said)) as server:
        bring_up(server)
        eventually(lambda: len(hook.heard) == 2)
    failed, finished = sorted(hook.heard, key=lambda said: str(said["what"]))
    assert failed["schema"] == "ksbuild/webhook/1"
    assert (failed["what"], failed["pair"], failed["node"]) == ("failed", "00014", "justinian")
    assert failed["detail"] == "the BMC is julius's own; next: mend node.fencing"
    assert (finished["what"], finished["node"]) == ("finished", "julius")
    assert [line.split(";")[0] for line in said if line.startswith("webhook")] == [
        "webhook: status 500",
        "webhook: status 302",
        "webhook: status 404",
    ]
    assert not [line for line in said if "secret-path" in line]


def test_what_was_not_taken_is_told_after_a_restart(tmp_path: Path, hook: Hook) -> None:
    with running(tmp_path) as server:  # nobody is told
        bring_up(server)
    with running(tmp_path, webhook=with_hook(hook, [])):
        eventually(lambda: len(hook.heard) == 2)
    with running(tmp_path, webhook=with_hook(hook, [])) as server:
        server.tell("host", "failed")
        eventually(lambda: len(hook.heard) == 3)
    assert hook.heard[-1]["stage"] == "host"


def test_nobody_there_holds_nothing_up(tmp_path: Path) -> None:
    said: list[str] = []
    dead = Webhook(poster("http://127.0.0.1:9/"), PAIR, said.append)
    with running(tmp_path, webhook=dead) as server:
        bring_up(server)
        assert server.ask(server.page).status == 200
        eventually(lambda: [line for line in said if "ConnectionError" in line])


def test_one_that_is_never_taken_holds_no_other_back(
    tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And there may be more than are looked at together."""
    monkeypatch.setattr(webhook, "FIRST_S", 0.05)
    hook.never = "justinian"
    with running(tmp_path) as server, server.server.store.transaction():
        server.server.store.hear(server.key(), Event("fencing", "refused"), time.time())
        for stage in NAMES:
            server.server.store.hear(server.key("julius"), Event(stage, "failed"), time.time())
    said: list[str] = []
    with running(tmp_path, webhook=with_hook(hook, said)):
        eventually(lambda: len(hook.heard) == len(NAMES))
    assert len(NAMES) > 20
    assert {told["node"] for told in hook.heard} == {"julius"}
    assert any("status 404" in line for line in said)
