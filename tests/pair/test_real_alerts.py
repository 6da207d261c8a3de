"""Real pacemaker on two nodes calls the real alert program, and somebody hears of it."""

from __future__ import annotations

import email
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pair.pacemakers import NAMES
from tests.pair.telling import Telling

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Telling]:
    with Telling(tmp_path) as nodes:
        yield nodes


def mails(nodes: Telling) -> list[str]:
    found = (said[2] for said in nodes.heard() if said[0] == "pair@example.org")
    return [email.message_from_string(text)["Subject"] for text in found]


def hooked(nodes: Telling) -> list[tuple[str, str, str]]:
    bodies = [json.loads(body) for path, _, body in nodes.heard() if path == "/hook/t0ken"]
    return [(body["node"], body["what"], body["detail"]) for body in bodies]


def comes(nodes: Telling, subject: str) -> None:
    nodes.wait(subject, lambda: f"[00014] {subject}" in mails(nodes))


def test_what_befalls_a_pair_is_told(nodes: Telling) -> None:
    """Health, a live move, a failed guest, a lost node; each by pacemaker's own call."""
    me = nodes.where()
    (peer,) = set(NAMES) - {me}
    nodes.listen()
    for name in NAMES:
        as_it = "setpriv --reuid hacluster --regid haclient --init-groups"
        said = nodes.on(name, *as_it.split(), "/usr/local/libexec/ksbuild/alert", "--test")
        assert said == "mail: told\nwebhook: told\n"
    nodes.typed(me, "tell", "raid", "green")
    nodes.typed(me, "tell", "raid", "red")
    comes(nodes, f"health of {me}: raid is red")
    comes(nodes, f"vm1 was moved live to {peer}")
    nodes.typed(me, "tell", "raid", "green")
    comes(nodes, f"health of {me}: raid is green")
    nodes.on(peer, "crm_resource", "--fail", "--resource", "vm1", "--node", peer)
    comes(nodes, f"vm1: asyncmon has failed on {peer}: error (1)")
    comes(nodes, f"vm1 has stopped on {peer}")
    comes(nodes, f"vm1 has started on {peer}")
    away = "julius"  # whoever listens is on the other one
    nodes.lose(away)
    comes(nodes, f"{away} is lost to the cluster, or has left it")
    hooks = hooked(nodes)
    lost = f"{away} is lost to the cluster, or has left it; next: ksnode why"
    assert ("justinian", "failed", lost) in hooks
    assert (peer, "ok", f"vm1 has started on {peer}") in hooks
    assert not [text for *_, text in hooks if text.startswith(f"vm1 has stopped on {me}")], "moved"
    assert len(mails(nodes)) == len(hooks), "each by both ways"
    for told in set(mails(nodes)) - {"[00014] a test, typed by a human: nothing has happened"}:
        assert mails(nodes).count(told) == 1
    assert "t0ken" not in nodes.log("justinian")
    assert "t0ken" not in nodes.on("justinian", "cibadmin", "--query")


def test_no_other_of_the_clusters_people_reads_the_secret(nodes: Telling) -> None:
    nodes.listen()
    script = (
        "setpriv --reuid nobody --regid haclient --groups haclient -- sh -c"
        " 'cat /etc/ksbuild/alerts.json >/dev/null && ! cat /etc/ksbuild/alerts.secret'"
    )
    assert "Permission denied" in nodes.on("julius", "sh", "-c", script)
