"""A BMC as a Redfish service (DSP0266): whose it is, whom it lets in, its next boot."""

import base64
import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple, Optional

PORT = 443
SYSTEMS = "/redfish/v1/Systems"
TIMEOUT_S = 10.0
MOST_BYTES = 1024 * 1024
MOST_SYSTEMS = 8
FROM_DISK = {"Boot": {"BootSourceOverrideEnabled": "Once", "BootSourceOverrideTarget": "Hdd"}}
NOTHING: Mapping[str, str] = {}
SHUT_OUT = (http.client.UNAUTHORIZED, http.client.FORBIDDEN)


@dataclass(frozen=True)
class Place:
    """Where a service is and who asks."""

    address: str
    port: int
    user: str
    password: str


def uuids(place: Place) -> list[str]:
    """Those of its computer systems; none when it does not answer as Redfish does."""
    try:
        with _Service(place) as service:
            systems = [service.get(path) for path in service.systems()[:MOST_SYSTEMS]]
    except (OSError, http.client.HTTPException, ValueError):
        return []
    return [system["UUID"] for system in systems if isinstance(system.get("UUID"), str)]


def shuts_out(place: Place) -> bool:
    """Whether it answers, and that this account may not even read."""
    try:
        with _Service(place) as service:
            return service.ask("GET", SYSTEMS).status in SHUT_OUT
    except (OSError, http.client.HTTPException):
        return False


def boot_from_disk(place: Place) -> bool:
    """Next time, and only then, its system starts from disk; False where that can't be set.

    Of several systems it is the one that fence_redfish switches: the last. Some services change
    nothing unless they are told what they said last (If-Match: ansible/ansible#56150).
    """
    try:
        with _Service(place) as service:
            path = service.systems()[-1]
            tag = service.ask("GET", path).tag
            done = service.ask("PATCH", path, FROM_DISK, {"If-Match": tag} if tag else {})
    except (OSError, http.client.HTTPException, ValueError, IndexError):
        return False
    return http.client.OK <= done.status < http.client.MULTIPLE_CHOICES


class _Answer(NamedTuple):
    status: int
    body: bytes
    tag: str


class _Service:
    """One connection. As fence_redfish with ssl_insecure any certificate will do: a BMC signs its
    own.
    """

    def __init__(self, place: Place) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._connection = http.client.HTTPSConnection(
            place.address, place.port, timeout=TIMEOUT_S, context=context
        )
        login = base64.b64encode(f"{place.user}:{place.password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {login}", "Accept": "application/json"}

    def __enter__(self) -> "_Service":
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self._connection.close()

    def systems(self) -> list[str]:
        """Paths of its computer systems. Raises ValueError as `get`."""
        members = self.get(SYSTEMS).get("Members")
        listed = members if isinstance(members, list) else []
        found = [member.get("@odata.id") for member in listed if isinstance(member, dict)]
        paths = [path for path in found if isinstance(path, str) and path.startswith("/redfish/")]
        if len(paths) != len(found):
            raise ValueError("no path of Redfish's")
        return paths

    def get(self, path: str) -> dict[str, Any]:
        """A resource. Raises ValueError when it is none."""
        answer = self.ask("GET", path)
        parsed = json.loads(answer.body) if answer.status == http.client.OK else None
        if len(answer.body) > MOST_BYTES or not isinstance(parsed, dict):
            raise ValueError("no answer of Redfish's")
        return parsed

    def ask(
        self, method: str, path: str, sent: object = None, more: Mapping[str, str] = NOTHING
    ) -> _Answer:
        """What it answers. Raises OSError or HTTPException."""
        headers = {**self._headers, **more}
        if sent is not None:
            headers["Content-Type"] = "application/json"
        body = None if sent is None else json.dumps(sent)
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        return _Answer(answer.status, answer.read(MOST_BYTES + 1), answer.headers["ETag"] or "")
