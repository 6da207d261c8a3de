"""pacemaker's alert agent: tells by mail, to a webhook and on the progress page, and forgets.

Nobody waits for it: each way is tried once, all at a time, within TIMEOUT_S, and what failed is in
pacemaker's log. It never prints where a webhook is, as that may be a secret.
"""

import fcntl
import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable

from firstboot import alerts, teller
from firstboot.alerts import Memory, News
from firstboot.exits import FAILED, OK
from firstboot.render.alerts import PATH

TIMEOUT_S, PATIENCE_S = 3.0, 10.0
# A live move's stop is looked at after the move: two programs that pacemaker starts at once.
SETTLING_S = 3.0
STAGE, SCHEMA = "alerts", "ksbuild/webhook/1"  # builder/serve/webhook.py, whose words these are
NEXT = "ksnode why"
TEST = News("test", "test", "a test, typed by a human: nothing has happened", bad=False)


def main(words: Sequence[str], root: Path = Path("/")) -> int:
    """Tell what the environment says; --test tells that it is a test, and how each way went."""
    whom = _read(root / PATH.relative_to("/"))
    if words == ["--test"]:
        results = send(root, whom, [TEST])
        for way, fault in results.items():
            print(f"{way}: {fault or 'told'}")
        return FAILED if any(results.values()) else OK
    new = alerts.news(os.environ)
    if new is not None:
        time.sleep(SETTLING_S if new.state == alerts.STOPPED else 0)
        with _memory(root) as memory:
            told = alerts.take(memory, new, time.time())
        _send(root, whom, [told] if told else [])
    return OK


def tell_overdue(root: Path) -> None:
    """Tell what was held back long enough; where nothing was ever told there is nothing."""
    if (root / teller.MEMORY).exists():
        with _memory(root) as memory:
            told = alerts.overdue(memory, time.time())
        _send(root, _read(root / PATH.relative_to("/")), told)


def send(root: Path, whom: Mapping[str, Any], told: Sequence[News]) -> dict[str, str]:
    """Tell it in one message; by way what went wrong, "" where nothing did."""
    secret = _read(root / teller.SECRET)
    ways: dict[str, Callable[[], None]] = {}
    if whom.get("mail_to"):
        ways["mail"] = lambda: _mail(whom, told)
    if secret.get("webhook"):
        ways["webhook"] = lambda: _hook(secret["webhook"], whom, told)
    if secret.get("progress"):
        ways["progress page"] = lambda: _page(secret["progress"], told)
    results = dict.fromkeys(ways, f"no answer within {PATIENCE_S:g} s")
    threads = [
        threading.Thread(target=_try, args=(results, way, ways[way]), daemon=True) for way in ways
    ]
    for thread in threads:
        thread.start()
    end = time.monotonic() + PATIENCE_S
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return dict(results)


def _send(root: Path, whom: Mapping[str, Any], told: Sequence[News]) -> None:
    for way, fault in (send(root, whom, told) if told else {}).items():
        if fault:
            print(f"ksnode: alert: {way}: {fault}", file=sys.stderr)


def _try(results: dict[str, str], way: str, tell: Callable[[], None]) -> None:
    try:
        tell()
        results[way] = ""
    except Exception as error:  # noqa: BLE001 - whatever a server makes of it, the others are told
        results[way] = (
            str(error) if way == "mail" or type(error) is OSError else type(error).__name__
        )


def _mail(whom: Mapping[str, Any], told: Sequence[News]) -> None:
    import smtplib  # noqa: PLC0415 - most events end before anybody is told
    from email.message import EmailMessage  # noqa: PLC0415
    from email.utils import formatdate, make_msgid  # noqa: PLC0415

    node, more = whom["node"], f" (and {len(told) - 1} more)" if told[1:] else ""
    message = EmailMessage()
    message["From"], message["To"] = whom["mail_from"], ", ".join(whom["mail_to"])
    message["Subject"] = f"[{whom['pair']}] {told[0].text[:150]}{more}"
    message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain=node)
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday notice answers it
    lines = [*(new.text for new in told), "", f"told by {node} of pair {whom['pair']}"]
    message.set_content("\n".join([*lines, f"next: {NEXT}", ""]))
    at = whom["relay"], whom["relay_port"]
    with smtplib.SMTP(*at, local_hostname=node, timeout=TIMEOUT_S) as relay:
        relay.send_message(message)


def _hook(url: str, whom: Mapping[str, Any], told: Sequence[News]) -> None:
    detail, event = _detail(told)
    body = {"schema": SCHEMA, "at": time.time(), "pair": whom["pair"], "node": whom["node"]}
    body = {**body, "stage": STAGE, "what": event, "detail": detail}
    kind = {"Content-Type": "application/json"}
    _post(url, json.dumps(body, sort_keys=True), kind, None, new_hardware=False)


def _page(at: Mapping[str, str], told: Sequence[News]) -> None:
    from firstboot import progress  # noqa: PLC0415

    detail, event = _detail(told)
    body, headers = progress.form(at["token"], STAGE, event, detail)
    _post(progress.events(at["url"]), body, headers, at["certificate"], new_hardware=True)


def _post(url: str, body: str, headers: Mapping[str, str], pem: Any, *, new_hardware: bool) -> None:
    from firstboot import progress  # noqa: PLC0415

    status = progress.post(url, body, headers, pem, new_hardware=new_hardware)
    if not 200 <= status < 300:
        raise OSError(f"status {status}")


def _detail(told: Sequence[News]) -> tuple[str, str]:
    bad = any(new.bad for new in told)
    text = "\n".join(new.text for new in told)
    return (f"{text}; next: {NEXT}", "failed") if bad else (text, "ok")


@contextmanager
def _memory(root: Path) -> Iterator[Memory]:
    """The memory, this process's alone until it is written back; a fresh one where it is none."""
    try:
        handle = os.open(root / teller.MEMORY, os.O_RDWR | os.O_NOFOLLOW)
    except OSError as error:  # better told too often than not at all
        print(f"ksnode: alert: /{teller.MEMORY}: {error.strerror}", file=sys.stderr)
        yield alerts.fresh()
        return
    with os.fdopen(handle, "r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            memory = json.load(file)
        except ValueError:
            memory = {}
        if not isinstance(memory, dict) or memory.keys() != alerts.fresh().keys():
            memory = alerts.fresh()
        yield memory
        file.seek(0)
        file.truncate()
        json.dump(memory, file)


def _read(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}
