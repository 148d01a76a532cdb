"""A function of a script that says who it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.identity import Identity
from interpose.core.message import Request
from interpose.filters.authentication.challenges import challenge
from interpose.filters.authentication.options import AuthenticationOptions
from interpose.filters.authentication.remembered import Remembered
from interpose.filters.authentication.tries import Brake
from interpose.filters.authentication.verdict import Pass, Verdict

Ask = Callable[[Exchange, Request], Coroutine[Any, Any, object]]
"""What the function returns: a user's name, an `Identity`, or None for nobody. `Failure` for what went wrong in it."""


class Function:
    """The authenticator. The function gets a task of its own, so it may use all that tasks can.

    Where it `is_last`, credentials that it does not know are a try; else somebody after it may know them.
    """

    missing = "The script did not say who it is."
    unknown = "The script does not know these credentials."

    def __init__(
        self,
        options: AuthenticationOptions,
        ask: Ask,
        *,
        is_last: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._is_last = is_last
        self._digests: Remembered[None] = Remembered()
        self._brake = Brake(options.tries_per_minute, "credentials", clock)
        self.rule = f"script {options.name}"
        self.challenge = self.rejected = challenge("Basic", (("realm", options.realm), ("charset", "UTF-8")))

    async def judge(self, exchange: Exchange, request: Request, credentials: bytes | None) -> Verdict:
        """See `Authenticator`."""
        tries = self._brake.of(exchange.client.host)
        if credentials is not None and self._brake.holds(tries):
            return self._brake.refusal(tries)
        said = await self._asked(exchange, request)
        if said is None:
            if self._is_last and credentials is not None:
                tries.wrong.add(self._digests.digest(credentials))
            return None
        return Pass(said)

    async def _asked(self, exchange: Exchange, request: Request) -> Identity | None:
        asking = asyncio.get_running_loop().create_task(self._ask(exchange, request))
        try:
            said = await asking
        except asyncio.CancelledError:
            asking.cancel()
            raise
        except Failure as failure:
            exchange.refused_by("auth", self.rule, failure.detail)
            raise
        match said:
            case None:
                return None
            case Identity(user=str() as user) if user:
                return said
            case str() if said:
                return Identity(said)
        why = f"The script said {said!r:.100} instead of a user's name, an interpose.Identity or None."
        exchange.refused_by("auth", self.rule, why)
        raise Failure("proxy_internal_error", Side.INTERNAL, why)
