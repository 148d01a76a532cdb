"""The filter: asks its authenticators in order who a client is; the first one that recognises the credentials decides.

On a proxy it asks with 407 and takes the credentials off, which are for the proxy alone; elsewhere with 401, and leaves
them on unless it is told otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.handler import Handler
from interpose.core.message import Request, Response
from interpose.filters.authentication.claimed_fields import keys_of, without
from interpose.filters.authentication.verdict import Authenticator, Pass, Refusal


class Users(Protocol):
    """Who knows names and passwords, which is all that some protocols have."""

    rule: str

    async def login(self, exchange: Exchange, user: bytes, password: bytes) -> Pass | Refusal:
        """Whose they are."""


Render = Callable[[Exchange, Request, Failure], Response]

SEVERAL_MISSING = "No credentials were given."
SEVERAL_UNKNOWN = "The credentials are of no kind that is known here."


class Authentication:
    """See the module. `render` makes the answers' content; without it they are short texts.

    `users` is the one of them who knows passwords, if there is one. The credentials of those in `discards` go no
    further. `owned` are the names of fields that only an authenticator may send inbound.
    """

    def __init__(
        self,
        authenticators: Sequence[Authenticator],
        *,
        users: Users | None = None,
        proxy: bool,
        owned: Sequence[str] = (),
        discards: Collection[Authenticator] = (),
        render: Render | None = None,
    ) -> None:
        self._authenticators = tuple(authenticators)
        self._users = users
        self._render = render or plain
        self._discards = self._authenticators if proxy else tuple(discards)
        self._owned = keys_of(owned)
        self._field, self._ask, self._status = (
            (b"proxy-authorization", "Proxy-Authenticate", 407)
            if proxy
            else (b"authorization", "WWW-Authenticate", 401)
        )
        self._rule = " or ".join(one.rule for one in self._authenticators)
        self._challenges = list(dict.fromkeys(one.challenge for one in self._authenticators if one.challenge))
        alone = self._authenticators[0] if len(self._authenticators) == 1 else None
        self._missing = alone.missing if alone is not None else SEVERAL_MISSING
        self._unknown = alone.unknown if alone is not None else SEVERAL_UNKNOWN

    async def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Response:
        """Forward what is let through, with `exchange.user` and `groups` set; answer 401 or 407, or what else an
        authenticator says, to anybody else."""
        values = request.fields.every(self._field)
        credentials = values[0] if len(values) == 1 else None
        if len(values) > 1:
            return self._refuse(exchange, request, Refusal(self._unknown), self._rule)
        for authenticator in self._authenticators:
            verdict = await authenticator.judge(exchange, request, credentials)
            if isinstance(verdict, Pass):
                self._let_in(exchange, request, verdict, authenticator)
                return await forward(exchange, request)
            if verdict is not None:
                return self._refuse(exchange, request, verdict, authenticator.rule)
        return self._refuse(exchange, request, self._unrecognised(credentials), self._rule)

    def _unrecognised(self, credentials: bytes | None) -> Refusal:
        """The refusal of what nobody wants to judge."""
        if credentials is None:
            return Refusal(self._missing)
        scheme = credentials.partition(b" ")[0].lower().decode("latin-1")
        rejected = (one.rejected for one in self._authenticators if one.rejected.lower().startswith(f"{scheme} "))
        return Refusal(self._unknown, challenge=next(rejected, ""))

    def _let_in(self, exchange: Exchange, request: Request, verdict: Pass, authenticator: Authenticator) -> None:
        self._identify(exchange, verdict)
        if authenticator in self._discards:
            request.fields.lines = [line for line in request.fields.lines if line[0] != self._field]
        if self._owned:
            request.fields.lines = without(request.fields.lines, self._owned)
            for name, value in verdict.fields:
                request.fields.add(name, value)

    def _identify(self, exchange: Exchange, verdict: Pass) -> None:
        if verdict.identity is not None:
            exchange.user, exchange.groups = verdict.identity

    async def login(self, exchange: Exchange, user: bytes, password: bytes) -> None:
        """Below HTTP: set `exchange.user`, or raise the refusal, with its note (407, 429 or 503)."""
        if self._users is None:
            raise self._failure(exchange, Refusal(SEVERAL_UNKNOWN), self._rule)
        verdict = await self._users.login(exchange, user, password)
        if isinstance(verdict, Refusal):
            raise self._failure(exchange, verdict, self._users.rule)
        self._identify(exchange, verdict)

    def _failure(self, exchange: Exchange, refusal: Refusal, rule: str) -> Failure:
        exchange.refused_by("auth", refusal.rule or rule, refusal.why)
        return Failure("http_request_denied", Side.DOWNSTREAM, refusal.why, status=refusal.status or self._status)

    def _refuse(self, exchange: Exchange, request: Request, refusal: Refusal, rule: str) -> Response:
        failure = self._failure(exchange, refusal, rule)
        if refusal.response is not None:
            response = self._as_ours(refusal.response)
        else:
            response = self._render(exchange, request, failure)
        if response.status == self._status:
            for challenge in self._challenges_of(refusal):
                response.fields.add(self._ask, challenge)
        elif refusal.challenge:
            response.fields.add(self._ask, refusal.challenge)
        if refusal.retry_after_s or refusal.status == 429:
            response.fields.set("Retry-After", f"{refusal.retry_after_s // 1 + 1:.0f}")
        return response

    def _as_ours(self, response: Response) -> Response:
        """Another's answer: what a server asks for with 401, a proxy asks for with 407."""
        if response.status == 401 and self._status == 407:
            challenges = response.fields.get_all("WWW-Authenticate")
            response.fields.remove("WWW-Authenticate", "Proxy-Authenticate")
            for challenge in challenges:
                response.fields.add("Proxy-Authenticate", challenge)
            response.status = 407
        return response

    def _challenges_of(self, refusal: Refusal) -> list[str]:
        """What everybody here asks for; of the one that refused, what it has to say about that."""
        if not refusal.challenge:
            return self._challenges
        scheme = refusal.challenge.partition(" ")[0] + " "
        return [refusal.challenge, *(other for other in self._challenges if not other.startswith(scheme))]


def plain(exchange: Exchange, request: Request, failure: Failure) -> Response:
    """The answer in one line."""
    return Response.text(failure.status, failure.detail + "\n")
