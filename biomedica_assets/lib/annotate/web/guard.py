"""What the page refuses, and the headers it sends: hosts, origins, sessions, CSRF tokens, content security policy.

On loopback people give a name, elsewhere a name and the token that was issued to it. A session is a signed cookie: it
survives a restart of the server, ends after ``SESSION_SECONDS`` and when the annotator's token is renewed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import ipaddress
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from biomedica_assets.lib.annotate.annotators import Annotator, Register
from biomedica_assets.lib.errors import StoreError

COOKIE = "biomedica_annotator"
CSRF_HEADER = "x-csrf-token"
SESSION_SECONDS = 30 * 24 * 3600
MAX_BODY = 64 * 1024
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")
_SAFE = ("GET", "HEAD")
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # not no-referrer: browsers then send "Origin: null" with a form, which could not be told from a foreign one
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


def is_loopback(host: str) -> bool:
    """Whether a bind address is reachable from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Guard:
    """ASGI middleware: refuses foreign hosts, cross-site writes and large bodies; adds security headers."""

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...], most: int = MAX_BODY) -> None:
        """Args: app: what is guarded; hosts: names it may be asked for under, ports aside; most: bytes of a body."""
        self._app, self._hosts, self._most = app, hosts, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        refused = self._refusal(scope["method"], Headers(scope=scope))
        if refused:
            await PlainTextResponse(refused[1], refused[0])(scope, receive, with_headers)
        else:
            await self._app(scope, receive, with_headers)

    def _refusal(self, method: str, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if _bare(host) not in self._hosts:  # a foreign name that resolves to us: DNS rebinding
            return 421, "This page does not answer to that host name."
        if method in _SAFE:
            return None
        length = headers.get("content-length", "")
        if not length.isdigit():
            return 411, "A request that writes needs a Content-Length."
        if int(length) > self._most:
            return 413, f"A request may have at most {self._most} bytes."
        return _foreign(host, headers.get("origin"), headers.get("sec-fetch-site"))


def _foreign(host: str, origin: str | None, site: str | None) -> tuple[int, str] | None:
    """Refusal of a write that another site sent, or that does not say where it comes from."""
    if origin is None and site is None:
        return 403, "A request that writes must say where it comes from (Origin)."
    if (origin is not None and urlsplit(origin).netloc != host) or site not in {None, "same-origin"}:
        return 403, "This request comes from another site."
    return None


def _bare(host: str) -> str:
    """Host name without port, lower case; IPv6 keeps its brackets."""
    name, _, port = host.rpartition(":")
    return (name if name and port.isdigit() else host).lower()


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """Who is asking, and the token that a write must carry."""

    annotator: Annotator
    csrf: str


class Sessions:
    """Signed session cookies of one data directory."""

    def __init__(self, root: Path, clock: Callable[[], float]) -> None:
        """Args: root: the data directory; clock: seconds since 1970."""
        self._register, self._clock = Register(root), clock
        self._key = _key(root / "annotations" / ".session-key")

    def open(self, annotator: Annotator) -> str:
        """Value of a new cookie for someone who has proved who they are."""
        until = int(self._clock()) + SESSION_SECONDS
        content = f"{annotator.name}.{until}.{_mark(annotator)}"
        return f"{content}.{self._sign('session', content)}"

    def entered(self, annotator: Annotator, *, secure: bool) -> Response:
        """The answer to someone who has proved who they are: a session, and on to the page.

        Args:
            annotator: who it is.
            secure: the page is served over TLS, so the cookie may demand it.
        """
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            COOKIE, self.open(annotator), max_age=SESSION_SECONDS, httponly=True, samesite="strict", secure=secure
        )
        return answer

    def of(self, request: Request) -> Session | None:
        """The session of a request; None if there is none, or it is forged, over, or its token was renewed."""
        cookie = request.cookies.get(COOKIE, "")
        content, _, signature = cookie.rpartition(".")
        if not content or not hmac.compare_digest(signature.encode(), self._sign("session", content).encode()):
            return None
        name, until, mark = content.split(".")
        annotator = self._register.all().get(name)
        if annotator is None or int(until) < self._clock() or mark != _mark(annotator):
            return None
        return Session(annotator, self._sign("csrf", cookie))

    def may_write(self, request: Request) -> Session | None:
        """The session of a request that also carries the CSRF token of that session."""
        session = self.of(request)
        given = request.headers.get(CSRF_HEADER, "")
        return session if session and hmac.compare_digest(given.encode(), session.csrf.encode()) else None

    def _sign(self, purpose: str, content: str) -> str:
        return hmac.new(self._key, f"{purpose}:{content}".encode(), hashlib.sha256).hexdigest()


def _mark(annotator: Annotator) -> str:
    """Changes when the annotator's token does."""
    return hashlib.sha256(annotator.digest.encode()).hexdigest()[:16]


def _key(path: Path) -> bytes:
    """The signing key, made on first use, readable by its owner alone."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            key = path.read_bytes()
        else:
            with os.fdopen(descriptor, "wb") as handle:
                key = secrets.token_bytes(32)
                handle.write(key)
    except OSError as error:
        raise StoreError(f"cannot make or read {path}: {error.strerror or error}") from error
    if len(key) != 32:
        raise StoreError(f"{path} is damaged; delete it, everyone then logs in again")
    return key
