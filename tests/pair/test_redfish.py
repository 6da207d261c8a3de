"""The UUID from a Redfish service over real HTTPS; its answers are cut from DSP0266's shape.

No Redfish BMC was at hand: assumed, until one is.
"""

from __future__ import annotations

import base64
import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from firstboot.fencing import redfish
from tests.firstboot.conftest import a_ca

PORT = 18446
UUID = "38947555-7742-3448-3784-823347823834"
LOGIN = "Basic " + base64.b64encode(b"ksfence:secret").decode()
ASSUMED = {
    "/redfish/v1/Systems": {"Members": [{"@odata.id": "/redfish/v1/Systems/1"}]},
    "/redfish/v1/Systems/1": {"Id": "1", "UUID": UUID},
}


class Service(http.server.BaseHTTPRequestHandler):
    answers: ClassVar[dict[str, object]] = {}

    def do_GET(self) -> None:
        known = self.path in self.answers and self.headers["Authorization"] == LOGIN
        body = json.dumps(self.answers.get(self.path)).encode() if known else b"{}"
        self.send_response(200 if known else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service(tmp_path: Path) -> Iterator[type[Service]]:
    ca = a_ca(tmp_path / "own")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca / "ca.crt", ca / "ca.key")
    Service.answers = dict(ASSUMED)
    with http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Service) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Service
        server.shutdown()
        thread.join()


def asked(password: str = "secret") -> list[str]:  # noqa: S107
    return redfish.uuids("127.0.0.1", PORT, "ksfence", password)


@pytest.mark.usefixtures("service")
def test_the_systems_uuid() -> None:
    assert asked() == [UUID]
    assert asked("wrong") == []


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {"Members": 1},
        {"Members": [{"@odata.id": "http://elsewhere/"}]},
        {"Members": [1, {}]},
        {"Members": [{"@odata.id": "/redfish/v1/none"}]},
        {"Members": "x" * redfish.MOST_BYTES},
    ],
)
def test_nonsense_is_no_uuid(service: type[Service], answer: object) -> None:
    service.answers["/redfish/v1/Systems"] = answer
    assert asked() == []


def test_nobody_there_is_no_uuid() -> None:
    assert asked() == []
