"""Forward authentication: a service is asked about each request, and says yes, no, or where to log in.

It gets a GET without content that tells of the request: `X-Forwarded-Method`, `-Uri`, `-Host`, `-Proto` and `-For`, and
the fields that it is to see. 2xx lets the request in, with the fields of the answer that are to go on. Any other answer
goes to the client as it is, but for 5xx: then, and when there is no answer in time, the table says what happens.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable

from interpose.core.body import Body
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.identity import Identity
from interpose.core.message import Request, Response
from interpose.core.target import Form
from interpose.filters.authentication.options import AuthenticationOptions
from interpose.filters.authentication.remembered import Remembered
from interpose.filters.authentication.tries import Brake
from interpose.filters.authentication.verdict import Pass, Refusal, Verdict

log = logging.getLogger("interpose")

REFUSED = "The service that is asked did not let it in."

Answer = tuple[int, Fields, bytes]
Ask = Callable[[Fields], Awaitable[Answer]]
"""Status, fields and content that a GET with these fields is answered with. `Failure` when it is not."""


class Forward:
    """The authenticator.

    `believes_fields`: what the request's own X-Forwarded-For and -Proto say was seen to before, as on a gateway. Else
    only the connection is believed.
    """

    challenge = rejected = ""
    missing = unknown = REFUSED

    def __init__(
        self,
        options: AuthenticationOptions,
        ask: Ask,
        *,
        believes_fields: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = options
        self._ask = ask
        self._believes_fields = believes_fields
        self._clock = clock
        self._shown = [name for name in options.request_fields if name.lower() != "authorization"]
        self._shows_credentials = len(self._shown) < len(options.request_fields)
        self._key = [f"x-forwarded-{_KEYS[told]}".encode() for told in options.cache_by]
        self._key += [name.lower().encode() for name in options.request_fields]
        if options.cache_by:  # who is told more than who asks may want TLS for it
            self._key.append(b"x-forwarded-proto")
        self._remembered: Remembered[Pass] = Remembered()
        self._brake = Brake(options.tries_per_minute, "credentials", clock)
        self._is_failing = False
        self.rule = f"service {options.name}"

    async def judge(self, exchange: Exchange, request: Request, credentials: bytes | None) -> Verdict:
        """See `Authenticator`."""
        question = self._question(exchange, request, credentials)
        now = self._clock()
        known = self._remembered.digest(self._same(question)) if self._options.cache_s else None
        if known is not None and (found := self._remembered.get(known, now)) is not None:
            return found
        tries = self._brake.of(exchange.client.host) if credentials is not None else None
        if tries is not None and self._brake.holds(tries):
            return self._brake.refusal(tries)
        try:
            status, fields, content = await self._ask(question)
        except Failure as failure:
            return self._unanswered(exchange, failure.detail or failure.kind)
        if status >= 500 or status < 200:
            return self._unanswered(exchange, f"It answered {status}.")
        if self._is_failing:
            self._is_failing = False
            log.info("authentication %s: the service answers again", self._options.name)
        if status >= 300:
            if tries is not None and credentials is not None and status == 401:
                tries.wrong.add(self._remembered.digest(credentials))
            return Refusal(REFUSED, status, response=Response(status, fields, Body(content)))
        verdict = self._pass(fields)
        if known is not None:
            self._remembered.keep(known, verdict, now + self._options.cache_s)
        return verdict

    def _question(self, exchange: Exchange, request: Request, credentials: bytes | None) -> Fields:
        """What the service is told. Credentials for a proxy are shown to it as what they are to the proxy."""
        target, fields = request.target, request.fields
        uri = str(target) if target.form in (Form.AUTHORITY, Form.ASTERISK) else target.path_and_query
        question = Fields([("X-Forwarded-Method", request.method), ("X-Forwarded-Uri", uri)])
        question.add("X-Forwarded-Host", str(target.authority))
        if self._believes_fields:
            for one in fields.every(b"via"):  # so that a service that leads back to here is seen to be one
                question.add("Via", one)
        own = {"X-Forwarded-Proto": exchange.scheme, "X-Forwarded-For": exchange.client.host or "unknown"}
        for name, value in own.items():
            question.add(name, (fields.get(name) if self._believes_fields else None) or value)
        if self._shows_credentials and credentials is not None:
            question.add("Authorization", credentials)
        for name in self._shown:
            for one in fields.every(name.lower().encode()):
                question.add(name, one)
        return question

    def _same(self, question: Fields) -> bytes:
        """What must be the same for an answer to hold again. Parts are told apart by what no field can hold."""
        return b"\0".join(b"\1".join(question.every(key)) for key in self._key)

    def _pass(self, fields: Fields) -> Pass:
        options = self._options
        user = _text(fields, options.user_field)
        groups = _text(fields, options.groups_field) or ""
        listed = (
            tuple(one for part in groups.split(",") if (one := part.strip(" \t"))) if options.groups_field else None
        )
        names = [(name.encode(), name.lower().encode()) for name in options.response_fields]
        copied = tuple((name, value) for name, key in names for value in fields.every(key))
        return Pass(Identity(user, listed) if user else None, copied)

    def _unanswered(self, exchange: Exchange, why: str) -> Verdict:
        """What the table says for when nobody says anything."""
        if not self._is_failing:
            self._is_failing = True
            log.warning("authentication %s: the service cannot be asked: %s", self._options.name, why)
        if self._options.on_failure == "allow":
            exchange.notes["unauthenticated"] = f"{self.rule} did not answer"
            return Pass()
        detail = "The service that knows who may come in cannot be asked at the moment."
        exchange.refused_by("auth", self.rule, detail)
        raise Failure("destination_unavailable", Side.INTERNAL, detail, status=503)


_KEYS = {"client": "for", "method": "method", "host": "host", "uri": "uri"}


def _text(fields: Fields, name: str | None) -> str | None:
    """The value of a field, in UTF-8 where it is that."""
    value = fields.first(name.lower().encode()) if name else None
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
