"""The filter: asks its authenticators in order who a client is; the first one that recognises the credentials decides.

On a proxy it asks with 407 and takes the credentials off, which are for the proxy alone; elsewhere with 401, and leaves
them on unless it is told otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.handler import Handler
from interpose.core.message import Request, Response
from interpose.filters.authentication.passwords import WRONG, Passwords
from interpose.filters.authentication.verdict import Authenticator, Pass, Refusal

Render = Callable[[Exchange, Request, Failure], Response]

SEVERAL_MISSING = "No credentials were given."
SEVERAL_UNKNOWN = "The credentials are of no kind that is known here."


class Authentication:
    """See the module. `render` makes the answers' content; without it they are short texts."""

    def __init__(
        self,
        authenticators: Sequence[Authenticator],
        *,
        proxy: bool,
        keep_credentials: bool = True,
        render: Render | None = None,
    ) -> None:
        self._authenticators = tuple(authenticators)
        self._render = render or plain
        self._takes_off = proxy or not keep_credentials
        self._field, self._ask, self._status = (
            (b"proxy-authorization", "Proxy-Authenticate", 407)
            if proxy
            else (b"authorization", "WWW-Authenticate", 401)
        )
        self._rule = " or ".join(one.rule for one in self._authenticators)
        self._challenges = [one.challenge for one in self._authenticators if one.challenge]
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
                self._let_in(exchange, request, verdict)
                return await forward(exchange, request)
            if verdict is not None:
                return self._refuse(exchange, request, verdict, authenticator.rule)
        refusal = Refusal(self._missing if credentials is None else self._unknown)
        return self._refuse(exchange, request, refusal, self._rule)

    def _let_in(self, exchange: Exchange, request: Request, verdict: Pass) -> None:
        if verdict.identity is not None:
            exchange.user, exchange.groups = verdict.identity
        if self._takes_off:
            request.fields.lines = [line for line in request.fields.lines if line[0] != self._field]
        for name, value in verdict.fields:
            request.fields.add(name, value)

    async def login(self, exchange: Exchange, user: bytes, password: bytes) -> None:
        """Below HTTP: set `exchange.user`, or raise the refusal, with its note (407, 429 or 503)."""
        for authenticator in self._authenticators:
            if isinstance(authenticator, Passwords):
                verdict = await authenticator.login(exchange, user, password)
                if isinstance(verdict, Pass):
                    assert verdict.identity is not None
                    exchange.user, exchange.groups = verdict.identity
                    return
                raise self._failure(exchange, verdict or Refusal(WRONG), authenticator.rule)
        raise self._failure(exchange, Refusal(SEVERAL_UNKNOWN), self._rule)

    def _failure(self, exchange: Exchange, refusal: Refusal, rule: str) -> Failure:
        exchange.refused_by("auth", refusal.rule or rule, refusal.why)
        return Failure("http_request_denied", Side.DOWNSTREAM, refusal.why, status=refusal.status or self._status)

    def _refuse(self, exchange: Exchange, request: Request, refusal: Refusal, rule: str) -> Response:
        failure = self._failure(exchange, refusal, rule)
        response = refusal.response or self._render(exchange, request, failure)
        if response.status == self._status:
            for challenge in self._challenges_of(refusal):
                response.fields.add(self._ask, challenge)
        elif refusal.challenge:
            response.fields.add(self._ask, refusal.challenge)
        if refusal.retry_after_s or refusal.status == 429:
            response.fields.set("Retry-After", f"{refusal.retry_after_s // 1 + 1:.0f}")
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
