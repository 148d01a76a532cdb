"""What an authenticator says of a request, and what it has to offer to say it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from interpose.core.exchange import Exchange
from interpose.core.identity import Identity
from interpose.core.message import Request, Response


class Refusal(NamedTuple):
    """No. `status` is 0 where the client is asked (again) for credentials.

    `challenge` stands in for what the authenticator asks for otherwise. `response` is an answer that somebody else
    wrote, which goes to the client as it is.
    """

    why: str
    status: int = 0
    rule: str = ""
    challenge: str = ""
    retry_after_s: float = 0.0
    response: Response | None = None


class Pass(NamedTuple):
    """Yes: who it is, if anybody could say that, and the fields that go inbound with the request."""

    identity: Identity | None = None
    fields: tuple[tuple[bytes, bytes], ...] = ()


Verdict = Pass | Refusal | None
"""None: these credentials, or their absence, are for somebody else to judge."""


class Authenticator(Protocol):
    """One way to know who somebody is."""

    rule: str
    """What the note of a refusal calls it."""

    challenge: str
    """What a refusal asks for (RFC 9110, 11.6.1); "" where there is nothing to ask for."""

    rejected: str
    """What is asked for where credentials of its scheme were given that nobody recognises."""

    missing: str
    """Why a request without credentials is refused."""

    unknown: str
    """Why credentials are refused that it does not recognise."""

    async def judge(self, exchange: Exchange, request: Request, credentials: bytes | None) -> Verdict:
        """Who sent `request`. `credentials` are those of its one (Proxy-)Authorization field.

        `Failure` where nobody can say at the moment.
        """
