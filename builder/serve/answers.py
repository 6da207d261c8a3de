"""Every answer with the headers that keep it where it belongs."""

from collections.abc import AsyncIterator, Mapping

from starlette.responses import Response, StreamingResponse

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


def pieces(parts: tuple[bytes, ...], *, body: bool = True) -> Response:
    """One text in parts that are not put together in memory; for HEAD without `body`."""
    length: Mapping[str, str] = {"Content-Length": str(sum(map(len, parts)))}

    async def send() -> AsyncIterator[bytes]:
        for part in parts if body else ():
            yield part

    headers = {**HEADERS, **length}
    return StreamingResponse(send(), headers=headers, media_type="text/plain; charset=utf-8")
