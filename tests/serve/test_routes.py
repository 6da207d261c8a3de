"""Every route there is, tried by whoever may not: no token, another's, too much of anything."""

import contextlib
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.routing import Route

from builder.plan import tokens
from builder.serve import run
from builder.serve.answers import HEADERS
from builder.serve.events import LARGEST_BYTES
from tests.serve.running import OTHER, SECRET, Answered, Running, running, served

ROUTES = (
    "/ks/{token}",
    "/events",
    "/boot/{mac}/ipxe",
    "/boot/{mac}/grub.cfg",
    "/see/{token}/",
    "/see/{token}/live",
    "/see/{token}/status",
    "/see/{token}/metrics",
    "/see/{token}/{asset}",
    "/see/{token}/pair/{pair}",
    "/see/{token}/pair/{pair}/live",
)
OPEN = ("/boot/{mac}/ipxe", "/boot/{mac}/grub.cfg")
NODES_OWN = ("# Kickstart of", "justinian", "julius", "00014")
READS = ("GET", "HEAD")
METHODS = (*READS, "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND")


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Running]:
    """Two pairs, with keys of their own; the first one's opens the page."""
    with running(tmp_path, served(SECRET, OTHER)) as one:
        yield one


def routes(server: Running) -> list[str]:
    return [route.path for route in server.server.app().routes if isinstance(route, Route)]


def kept(answer: Answered, *, body: bool = True) -> None:
    """Every answer has the headers that keep it where it belongs, and none of the server's."""
    for name, value in HEADERS.items():
        assert answer.headers[name.lower()] == value
    assert "server" not in answer.headers
    assert answer.headers["content-security-policy"].startswith("default-src 'none';")
    if body and answer.status >= 400:
        assert answer.body.endswith(b"\n")


def filled(route: str, token: str, pair: str) -> str:
    asked = route.replace("{token}", token).replace("{mac}", "00:25:B3:22:D9:3C")
    return asked.replace("{pair}", pair).replace("{asset}", "page.css")


def test_these_are_all(server: Running) -> None:
    assert sorted(routes(server)) == sorted(ROUTES)


@pytest.mark.parametrize("route", [route for route in ROUTES if route not in OPEN])
def test_without_its_token(two: Running, route: str) -> None:
    """No token, a wrong one, and every right one that is for something else."""
    pair = next(iter(two.server.catalog.pairs))
    own = {
        "/events": [tokens.progress(key, "julius") for key in (SECRET, OTHER)],
        "/ks/{token}": [],  # see below
    }.get(route, [tokens.page(SECRET)])
    everyones = [
        *(tokens.kickstart(key, "justinian", n) for key in (SECRET, OTHER) for n in (1, 2)),
        *(tokens.progress(key, "julius") for key in (SECRET, OTHER)),
        *(tokens.page(key) for key in (SECRET, OTHER)),
        *("", "x", "0" * 40, "%00", "%2e%2e", "..", "'or''='", "a" * 3000, tokens.digest("x")),
    ]
    for token in everyones:
        if token in own:
            continue
        method = "POST" if route == "/events" else "GET"
        header = {"Authorization": f"Bearer {token}"}
        answer = two.ask(filled(route, token, pair), method, b"stage=host&event=ok", header)
        assert answer.status in (401, 403, 404), (route, token)
        kept(answer)
        assert not [word for word in NODES_OWN if word in answer.text], answer.text
        assert not token or len(token) < 3 or token not in answer.text


@pytest.mark.parametrize(
    ("route", "method"),
    [(r, m) for r in ROUTES for m in METHODS if m not in (("POST",) if r == "/events" else READS)],
)
def test_with_another_method(two: Running, route: str, method: str) -> None:
    """What a route is not made for is refused, whatever token comes with it."""
    pair = next(iter(two.server.catalog.pairs))
    answer = two.ask(filled(route, tokens.page(SECRET), pair), method, b"x=1")
    assert answer.status == 405
    kept(answer, body=method != "HEAD")


def test_a_kickstart_is_for_its_own_node(two: Running) -> None:
    """With another node's token or hardware, with the page's token or that of progress."""
    mine, peer = two.kickstart("justinian"), two.kickstart("julius")
    assert two.ask(peer, headers=two.installer("justinian")).status == 403
    assert two.ask(mine, headers=two.installer("julius")).status == 403
    assert two.ask(mine).status == 403
    assert two.ask(mine, headers=two.installer()).status == 200
    for token in (tokens.progress(SECRET, "justinian"), tokens.page(SECRET), tokens.digest(mine)):
        answer = two.ask(f"/ks/{token}", headers=two.installer())
        assert answer.status == 404
        kept(answer)


def test_a_node_tells_of_itself_alone(two: Running) -> None:
    two.tell("uplink", "ok", "of julius", node="julius")
    said = two.server.store.stages(two.key().pair)
    assert list(said) == ["julius"]
    other = next(pair for pair in two.server.catalog.pairs if pair != two.key().pair)
    assert two.server.store.stages(other) == {}


@pytest.mark.parametrize("scheme", ["Basic", "bearer", "", "Bearer\t"])
def test_only_bearer_is_a_token(server: Running, scheme: str) -> None:
    token = tokens.progress(SECRET, "justinian")
    header = {"Authorization": f"{scheme} {token}"}
    assert server.ask("/events", "POST", b"stage=host&event=ok", header).status == 401


@pytest.mark.parametrize("extra", [0, 1])
def test_64_kib_and_one_byte(server: Running, extra: int) -> None:
    """The largest body is taken, one byte more is not, by any way of sending it."""
    token = tokens.progress(SECRET, "justinian")
    start = b"stage=host&event=ok&detail="
    body = start + b"x" * (LARGEST_BYTES + extra - len(start))
    answer = server.ask("/events", "POST", body, {"Authorization": f"Bearer {token}"})
    assert answer.status == (413 if extra else 204)
    kept(answer)
    head = f"POST /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    chunks = f"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n".encode()
    came = server.raw(head.encode() + chunks + body + b"\r\n0\r\n\r\n")
    assert came.startswith(b"HTTP/1.1 413" if extra else b"HTTP/1.1 204")
    assert server.tell("host", "ok").status == 204, "and it still serves"


def test_what_claims_to_be_huge_is_not_waited_for(server: Running) -> None:
    token = tokens.progress(SECRET, "justinian")
    head = f"POST /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    came = server.raw(
        head.encode() + b"Content-Length: 1000000000000\r\n\r\n" + b"x" * 70_000, ends=True
    )
    assert came.startswith(b"HTTP/1.1 413")


TRAVERSALS = (
    *("../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/state.sqlite", "....//", "/"),
    *("page.css/..", "page.css%00.js", "..\\app.py", "%5c..%5capp.py", "app.py", "state.sqlite"),
    *("__init__.py", "pair/../page.css", "./page.css", "page.css?x=/etc/passwd", "PAGE.CSS"),
)


@pytest.mark.parametrize("path", TRAVERSALS)
def test_no_path_leads_out(server: Running, path: str) -> None:
    """There are no files behind the routes, so no path can name one."""
    for before in (server.page, "/ks/", "/boot/", "/", f"{server.page}pair/", "/see/"):
        answer = server.ask(before + path)
        assert answer.status in (403, 404, 405, 200)
        kept(answer)
        if answer.status == 200:
            assert before == server.page
            assert answer.headers["content-type"].startswith("text/css")
        assert b"root:" not in answer.body
        assert b"SQLite" not in answer.body
        assert b"import" not in answer.body


def test_nothing_of_a_request_gets_into_an_answers_head(server: Running) -> None:
    evil = "x%0d%0aSet-Cookie:%20a=b%0d%0a%0d%0a<script>"
    paths = [server.page + evil, f"/ks/{evil}", f"/boot/{evil}/ipxe", f"/{evil}", f"/see/{evil}/"]
    for path in [*paths, f"{server.page}pair/{evil}", f"{server.page}pair/{evil}/live"]:
        answer = server.ask(path)
        assert "set-cookie" not in answer.headers
        assert "<script>" not in answer.text
        kept(answer)
    hosts = "Host: evil.example\r\nX-Forwarded-Host: evil.example"
    for path in ("/see/x", server.page, server.page.rstrip("/")):
        came = server.raw(f"GET {path} HTTP/1.1\r\n{hosts}\r\nConnection: close\r\n\r\n".encode())
        assert came.startswith(b"HTTP/1.1 200" if path == server.page else b"HTTP/1.1 404"), came
        assert b"evil" not in came
        assert not re.search(rb"^location:", came, re.IGNORECASE | re.MULTILINE)


NONSENSE = (
    b"",
    b"\x00" * 100,
    b"GET",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    b"POST /events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,
)


@pytest.mark.parametrize("sent", NONSENSE, ids=range(len(NONSENSE)))
def test_what_is_no_request(server: Running, sent: bytes) -> None:
    came = server.raw(sent, ends=True)
    assert not came or re.match(rb"HTTP/1.1 4\d\d ", came)
    assert server.ask(server.page).status == 200


def test_who_never_asks_is_hung_up_on(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    callers = [socket.create_connection(("127.0.0.1", server.port), timeout=240) for _ in range(50)]
    for number, caller in enumerate(callers):
        if number % 2:  # an answer before it buys no more time
            caller.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert caller.recv(65536).startswith(b"HTTP/1.1 404 ")
            caller.sendall(b"GET / HT")
        else:
            caller.sendall(b"GET / HTTP/1.1\r\nX: "[:number])
    monkeypatch.setattr(run, "SILENT_S", 2)
    for caller in callers:
        with caller, contextlib.suppress(ConnectionResetError):
            while caller.recv(65536):
                pass
    monkeypatch.undo()
    assert server.ask(server.page).status == 200


@pytest.mark.parametrize("end", range(1, 40, 5))
def test_a_header_that_is_not_ascii(server: Running, end: int) -> None:
    header = {"X-RHN-Provisioning-MAC-0": "\xe9" * end, "X-System-Serial-Number": "\xff"}
    answer = server.ask(server.kickstart(), headers=header)
    assert answer.status == 403
    assert quote(server.kickstart()) not in answer.text
