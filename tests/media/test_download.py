"""Downloads from real servers that break, lie and change their mind."""

import fcntl
import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests

from builder.media import download
from builder.media.checksums import checksum_of
from builder.media.download import fetch, shown
from builder.media.errors import SourceError
from tests.packages.webserver import Handler, Site, certificate, serving

CONTENT = bytes(range(256)) * 20_000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
HALF = 3 * 1024 * 1024


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    context, trusted = certificate(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "time", SimpleNamespace(sleep=lambda _: None))
    with serving(context) as found:
        found.files["/el9.iso"] = CONTENT
        yield found


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def left(cache: Path) -> list[str]:
    """What is in the cache, without locks."""
    return sorted(p.name.partition("-")[2] for p in cache.iterdir() if p.suffix != ".lock")


def refused(url: str, cache: Path, sha256: str | None = DIGEST, **more: object) -> SourceError:
    with pytest.raises(SourceError) as caught:
        fetch(url, cache, sha256=sha256, **more)  # type: ignore[arg-type]
    assert caught.value.hint
    assert "\n" not in caught.value.message
    return caught.value


def test_once_and_from_the_cache(site: Site, cache: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = fetch(f"{site.url}/el9.iso", cache, sha256=DIGEST.upper(), progress=_note(seen))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert path.name.endswith("-el9.iso")
    assert fetch(f"{site.url}/el9.iso", cache, sha256=DIGEST) == path
    assert len(site.asked) == 1
    assert left(cache) == ["el9.iso"]


def _note(seen: list[tuple[int, int]]) -> Callable[[int, int], None]:
    return lambda done, total: seen.append((done, total))


def test_a_damaged_copy_in_the_cache_is_replaced(site: Site, cache: Path) -> None:
    path = fetch(f"{site.url}/el9.iso", cache, sha256=DIGEST)
    path.write_bytes(b"rot")
    assert fetch(f"{site.url}/el9.iso", cache, sha256=DIGEST).read_bytes() == CONTENT


def test_needs_a_checksum(site: Site, cache: Path) -> None:
    error = refused(f"{site.url}/el9.iso", cache, None)
    assert "--no-verify-source" in error.hint
    assert not site.asked
    assert fetch(f"{site.url}/el9.iso", cache, verify=False).read_bytes() == CONTENT


def test_wrong_checksum(site: Site, cache: Path) -> None:
    error = refused(f"{site.url}/el9.iso", cache, "0" * 64)
    assert "0" * 64 in error.message
    assert DIGEST in error.message
    assert left(cache) == []
    assert "not 64" in refused(f"{site.url}/el9.iso", cache, "12").message


@pytest.mark.parametrize("remote", [True, False])
@pytest.mark.parametrize(
    "line", ["SHA256 (el9.iso) = {}", "{}  el9.iso", "{} *el9.iso", "{}  ./el9.iso"]
)
def test_checksum_file(site: Site, cache: Path, tmp_path: Path, line: str, remote: bool) -> None:
    text = f"# el9.iso: 5120000 bytes\n{'1' * 64}  other.iso\n{line.format(DIGEST)}\n"
    site.files["/CHECKSUM"] = text.encode()
    (tmp_path / "CHECKSUM").write_text(text)
    place = f"{site.url}/CHECKSUM" if remote else tmp_path / "CHECKSUM"
    assert fetch(f"{site.url}/el9.iso", cache, checksum_file=place).read_bytes() == CONTENT
    assert left(cache) == ["el9.iso"]


def test_checksum_file_that_does_not_help(site: Site, cache: Path) -> None:
    site.files["/CHECKSUM"] = f"SHA256 (el9.iso.old) = {DIGEST}\n".encode()
    error = refused(f"{site.url}/el9.iso", cache, None, checksum_file=f"{site.url}/CHECKSUM")
    assert "has no SHA-256 of el9.iso" in error.message
    plain = "http://127.0.0.1/CHECKSUM"
    assert "not https" in refused(f"{site.url}/el9.iso", cache, None, checksum_file=plain).message
    assert checksum_of(f"SHA256 (xel9.iso) = {DIGEST}", "el9.iso") is None


def test_http_only_with_a_checksum(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as plain:
        plain.files["/el9.iso"] = CONTENT
        assert "not https" in refused(f"{plain.url}/el9.iso", cache, None, verify=False).message
        assert fetch(f"{plain.url}/el9.iso", cache, sha256=DIGEST).read_bytes() == CONTENT
    assert "not https" in refused("ftp://127.0.0.1/el9.iso", cache).message


def test_cut_in_the_middle_goes_on(site: Site, cache: Path) -> None:
    answers = iter([HALF, 1024 * 1024, None])
    site.odd["/el9.iso"] = lambda h: h.give(CONTENT, etag='"one"', most=next(answers))
    assert fetch(f"{site.url}/el9.iso", cache, sha256=DIGEST).read_bytes() == CONTENT
    assert [ranged for _, ranged in site.asked] == ["", f"bytes={HALF}-", "bytes=4194304-"]


def test_a_later_run_goes_on(site: Site, cache: Path) -> None:
    site.odd["/el9.iso"] = lambda h: h.give(CONTENT, etag='"one"', most=HALF if first() else 0)
    asked = iter([True])

    def first() -> bool:
        return next(asked, False)

    assert "broke the connection, 5 times" in refused(f"{site.url}/el9.iso", cache).message
    assert left(cache) == ["el9.iso.part", "el9.iso.part.etag"]
    del site.odd["/el9.iso"]
    assert fetch(f"{site.url}/el9.iso", cache, sha256=DIGEST).read_bytes() == CONTENT
    assert site.asked[-1][1] == f"bytes={HALF}-"
    assert left(cache) == ["el9.iso"]


@pytest.mark.parametrize("etag", ['"two"', ""])
def test_changed_in_between_begins_anew(site: Site, cache: Path, etag: str) -> None:
    old = bytes(len(CONTENT))
    answers = iter([(old, '"one"', HALF)])

    def changing(handler: Handler) -> None:
        content, tag, most = next(answers, (CONTENT, etag, None))
        handler.give(content, etag=tag, most=most)

    site.odd["/el9.iso"] = changing
    assert fetch(f"{site.url}/el9.iso", cache, sha256=DIGEST).read_bytes() == CONTENT


def test_without_validator_nothing_is_resumed(site: Site, cache: Path) -> None:
    answers = iter([HALF])
    site.odd["/el9.iso"] = lambda h: h.give(CONTENT, etag="", most=next(answers, None))
    assert fetch(f"{site.url}/el9.iso", cache, sha256=DIGEST).read_bytes() == CONTENT
    assert [ranged for _, ranged in site.asked] == ["", ""]


@pytest.mark.parametrize("whole", [True, False])
def test_416(site: Site, cache: Path, whole: bool) -> None:
    """The part is complete already, or longer than the file has become."""
    path = fetch(f"{site.url}/el9.iso", cache, sha256=DIGEST)
    part = path.rename(path.with_name(path.name + ".part"))
    part.with_name(part.name + ".etag").write_text('"one"')
    if not whole:
        part.write_bytes(CONTENT + b"more")
    assert fetch(f"{site.url}/el9.iso", cache, sha256=DIGEST).read_bytes() == CONTENT
    assert len(site.asked) == (2 if whole else 3)


def odd_answer(
    headers: dict[str, str], body: bytes, status: int = 200, *, endless: bool = False
) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)
        while endless:
            handler.wfile.write(bytes(65536))
        handler.close_connection = True

    return answer


ODD: dict[str, tuple[Callable[[Handler], None], str]] = {
    "page": (odd_answer({"Content-Type": "text/html; charset=x"}, b"<html>"), "is a web page"),
    "endless": (odd_answer({}, b"", endless=True), "sends more than 9000000 bytes"),
    "huge": (odd_answer({"Content-Length": "9000001"}, b""), "has 9000001 bytes, more than"),
    "missing": (odd_answer({"Content-Length": "0"}, b"", 404), "answers 404"),
    "short": (odd_answer({"Content-Length": "100"}, b"x"), "5 times"),
    "other range": (
        odd_answer({"Content-Range": "bytes 7-8/9", "Content-Length": "2"}, b"xx", 206),
        "another range",
    ),
    "circle": (odd_answer({"Location": "/el9.iso", "Content-Length": "0"}, b"", 302), "circle"),
    "downgrade": (
        odd_answer({"Location": "http://127.0.0.1/el9.iso", "Content-Length": "0"}, b"", 302),
        "away from https",
    ),
    "file": (
        odd_answer({"Location": "file:///etc/passwd", "Content-Length": "0"}, b"", 301),
        "away from https",
    ),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_answers(site: Site, cache: Path, case: str) -> None:
    site.odd["/el9.iso"], words = ODD[case]
    error = refused(f"{site.url}/el9.iso?token=hidden", cache, most=9_000_000)
    assert words in error.message
    assert "hidden" not in error.message + error.hint
    assert "el9.iso" not in left(cache)
    assert all(path.stat().st_size < 9_000_001 for path in cache.iterdir())


def test_busy_server_is_asked_again(site: Site, cache: Path) -> None:
    answers = iter([odd_answer({"Content-Length": "0"}, b"", 503)] * 2)

    def busy(handler: Handler) -> None:
        next(answers, lambda h: h.give(CONTENT, etag=""))(handler)

    site.odd["/el9.iso"] = busy
    assert fetch(f"{site.url}/el9.iso", cache, sha256=DIGEST).read_bytes() == CONTENT


def test_redirect_is_followed(site: Site, cache: Path) -> None:
    headers = {"Location": f"{site.url}/el9.iso", "Content-Length": "0"}
    site.odd["/latest.iso"] = odd_answer(headers, b"", 302)
    assert fetch(f"{site.url}/latest.iso", cache, sha256=DIGEST).read_bytes() == CONTENT


def test_no_room(site: Site, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    assert "5120000 bytes are needed and 10" in refused(f"{site.url}/el9.iso", cache).message


def test_untrusted_and_unreachable(
    site: Site, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"https://user:hidden@127.0.0.1:{site.server_port}/el9.iso"
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    error = refused(url, cache)
    assert "certificate that is not trusted" in error.message
    assert "hidden" not in error.message
    assert "cannot be reached" in refused("https://127.0.0.1:1/el9.iso", cache).message


def test_two_at_once(site: Site, cache: Path) -> None:
    path = fetch(f"{site.url}/el9.iso", cache, sha256=DIGEST)
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "being downloaded" in refused(f"{site.url}/el9.iso", cache).message


def test_shown() -> None:
    assert shown("https://u:p@host:8/a/b.iso?token=x#y") == "https://host:8/a/b.iso"
    error = requests.RequestException("https://u:p@host")
    assert "host" not in download.explained(error)
