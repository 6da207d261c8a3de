"""Somebody's mail relay and web server, as small as RFC 5321 and HTTP let them be.

As a program (ADDRESS FILE) it appends each mail and each body that was posted to a file.
"""

import http.server
import socketserver
import sys
import threading
from pathlib import Path
from typing import Any, Callable, Optional

MAIL_PORT, WEB_PORT = 2525, 8080


class Relay(socketserver.ThreadingTCPServer):
    """A mail relay; `took` gets sender, recipients and the message, `refuse` a recipient's 550."""

    allow_reuse_address, daemon_threads = True, True

    def __init__(self, at: "tuple[str, int]", took: Callable[..., None], refuse: str = "") -> None:
        super().__init__(at, _Conversation)
        self.took, self.refuse = took, refuse
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class _Conversation(socketserver.StreamRequestHandler):
    server: Relay

    def handle(self) -> None:
        self.say("220 relay.example")
        sender, recipients = "", []
        while line := self.rfile.readline().decode("ascii").rstrip("\r\n"):
            word = line.split(":")[0].upper().split()[0]
            if word == "MAIL":
                sender = line.partition("<")[2].partition(">")[0]
            elif word == "RCPT":
                recipients.append(line.partition("<")[2].partition(">")[0])
                if recipients[-1] == self.server.refuse:
                    self.say("550 nobody of that name")
                    continue
            elif word == "DATA":
                self.say("354 go ahead")
                self.server.took(sender, recipients, self.message())
            self.say("221 bye" if word == "QUIT" else "250 ok")

    def message(self) -> str:
        lines = []
        while (line := self.rfile.readline().decode("ascii").rstrip("\r\n")) != ".":
            lines.append(line[1:] if line.startswith(".") else line)
        return "\n".join(lines)

    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode("ascii"))


class Web(http.server.ThreadingHTTPServer):
    """A web server; `took` gets path, headers and body of what is posted."""

    def __init__(self, at: "tuple[str, int]", took: Callable[..., None], status: int = 204) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode("ascii")
                took(self.path, dict(self.headers), body)
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        super().__init__(at, Handler)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, *_: Any) -> None:
        """A caller that hangs up is no news."""


def main(address: str, file: Path, forever: Optional[threading.Event] = None) -> None:
    """Write down what comes in, a line of Python for each."""
    lock = threading.Lock()

    def took(*said: Any) -> None:
        with lock, file.open("a") as out:
            print(repr(said), file=out, flush=True)

    Relay((address, MAIL_PORT), took)
    Web((address, WEB_PORT), took)
    (forever or threading.Event()).wait()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
