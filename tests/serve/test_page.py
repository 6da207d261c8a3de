"""The page: well-formed, everything of a node's escaped, JSON and Prometheus saying the same."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from builder.serve import page
from builder.serve.stages import NAMES, Said, way
from tests.serve.running import OTHER, SECRET, Running, running, served

EVIL = "</pre></li><script>alert(1)</script><img src=x onerror=alert(2)>&quot;\"' 50 %\n# HELP x\n"
VOID = {"meta", "link", "progress-void"}


class Checked(HTMLParser):
    """What stands in a document; a tag that does not close what was opened is an error."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.mark.parametrize("stage", NAMES)
@pytest.mark.parametrize("event", ["ok", "refused", "waiting"])
def test_whatever_a_node_says_is_text(stage: str, event: str) -> None:
    ways = [way("n1", {stage: Said(event, EVIL, 1.0, 2.0)}), way("n2", {})]
    html = page.pair_page("<b>&", ways, 3.0, base="../", alone=False)
    found = Checked(html)
    assert {tag for tag, _ in found.tags} <= {
        *("html", "head", "meta", "title", "link", "noscript", "script", "body", "main", "h1"),
        *("nav", "ul", "li", "a", "div", "section", "h2", "h3", "p", "strong", "span", "progress"),
        *("ol", "time", "pre", "footer", "details", "summary"),
    }
    scripts = [attributes for tag, attributes in found.tags if tag == "script"]
    assert scripts == [{"src": "../page.js", "defer": None}]
    for _, attributes in found.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
    if stage != "result" or event != "ok":
        assert "alert(1)" in "".join(found.words)


def test_ids_are_there_once() -> None:
    ways = [way(name, {"disk": Said("failed", "x", 1, 2)}) for name in ("a-disk", "a", "a.b")]
    for html in (
        page.pair_page("p", ways, 3.0, base="", alone=True),
        page.overview([("id1", "p", ways), ("id2", "q", ways)], 3.0),
    ):
        ids = [attributes["id"] for _, attributes in Checked(html).tags if "id" in attributes]
        assert len(ids) == len(set(ids))
    anchors = re.findall(r'href="#([^"]+)"', page.pair_page("p", ways, 3.0, base="", alone=True))
    assert len(anchors) == 3


def test_every_state_is_told_in_words() -> None:
    """Nothing by colour or sign alone: the word stands beside each sign."""
    said = {
        "disk": Said("failed", "x", 1, 2),
        "packages": Said("started", "", 1, 2),
        "fencing": Said("refused", "x", 1, 2),
        "rendezvous": Said("waiting", "x", 1, 2),
        "memory": Said("absent", "", 1, 2),
    }
    html = page.pair_page("p", [way("n", said)], 3.0, base="", alone=True)
    for words in ("failed", "refused", "waiting", "not on this platform", "done", "to come"):
        assert f'<span class="state">{words}</span>' in html
    assert html.count('class="mark" aria-hidden="true"') == len(way("julius", {}).rows)


def test_it_stops_loading_itself_when_all_is_done(server: Running) -> None:
    assert 'http-equiv="refresh"' in server.ask(server.page).text
    for node in ("justinian", "julius"):
        server.tell("report", "done", "locks 2000", node=node)
        server.tell("result", "complete", node=node)
    text = server.ask(server.page).text
    assert "refresh" not in text
    assert text.count("locks 2000") == 1


def test_two_pairs_have_a_table_and_a_page_each(tmp_path: Path) -> None:
    with running(tmp_path, served(SECRET, OTHER)) as one:
        one.tell("packages", "started")
        overview = one.ask(one.page)
        Checked(overview.text)
        places = re.findall(r'href="(pair/[^"]+)"', overview.text)
        assert len(places) == 2
        assert "Packages: running" in overview.text
        pages = [one.ask(one.page + place).text for place in places]
        assert "Pair 00014" in pages[0]
        assert "Pair 00015" in pages[1]
        for text in pages:
            Checked(text)
            assert '<a href="../">All pairs</a>' in text


def test_programs_read_the_same(server: Running) -> None:
    server.tell("fencing", "refused", 'the "BMC"\\\nis off; next: ipmitool')
    server.tell("result", "complete", node="julius")
    answer = server.ask(f"{server.page}status")
    assert answer.headers["content-type"].startswith("application/json")
    said = json.loads(answer.body)
    assert said["schema"] == "ksbuild/serve-status/1"
    first, second = said["pairs"][0]["nodes"]
    assert first["stopped"] == ["fencing"]
    stage = next(s for s in first["stages"] if s["name"] == "fencing")
    assert (stage["evidence"], stage["next"]) == ('the "BMC"\\\nis off', "ipmitool")
    assert second["complete"]
    lines = server.ask(f"{server.page}metrics").text.splitlines()
    assert 'ksbuild_node_stopped{pair="00014",node="justinian"} 1' in lines
    assert 'ksbuild_node_complete{pair="00014",node="julius"} 1' in lines
    assert "ksbuild_events_total 2" in lines
    for line in lines:
        assert re.fullmatch(
            r'# (HELP|TYPE) .*|ksbuild_\w+(\{pair="\w+",node="\w+"\})? [0-9.]+', line
        )


def test_watchers_are_told_of_changes(server: Running) -> None:
    import socket

    with socket.create_connection(("127.0.0.1", server.port), timeout=120) as watching:
        watching.sendall(f"GET {server.page}live HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        came = b""
        while b"data: 0" not in came:
            came += watching.recv(4096)
        assert b"text/event-stream" in came
        server.tell("disk", "started")
        while b"data: 1" not in came:
            came += watching.recv(4096)
