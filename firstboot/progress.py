"""Tell a server how far this node is, where the profile names one.

Nothing waits for it and nothing is decided by it: a server that is slow, wrong or not there costs
the agent nothing. What was not taken is told again when there is news, or later; of each stage only
the last word.
"""

import json
import ssl
import threading
import time
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Optional
from urllib.parse import urlencode, urlsplit

CONFIGURATION = Path("etc/ksbuild/progress.json")
CERTIFICATE = Path("etc/ksbuild/progress.crt")
TIMEOUT_S, AGAIN_S, PAUSE_S = 3.0, 60.0, 3.0
DETAIL_CHARACTERS = 8000
NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME: new hardware has no clock
PARTIAL_CHAIN = 0x80000  # X509_V_FLAG_PARTIAL_CHAIN: what is pinned need not be a root, as in curl


class Progress:
    """Call it with a stage's news. Without a configuration it does nothing."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._pending: dict[str, tuple[str, str]] = {}
        self._news = threading.Condition()
        self._thread: Optional[threading.Thread] = None
        self._url, self._token = _configuration(root / CONFIGURATION)

    def __call__(self, stage: str, event: str, detail: str = "") -> None:
        """Have it told; returns at once."""
        if not self._url:
            return
        with self._news:
            self._pending[stage] = (event, detail[:DETAIL_CHARACTERS])
            self._news.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._tell, name="progress", daemon=True)
                self._thread.start()

    def flush(self, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until all was told, but not longer: for a process that is about to end."""
        with self._news:
            self._news.wait_for(lambda: not self._pending, timeout_s)

    def _tell(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: bool(self._pending))
                stage, said = next(iter(self._pending.items()))
            if not self._take(stage, *said):
                with self._news:
                    self._news.wait(AGAIN_S)
                time.sleep(PAUSE_S)  # many news in a row are not as many attempts
                continue
            with self._news:
                if self._pending.get(stage) == said:
                    del self._pending[stage]
                self._news.notify_all()

    def _take(self, stage: str, event: str, detail: str) -> bool:
        """Whether the server has taken it, or never will."""
        body, headers = form(self._token, stage, event, detail)
        try:
            pinned = self._root / CERTIFICATE
            pem = pinned.read_text(encoding="ascii") if pinned.exists() else None
            return post(events(self._url), body, headers, pem, new_hardware=True) < 500
        except (OSError, HTTPException, ValueError):
            return False


def events(url: str) -> str:
    """Where a server at this address is told."""
    return f"{url.rstrip('/')}/events"


def form(token: str, stage: str, event: str, detail: str) -> "tuple[str, dict[str, str]]":
    """Body and headers of one stage's news."""
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    said = {"stage": stage, "event": event, "detail": detail}
    return urlencode(said, errors="replace"), headers


def post(
    url: str, body: str, headers: Mapping[str, str], pem: Optional[str], *, new_hardware: bool
) -> int:
    """The status of the answer, of which nothing else is read, within TIMEOUT_S.

    `pem` is whom to take for an https server, None whom the distribution trusts; new hardware does
    not look at the time. Raises OSError, HTTPException or ValueError.
    """
    parts, host = urlsplit(url), urlsplit(url).hostname or ""
    if parts.scheme == "https":
        context = ssl.create_default_context(cadata=pem)
        if pem is not None:
            context.verify_flags |= PARTIAL_CHAIN
        if new_hardware:
            context.verify_flags |= NO_CHECK_TIME
        connection: HTTPConnection = HTTPSConnection(
            host, parts.port, timeout=TIMEOUT_S, context=context
        )
    else:
        connection = HTTPConnection(host, parts.port, timeout=TIMEOUT_S)
    try:
        path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        connection.request("POST", path, body, dict(headers))
        return connection.getresponse().status
    finally:
        connection.close()


def _configuration(path: Path) -> "tuple[str, str]":
    """URL and token; both empty where there are none."""
    try:
        said = json.loads(path.read_text(encoding="ascii"))
        return str(said["url"]), str(said["token"])
    except (OSError, ValueError, KeyError, TypeError):
        return "", ""
