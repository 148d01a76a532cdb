"""Who may ask the console, and from where. It stands before everything that the console's port serves.

    Host        an address, `localhost` or a configured name, else 421: a name that somebody else's DNS can point here
                (DNS rebinding) is none of ours
    /?token=…   lets a browser in: a cookie, and on to / without the token
    the API     takes the cookie, or `Authorization: Bearer TOKEN`; nothing that comes from another site
    changes     also need to come from a page of ours (Origin, Sec-Fetch-Site), which proves itself by Interpose-Token;
                who has sent `Authorization` has proved that already, as no other site can have a browser send it

A wrong token may be tried five times a minute and address. The page's own files are everybody's: there is nothing in
them. On the control socket none of this is asked: it is its owner's alone.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Collection, Mapping
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from typing import Any, Final

import msgspec
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from interpose.console.resource import Group, Refusal, Resource, Role, content_of, json, name_in, who_asks
from interpose.console.sessions import COOKIE_AGE_S, Session, Sessions, Tries

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ALWAYS: Final = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
_SAFE: Final = frozenset(("GET", "HEAD"))


class Access:
    """Guards `application`. `port` is the console's; `hosts` are names it may be opened by."""

    def __init__(
        self,
        token: str,
        *,
        port: int,
        hosts: Collection[str] = (),
        instance: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.sessions = Sessions(token)
        self.cookie = f"interpose-{port}"
        self._hosts = {host.lower().rstrip(".") for host in hosts} | {"localhost"}
        self._instance = instance
        self._tries = Tries(clock)

    def links(self, address: str) -> dict[str, str]:
        """For each role what to open in a browser."""
        return {role.name.lower(): f"http://{address}/?token={token}" for role, token in self.sessions.tokens.items()}

    def guard(self, application: ASGIApp, prefix: str) -> ASGIApp:
        """`application`, whose API is below `prefix`, for those who may ask."""

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                raise RuntimeError(f"the console does not speak {scope['type']}")
            headers = Headers(scope=scope)
            asked = application
            try:
                self._check_host(headers)
                path: str = scope["path"]
                if path == "/" and b"token=" in scope["query_string"]:
                    asked = self._let_in(Request(scope))
                elif path.startswith(f"{prefix}/"):
                    self._admit(scope, headers)
            except Refusal as refusal:
                asked = json(refusal.content, refusal.status, refusal.fields)
            await asked(scope, receive, _with_fields(send))

        return guarded

    def group(self) -> Group:
        """The resources about whoever asks."""
        return Group(
            name="session",
            about="Whoever asks.",
            resources=[
                Resource(method="GET", path="/session", handler=self._shown, answer=SessionView, about="Who one is."),
                Resource(
                    method="POST",
                    path="/session",
                    handler=self._named,
                    content=Name,
                    answer=SessionView,
                    about="Be known to others by a name.",
                ),
            ],
        )

    # --- checks ----------------------------------------------------------------------------------------------------

    def _check_host(self, headers: Headers) -> None:
        hosts = headers.getlist("host")
        name = host_in(hosts[0]) if len(hosts) == 1 else ""
        if name in self._hosts or f"*.{name.partition('.')[2]}" in self._hosts:
            return
        try:
            ip_address(name)
        except ValueError:
            raise Refusal(
                421,
                f"The console is not known as {name[:100]!r}: open it by its address, or name this host under `hosts`.",
            ) from None

    def _let_in(self, request: Request) -> Response:
        """(first visit) Trade the token for a cookie."""
        role = self._role_of(request, request.query_params.get("token", ""))
        answer = RedirectResponse("/", 303)
        self._set_cookie(answer, self.sessions.begin(role))
        return answer

    def _admit(self, scope: Scope, headers: Headers) -> None:
        """Note who asks in `scope`, or refuse."""
        authorization = headers.get("authorization", "")
        if authorization:
            scheme, _, token = authorization.partition(" ")
            if scheme.lower() != "bearer":
                raise Refusal(401, "Only a token (`Authorization: Bearer …`) is taken here.")
            role = self._role_of(Request(scope), token.strip(" "))
            _check_site(headers)
            reviewer = who_asks(Request(scope))
            session = Session("", role, "api" if reviewer == "somebody" else reviewer)
        else:
            found = self._session(headers)
            if found is None:
                raise Refusal(401, "Open the link that `interpose status` prints, once, in this browser.")
            session = found
            _check_site(headers)
            if scope["method"] not in _SAFE:
                self._check_page(headers, session)
        scope["interpose.role"] = Role(session.role)
        scope["interpose.reviewer"] = session.reviewer
        scope["interpose.session"] = session

    def _role_of(self, request: Request, token: str) -> Role:
        address = request.client.host if request.client is not None else ""
        if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            address += " elsewhere"  # or any page could lock the owner out, by links with wrong tokens
        wait_s = self._tries.wait_s(address)
        if wait_s:
            after = {"Retry-After": str(round(wait_s) + 1)}
            raise Refusal(429, "Too many wrong tokens came from there; wait a minute.", fields=after)
        role = self.sessions.role_of(token)
        if role is None:
            self._tries.failed(address)
            raise Refusal(401, "This token is not the one of this instance; `interpose status` prints the link.")
        return role

    def _session(self, headers: Headers) -> Session | None:
        jar: SimpleCookie = SimpleCookie()
        try:
            jar.load(headers.get("cookie", ""))
        except CookieError:
            return None
        cookie = jar.get(self.cookie)
        return self.sessions.session_of(cookie.value) if cookie is not None else None

    def _check_page(self, headers: Headers, session: Session) -> None:
        """(something is to be changed) Whether a page of ours has sent it."""
        if "origin" not in headers and headers.get("sec-fetch-site") != "same-origin":
            raise Refusal(403, "What changes something has to come from the console's own page.")
        given = headers.get("interpose-token", "").encode()
        if not hmac.compare_digest(given, self.sessions.request_token(session).encode()):
            raise Refusal(403, "The field Interpose-Token is not that of this session; `GET /session` says it.")

    # --- /session --------------------------------------------------------------------------------------------------

    async def _shown(self, request: Request) -> SessionView:
        return self._view(_session_in(request.scope))

    async def _named(self, request: Request) -> Response:
        wanted = await content_of(request, Name)
        before = _session_in(request.scope)
        reviewer = name_in(wanted.reviewer)
        if not reviewer:
            raise Refusal(422, "A name needs at least one character that can be seen.")
        session = msgspec.structs.replace(before, reviewer=reviewer)
        answer = json(self._view(session))
        if session.id:
            self._set_cookie(answer, session)
        return answer

    def _view(self, session: Session) -> SessionView:
        return SessionView(
            token=self.sessions.request_token(session) if session.id else "",
            reviewer=session.reviewer,
            role=Role(session.role).name.lower(),
            instance=self._instance,
        )

    def _set_cookie(self, answer: Response, session: Session) -> None:
        value = self.sessions.cookie(session)
        answer.set_cookie(self.cookie, value, COOKIE_AGE_S, path="/", httponly=True, samesite="strict")


class Name(msgspec.Struct, forbid_unknown_fields=True):
    """What to be known by."""

    reviewer: str


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: `token` goes into Interpose-Token of whatever changes something."""

    token: str
    reviewer: str
    role: str
    instance: str


def _session_in(scope: Mapping[str, Any]) -> Session:
    session: Session = scope["interpose.session"]
    return session


def _check_site(headers: Headers) -> None:
    """Refuse what a page of somebody else has a browser ask. (Programs send neither field.)"""
    origins = headers.getlist("origin")
    host = headers.get("host", "").lower()
    if origins and [origin.lower() for origin in origins] not in ([f"http://{host}"], [f"https://{host}"]):
        raise Refusal(403, "This comes from a page of somebody else.")
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        raise Refusal(403, "This comes from a page of somebody else.")


def host_in(host: str) -> str:
    """The name or address in a Host field, without port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower().rstrip(".")


def _with_fields(send: Send) -> Send:
    """`send`, with the fields that every answer has; an answer's own stand."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {name.lower() for name, _ in message.get("headers", ())}
            fields = [field for field in _ALWAYS if field[0] not in own]
            message = {**message, "headers": [*message.get("headers", ()), *fields]}
        await send(message)

    return sent
