"""Download a source ISO: resumed, cached, and used only when its checksum is right."""

import contextlib
import fcntl
import hashlib
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NoReturn
from urllib.parse import unquote, urljoin, urlsplit

import requests

from builder.media.checksums import checksum_of
from builder.media.errors import SourceError

Progress = Callable[[int, int], None]

# The largest EL9 DVD has about 13 GB.
MOST_BYTES = 32 * 1024**3
_MOST_CHECKSUMS = 1024 * 1024
_TIMEOUT = (10, 60)
_CHUNK = 1024 * 1024
_ATTEMPTS = 5
_REDIRECTS = 5
_CHECK_URL = "check the URL and the network"
_NEED_DIGEST = "give --sha256, the distribution's CHECKSUM file, or --no-verify-source"


class _Again(requests.ConnectionError):
    """The transfer broke in a way that requests does not see."""


_BROKEN = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


@dataclass(frozen=True)
class _Job:
    session: requests.Session
    url: str
    part: Path
    progress: Progress | None
    most: int

    @property
    def note(self) -> Path:
        return self.part.with_name(self.part.name + ".etag")

    def size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def drop(self) -> None:
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def fail(self, what: str, hint: str = _CHECK_URL) -> NoReturn:
        raise SourceError(f"{shown(self.url)} {what}", hint)


def shown(url: str) -> str:
    """The URL without what may be secret: user, password, query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def explained(error: requests.RequestException) -> str:
    """What went wrong, in words without the URL (whose query may be secret)."""
    if isinstance(error, _Again):
        return str(error)
    if isinstance(error, requests.exceptions.SSLError):
        return "shows a certificate that is not trusted"
    if isinstance(error, requests.Timeout):
        return "does not answer in time"
    if isinstance(error, requests.exceptions.ProxyError):
        return "cannot be reached through the proxy of the environment"
    if isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
        return "cannot be reached, or broke the connection"
    return f"cannot be read ({type(error).__name__})"


def fetch(
    url: str,
    cache: Path,
    *,
    sha256: str | None = None,
    checksum_file: str | Path | None = None,
    verify: bool = True,
    progress: Progress | None = None,
    session: requests.Session | None = None,
    most: int = MOST_BYTES,
) -> Path:
    """Return a verified copy of `url`, from `cache` when it is there already.

    Args:
        url: https; http only when the checksum is known otherwise.
        cache: folder for the file; made when missing.
        sha256: 64 hexadecimal digits.
        checksum_file: the distribution's CHECKSUM, a path or an https URL.
        verify: False accepts the file without either.
        progress: called with bytes done and bytes in all (0: the server does not say).
        session: for tests and client certificates; `most`: bytes, more are refused.

    Raises:
        SourceError: no checksum, a wrong one, or not to be had; nothing is left under the name.
        OSError: the cache cannot be written, or a local `checksum_file` not read.
    """
    session = session or requests.Session()
    expected = _expected(session, url, sha256, checksum_file, cache)
    if expected is None and verify:
        raise SourceError(f"nothing says what {shown(url)} should be", _NEED_DIGEST)
    if not url.startswith("https://") and (expected is None or not url.startswith("http://")):
        raise SourceError(f"{shown(url)} is not https", "use https, or give --sha256 as well")
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / _name(url, expected)
    with _locked(target, url):
        if target.is_file() and expected in (None, _sha256(target)):
            return target
        job = _Job(session, url, target.with_name(target.name + ".part"), progress, most)
        _transfer(job)
        if expected not in (None, found := _sha256(job.part)):
            job.drop()
            job.fail(
                f"has the wrong checksum: {expected} expected, {found} found",
                "compare the checksum with the distribution's page; then try another mirror",
            )
        job.part.replace(target)
        job.drop()
    return target


def check(
    path: Path, cache: Path, *, sha256: str | None = None, checksum_file: str | Path | None = None
) -> None:
    """Compare a file that is here already with a checksum, where one is given.

    Raises SourceError for another file, OSError where it or a local `checksum_file` can't be read.
    """
    expected = _expected(requests.Session(), str(path), sha256, checksum_file, cache)
    if expected not in (None, found := _sha256(path) if expected else ""):
        what = f"{path} has the wrong checksum: {expected} expected, {found} found"
        raise SourceError(what, "compare it with the distribution's page; then download it again")


def _expected(
    session: requests.Session, url: str, sha256: str | None, place: str | Path | None, cache: Path
) -> str | None:
    if sha256 is not None:
        if not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
            raise SourceError("--sha256 is not 64 hexadecimal digits", "copy it once more")
        return sha256.lower()
    if place is None:
        return None
    name = _basename(url)
    found = checksum_of(_checksums(session, place, cache), name)
    if found is None:
        where = shown(str(place)) if _on_the_web(place) else place
        raise SourceError(f"{where} has no SHA-256 of {name}", "is it the same release's?")
    return found


def _checksums(session: requests.Session, place: str | Path, cache: Path) -> str:
    if not _on_the_web(place):
        return Path(place).read_text("utf-8", "replace")
    # Itself it is proven by TLS only, and not kept: the list changes with every release.
    file = fetch(str(place), cache, verify=False, session=session, most=_MOST_CHECKSUMS)
    text = file.read_text("utf-8", "replace")
    file.unlink()
    return text


def _on_the_web(place: str | Path) -> bool:
    return "://" in str(place)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _basename(url: str) -> str:
    return PurePosixPath(unquote(urlsplit(url).path)).name or "source.iso"


def _name(url: str, expected: str | None) -> str:
    key = hashlib.sha256(f"{url}\n{expected or ''}".encode()).hexdigest()[:16]
    return f"{key}-{re.sub(r'[^A-Za-z0-9._-]', '_', _basename(url))}"


@contextlib.contextmanager
def _locked(target: Path, url: str) -> Iterator[None]:
    with target.with_name(target.name + ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SourceError(f"{shown(url)} is being downloaded already", "wait for it") from error
        yield


def _get(session: requests.Session, url: str, headers: dict[str, str]) -> requests.Response:
    """GET that follows redirects, never from https to anything else."""
    # Anything but identity would break ranges and checksums.
    headers = {"Accept-Encoding": "identity", **headers}
    for _ in range(_REDIRECTS):
        answer = session.get(
            url, headers=headers, stream=True, timeout=_TIMEOUT, allow_redirects=False
        )
        if not answer.is_redirect:
            return answer
        answer.close()
        target = urljoin(url, answer.headers["Location"])
        allowed = ("https",) if urlsplit(url).scheme == "https" else ("https", "http")
        if urlsplit(target).scheme not in allowed:
            raise SourceError(f"{shown(url)} leads to {shown(target)}, away from https", _CHECK_URL)
        url = target
    raise SourceError(f"{shown(url)} leads in a circle", _CHECK_URL)


def _transfer(job: _Job) -> None:
    """Fill the part, going on where an earlier attempt or run stopped."""
    failures = 0
    while True:
        before = job.size()
        try:
            return _attempt(job)
        except requests.RequestException as error:
            why = explained(error)
            if not isinstance(error, _BROKEN) or isinstance(error, requests.exceptions.SSLError):
                job.fail(why)
        failures = 1 if job.size() >= before + _CHUNK else failures + 1
        if failures == _ATTEMPTS:
            job.fail(f"{why}, {failures} times", "try again later: it goes on from here")
        time.sleep(0.1 * 2**failures)


def _attempt(job: _Job) -> None:
    have = job.size() if job.note.exists() else 0
    headers = {"Range": f"bytes={have}-", "If-Range": job.note.read_text()} if have else {}
    with _get(job.session, job.url, headers) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable and have:
            if answer.headers.get("Content-Range") == f"bytes */{have}":
                return
            job.drop()
            raise _Again("changed in between")
        total = _total(job, answer, have)
        start = have if answer.status_code == requests.codes.partial_content else 0
        if (free := shutil.disk_usage(job.part.parent).free) < total - start:
            raise SourceError(
                f"{job.part.parent}: {total - start} bytes are needed and {free} are free",
                "free some room or choose another cache",
            )
        with job.part.open("ab" if start else "wb") as file:
            _remember(job.note, answer)
            _receive(job, answer, file, start, total)


def _remember(note: Path, answer: requests.Response) -> None:
    """Keep what If-Range may ask about: a strong ETag, else the date (RFC 9110, 13.1.5)."""
    tag = answer.headers.get("ETag", "W/")
    validator = answer.headers.get("Last-Modified", "") if tag.startswith("W/") else tag
    if validator:
        note.write_text(validator)
    else:
        note.unlink(missing_ok=True)


def _total(job: _Job, answer: requests.Response, have: int) -> int:
    """Size of the whole file in bytes, 0 when the server does not say."""
    length = answer.headers.get("Content-Length", "")
    if answer.status_code == requests.codes.partial_content:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
        if not match or int(match[1]) != have:
            job.fail("answers with another range than asked")
        length = match[2]
    elif answer.status_code in (429, 500, 502, 503, 504):
        raise _Again(f"answers {answer.status_code}")
    elif answer.status_code != requests.codes.ok:
        job.fail(f"answers {answer.status_code}")
    elif answer.headers.get("Content-Type", "").startswith("text/html"):
        job.fail("is a web page, not an ISO", "use the file's own URL")
    total = int(length) if length.isdecimal() else 0
    if total > job.most:
        job.fail(f"has {total} bytes, more than {job.most}")
    return total


def _receive(job: _Job, answer: requests.Response, file: BinaryIO, done: int, total: int) -> None:
    for chunk in answer.iter_content(_CHUNK):
        done += len(chunk)
        if done > (total or job.most):
            job.drop()
            job.fail(f"sends more than {total or job.most} bytes")
        file.write(chunk)
        if job.progress:
            job.progress(done, total)
    if done < total:
        raise _Again(f"ends after {done} of {total} bytes")
