"""The alert agent tells by mail, webhook and progress page, whatever becomes of one of them."""

import email
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import pytest

from firstboot import alerting, alerts, files, progress, teller
from firstboot.exits import FAILED, OK
from firstboot.node import Identity, to_json
from firstboot.render import alerts as rendered
from firstboot.whom import Alerts
from tests.firstboot.conftest import an_identity
from tests.firstboot.listening import Relay, Web
from tests.firstboot.test_alerts import BLOCKS

HOOK = "/hook/t0ken?x=1"
PAGE_TOKEN = "ksbuild-progress-" + "d" * 40


class Servers:
    """A relay and a web server on loopback, and what each was told."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, list[str], str]] = []
        self.posts: list[tuple[str, dict[str, str], str]] = []
        self.relay = Relay(("127.0.0.1", 0), lambda *said: self.mails.append(said))
        self.web = Web(("127.0.0.1", 0), lambda *said: self.posts.append(said))

    def posted(self, path: str) -> list[str]:
        return [body for where, _, body in self.posts if where == path]


@pytest.fixture
def servers() -> Iterator[Servers]:
    servers = Servers()
    yield servers
    for server in (servers.relay, servers.web):
        server.shutdown()
        server.server_close()


def told_by(servers: Servers, **other: Any) -> Identity:
    whom = Alerts(
        ("ada@example.org", "bob@example.org"),
        "pair@example.org",
        "127.0.0.1",
        servers.relay.server_address[1],
        "/root/webhook",
    )
    me = an_identity("julius", "debian12-lab")
    return replace(me, pair=replace(me.pair, alerts=replace(whom, **other)))


def lay(root: Path, identity: Identity, servers: Servers, *, hook: bool = True) -> None:
    """A node whose user hacluster is whoever runs this test."""
    (root / "etc/ksbuild").mkdir(parents=True)
    (root / "root").mkdir()
    user = f"hacluster:x:{os.getuid()}:{os.getgid()}::/var/lib/pacemaker:/bin/false\n"
    (root / "etc/passwd").write_text(f"root:x:0:0::/root:/bin/sh\n{user}")
    port = servers.web.server_address[1]
    if hook:
        (root / "root/webhook").write_text(f"http://127.0.0.1:{port}{HOOK}\n")
        (root / "root/webhook").chmod(0o600)
    page = {"url": f"http://127.0.0.1:{port}", "token": PAGE_TOKEN}
    (root / progress.CONFIGURATION).write_text(json.dumps(page))
    (root / "etc/ksbuild/node.json").write_text(to_json(identity))
    files.write(root, rendered.render(identity))
    teller.provide(identity, root)
    assert teller.missing(identity, root) == []


@pytest.fixture
def happen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have pacemaker's agent called as it was for a recorded event."""
    monkeypatch.setattr(alerting, "SETTLING_S", 0.0)

    def event(name: str) -> None:
        for key in list(os.environ):
            if key.startswith("CRM_alert_"):
                monkeypatch.delenv(key)
        for key, value in BLOCKS[name].items():
            monkeypatch.setenv(key, value)
        assert alerting.main([], tmp_path) == OK

    return event


Happen = Callable[[str], None]


def test_each_way_is_told_once(tmp_path: Path, servers: Servers, happen: Happen) -> None:
    lay(tmp_path, told_by(servers), servers)
    for name in ("guest monitor ok", "health red", "health red", "fail count"):
        happen(name)
    ((sender, recipients, text),) = servers.mails
    assert (sender, recipients) == ("pair@example.org", ["ada@example.org", "bob@example.org"])
    message = email.message_from_string(text)
    assert message["Subject"] == "[00014] health of julius: raid is red"
    assert (message["Auto-Submitted"], message["To"]) == (
        "auto-generated",
        "ada@example.org, bob@example.org",
    )
    assert message.get_payload() == (
        "health of julius: raid is red\n\ntold by julius of pair 00014\nnext: ksnode why"
    )
    said = json.loads(*servers.posted(HOOK))
    assert abs(said.pop("at") - time.time()) < 600
    assert said == {
        "schema": "ksbuild/webhook/1",
        "pair": "00014",
        "node": "julius",
        "stage": "alerts",
        "what": "failed",
        "detail": "health of julius: raid is red; next: ksnode why",
    }
    assert servers.posted("/events") == [
        "stage=alerts&event=failed&detail=health+of+julius%3A+raid+is+red%3B+next%3A+ksnode+why"
    ]
    (headers,) = (headers for where, headers, _ in servers.posts if where == "/events")
    assert headers["Authorization"] == f"Bearer {PAGE_TOKEN}"
    happen("health green")
    assert servers.posted("/events")[1] == (
        "stage=alerts&event=ok&detail=health+of+julius%3A+raid+is+green"
        "+%281+more+since+the+last+message%29"
    )


def test_what_was_held_back_is_told_by_who_looks_after_health(
    tmp_path: Path, servers: Servers, happen: Happen, monkeypatch: pytest.MonkeyPatch
) -> None:
    alerting.tell_overdue(tmp_path)  # where the step has not been yet
    lay(tmp_path, told_by(servers), servers)
    for name in ("guest stop ok", "guest stop ok", "health red", "health red"):
        happen(name)
    alerting.tell_overdue(tmp_path)
    assert len(servers.mails) == 2
    later = time.time() + alerts.QUIET_S + 1
    monkeypatch.setattr(time, "time", lambda: later)
    alerting.tell_overdue(tmp_path)
    alerting.tell_overdue(tmp_path)
    subjects = [email.message_from_string(text)["Subject"] for *_, text in servers.mails]
    assert subjects[2:] == ["[00014] health of julius: raid is red (and 1 more)"]
    assert "vm1 has stopped on julius\n" in servers.mails[2][2]


def answer_garbage(listener: socket.socket) -> None:
    with listener.accept()[0] as caller:
        caller.sendall(b"\xff\0\n" * 9)


@pytest.mark.parametrize("fault", ["nobody", "silent", "garbage"])
def test_a_relay_that_is_not_one_keeps_nobody_up(
    tmp_path: Path,
    servers: Servers,
    happen: Happen,
    fault: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if fault == "garbage":
            threading.Thread(target=answer_garbage, args=(listener,)).start()
        lay(tmp_path, told_by(servers, relay_port=listener.getsockname()[1]), servers)
        if fault == "nobody":
            listener.close()
        started = time.monotonic()
        happen("node lost")
        assert time.monotonic() - started < alerting.PATIENCE_S + 20
    assert len(servers.posts) == 2
    assert "ksnode: alert: mail: " in capsys.readouterr().err


def test_no_fault_tells_where_the_webhook_is(
    tmp_path: Path, servers: Servers, happen: Happen, capsys: pytest.CaptureFixture[str]
) -> None:
    refusing = Web(("127.0.0.1", 0), lambda *_: None, status=403)
    lay(tmp_path, told_by(servers), servers)
    for url in (
        f"http://127.0.0.1:{refusing.server_address[1]}/t0ken",
        "http://t0ken.invalid/t0ken",
        "http://127.0.0.1:1/t0ken",
        "http://[t0ken/",
        "http://127.0.0.1:t0ken/",
    ):
        (tmp_path / teller.SECRET).write_text(json.dumps({"progress": None, "webhook": url}))
        (tmp_path / teller.MEMORY).write_text("")
        happen("node lost")
        said = capsys.readouterr().err
        assert said.startswith("ksnode: alert: webhook: ")
        assert "t0ken" not in said
    refusing.shutdown()
    refusing.server_close()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"sent": []}', "\x00" * 200])
def test_a_memory_that_was_cut_off_is_a_new_one(
    tmp_path: Path, servers: Servers, happen: Happen, text: str
) -> None:
    lay(tmp_path, told_by(servers), servers)
    (tmp_path / teller.MEMORY).write_text(text)
    happen("node lost")
    happen("node lost")
    assert len(servers.mails) == 1


def test_without_a_memory_it_is_told_all_the_same(
    tmp_path: Path, servers: Servers, happen: Happen, capsys: pytest.CaptureFixture[str]
) -> None:
    lay(tmp_path, told_by(servers), servers)
    (tmp_path / teller.MEMORY).unlink()
    happen("node lost")
    assert len(servers.mails) == 1
    assert "No such file" in capsys.readouterr().err


def test_many_agents_at_once_tell_it_once(
    tmp_path: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay(tmp_path, told_by(servers), servers)
    for key, value in BLOCKS["node lost"].items():
        monkeypatch.setenv(key, value)
    agents = [threading.Thread(target=alerting.main, args=([], tmp_path)) for _ in range(20)]
    for agent in agents:
        agent.start()
    for agent in agents:
        agent.join()
    assert len(servers.mails) == 1
    held = json.loads((tmp_path / teller.MEMORY).read_text())["things"]["node julius"]["held"]
    assert held == 19


def test_a_stop_that_overtakes_its_live_move_is_no_news(
    tmp_path: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pacemaker starts a program for each within a tenth of a second, and either may be first."""
    lay(tmp_path, told_by(servers), servers)
    at_work = []
    for name in ("guest stop ok", "guest migrate_to ok"):
        monkeypatch.setattr(os, "environ", {**os.environ, **BLOCKS[name]})
        at_work.append(threading.Thread(target=alerting.main, args=([], tmp_path)))
        at_work[-1].start()
        time.sleep(0.5)
    for agent in at_work:
        agent.join()
    assert servers.mails == []


def test_a_test_says_how_each_way_went(
    tmp_path: Path, servers: Servers, capsys: pytest.CaptureFixture[str]
) -> None:
    lay(tmp_path, told_by(servers), servers)
    assert alerting.main(["--test"], tmp_path) == OK
    assert capsys.readouterr().out == "mail: told\nwebhook: told\nprogress page: told\n"
    assert "nothing has happened" in servers.mails[0][2]
    servers.relay.refuse = "ada@example.org"
    assert alerting.main(["--test"], tmp_path) == OK, "bob was told"
    servers.web.shutdown()
    servers.web.server_close()
    assert alerting.main(["--test"], tmp_path) == FAILED
    assert "webhook: ConnectionRefusedError\n" in capsys.readouterr().out
