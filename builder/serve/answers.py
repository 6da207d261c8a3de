"""Every answer with the headers that keep it where it belongs."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

UNKNOWN = "nothing here for this address"
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def text(body: str, status: int = 200, kind: str = "text/plain") -> Response:
    """A text; what a refusal says ends with a line."""
    return Response(body, status, headers=HEADERS, media_type=f"{kind}; charset=utf-8")


def refused(status: int, why: str, then: str = "") -> Response:
    """Why not, and the next thing to do: a program sees the status, a person the words."""
    following = f"next: {then}\n" if then else ""
    return text(f"ksbuild: {why}\n{following}", status)


def fixed(content: bytes) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that has the same bytes for everybody."""

    async def answer(_: Request) -> Response:
        return Response(content, headers=HEADERS, media_type="application/octet-stream")

    return answer


class Pieces(Response):
    """One text in parts that are not put together in memory; for HEAD without `body`."""

    def __init__(self, parts: tuple[bytes, ...], *, body: bool = True) -> None:
        length = {"Content-Length": str(sum(map(len, parts)))}
        super().__init__(headers={**HEADERS, **length}, media_type="text/plain; charset=utf-8")
        self._parts = parts if body else ()

    async def __call__(self, _: Scope, __: Receive, send: Send) -> None:
        """Send them one after the other; who went away is uvicorn's to notice."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        *parts, last = self._parts or (b"",)
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": last, "more_body": False})


def cased(app: ASGIApp) -> ASGIApp:
    """The same with headers' names as RFC 9110 writes them: GRUB 2.06 knows Content-Length in no
    other case, and waits for the connection's end without it (grub-core/net/http.c, parse_line).
    """

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if "headers" in message:
                named = [(name.title(), value) for name, value in message["headers"]]
                message = {**message, "headers": named}
            await send(message)

        await app(scope, receive, sending)

    return answering


async def no_disk(_: Request, error: Exception) -> Response:
    """What could not be kept is not acknowledged."""
    return refused(503, f"the state cannot be written: {error}", "look at the server's disk")


async def no_route(_: Request, error: Exception) -> Response:
    """Starlette's own refusals, with our headers and without the request's words."""
    return refused(getattr(error, "status_code", 500), UNKNOWN)
