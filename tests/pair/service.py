"""A Redfish service over real HTTPS, with one system, for fence_redfish and our own client.

No Redfish BMC was at hand: its answers are assumed, written by hand after DSP0266 and the schemas
ServiceRoot and ComputerSystem, one resource a file (assumed-redfish-*.json).
"""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, ClassVar

from tests.firstboot.conftest import a_ca

SYSTEM = "/redfish/v1/Systems/1"
RESET = f"{SYSTEM}/Actions/ComputerSystem.Reset"
ERROR = {"error": {"code": "Base.1.0.GeneralError", "message": "assumed"}}


class Service(http.server.BaseHTTPRequestHandler):
    """What it holds is the class's, for the test to look at and to change."""

    protocol_version = "HTTP/1.1"
    login = ""
    resources: ClassVar[dict[str, Any]] = {}
    asked: ClassVar[list[str]] = []
    demands_tag = False
    knows_boot = True

    @classmethod
    def start_over(cls, user: str, password: str) -> None:
        """As delivered, with this one account."""
        files = sorted(Path(__file__).parent.glob("assumed-redfish-*.json"))
        found = [json.loads(file.read_text()) for file in files]
        cls.resources = {resource["@odata.id"].rstrip("/"): resource for resource in found}
        cls.login = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        cls.asked, cls.demands_tag, cls.knows_boot = [], False, True

    def do_GET(self) -> None:
        path = self.path.rstrip("/")
        if path != "/redfish/v1" and not self._let_in():  # DSP0266: the root is open to everyone
            return
        known = path in self.resources
        answer = self.resources[path] if known else ERROR
        self._answer(HTTPStatus.OK if known else HTTPStatus.NOT_FOUND, answer)

    def do_POST(self) -> None:
        sent = self._sent()
        if not self._let_in():
            return
        deed = {"On": "On", "ForceOff": "Off"}.get(sent.get("ResetType", ""))
        if self.path != RESET or deed is None:
            self._answer(HTTPStatus.BAD_REQUEST, ERROR)
            return
        self.resources[SYSTEM]["PowerState"] = deed
        self._answer(HTTPStatus.NO_CONTENT, None)

    def do_PATCH(self) -> None:
        sent = self._sent()
        if not self._let_in():
            return
        boot, targets = sent.get("Boot", {}), self.resources[SYSTEM]["Boot"]
        allowed = targets["BootSourceOverrideTarget@Redfish.AllowableValues"]
        known = self.path == SYSTEM and set(sent) == {"Boot"} and set(boot) <= set(targets)
        if self.demands_tag and self.headers["If-Match"] != self._tag():
            self._answer(HTTPStatus.PRECONDITION_REQUIRED, ERROR)
        elif self.knows_boot and known and boot["BootSourceOverrideTarget"] in allowed:
            targets.update(boot)
            self._answer(HTTPStatus.NO_CONTENT, None)
        else:
            self._answer(HTTPStatus.BAD_REQUEST, ERROR)

    def _let_in(self) -> bool:
        self.asked.append(f"{self.command} {self.path}")
        if self.headers["Authorization"] == self.login:
            return True
        self._answer(HTTPStatus.UNAUTHORIZED, ERROR)
        return False

    def _sent(self) -> dict[str, Any]:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert isinstance(sent, dict)
        return sent

    def _tag(self) -> str:
        return f'W/"{len(json.dumps(self.resources[SYSTEM]))}"'

    def _answer(self, status: HTTPStatus, content: object) -> None:
        body = b"" if content is None else json.dumps(content).encode()
        self.send_response(status)
        if content is not None:
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", "application/json")
        if self.path == SYSTEM:
            self.send_header("ETag", self._tag())
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(folder: Path, port: int, password: str) -> Iterator[type[Service]]:
    """The service on that port, with a certificate it signed itself and the account ksfence."""
    own = a_ca(folder / "own")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own / "ca.crt", own / "ca.key")
    Service.start_over("ksfence", password)
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Service) as server:
        server.daemon_threads = True
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Service
        finally:
            server.shutdown()
            thread.join()
