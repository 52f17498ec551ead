"""What every answer of the console has in common: whom it answers, and what a browser may do with it.

Decides from the Host header alone who is answered. The console listens on 127.0.0.1 and asks for no password, so a web page
elsewhere that points its own name at 127.0.0.1 (DNS rebinding) must get nothing: only local names are answered. The page may
load from here only, and nobody may frame it.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL_NAMES = frozenset(("127.0.0.1", "localhost", "[::1]"))   # any port: an SSH tunnel may end at another one
MISDIRECTED = 421   # RFC 9110, 15.5.20: this server does not answer for that name
HEADERS = {
    "content-security-policy":
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def is_local(host: str) -> bool:
    """Whether a Host header names this machine itself."""
    name, _, port = host.rpartition(":") if ":" in host.rpartition("]")[2] else (host, "", "")
    return name.lower() in LOCAL_NAMES and (not port or port.isdecimal())


class Guard:
    """ASGI middleware in front of everything, static files and errors included."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-cache")   # a new version of the page is seen at the next load
            await send(message)

        hosts = Headers(scope=scope).getlist("host")
        if len(hosts) == 1 and is_local(hosts[0]):
            await self._app(scope, receive, send_guarded)
            return
        body = {"code": "console.host", "message": "this console answers to 127.0.0.1 and localhost only"}
        await JSONResponse(body, MISDIRECTED)(scope, receive, send_guarded)
