"""Bearer tokens that are JSON Web Tokens (RFC 6750, 7519), held to the advice of RFC 8725.

What is said in a token before its signature is verified decides nothing but which key is tried: the algorithm must be
one of the configuration's, and suit the key. A verified token is remembered, so that the next request with it costs a
microsecond, until it expires, for some minutes at most, and not longer than the keys stay as they are.
"""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Callable
from typing import Any

import jwt
import msgspec
from jwt import PyJWK
from jwt import exceptions as errors

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.identity import Identity
from interpose.core.message import Request
from interpose.filters.authentication.challenges import challenge
from interpose.filters.authentication.claims import Claims, claim, is_met, words
from interpose.filters.authentication.key_source import KeySource
from interpose.filters.authentication.options import AuthenticationOptions
from interpose.filters.authentication.remembered import Remembered
from interpose.filters.authentication.tries import Brake, Tries
from interpose.filters.authentication.verdict import Pass, Refusal, Verdict

MOST_USER_CHARACTERS = 1024
LAST_DAY = 1e12
"""A date that no token can mean, in seconds; beyond it there are numbers that cannot be reckoned with."""

WRONG = "The token's signature is wrong."
UNKNOWN_KEY = "The token was signed with a key that is not known here."

_BEARER = re.compile(
    rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9_-]{1,8192})\.([A-Za-z0-9_-]{1,8192})\.([A-Za-z0-9_-]{1,8192})"
)

# What is wrong with a token whose signature is right, in words; the first that fits.
_COMPLAINTS: tuple[tuple[type[Exception], str], ...] = (
    (errors.ExpiredSignatureError, "The token has expired."),
    (errors.ImmatureSignatureError, "The token is not valid yet."),
    (errors.InvalidAudienceError, "The token is meant for somebody else."),
    (errors.InvalidIssuerError, "The token was made by somebody else."),
    (errors.MissingRequiredClaimError, "The token does not say what it must."),
    (Exception, "The token is not valid."),
)


class Head(msgspec.Struct):
    """What a token says of itself (RFC 7515, 4.1)."""

    alg: str
    kid: str | None = None
    typ: str = ""
    crit: Any = msgspec.UNSET


class Said(msgspec.Struct):
    """What it says of its maker, before anybody knows whether that is true."""

    iss: str = ""


class Bearer:
    """The authenticator. `clock` is monotonic, `wall` tells what a token's times are compared with."""

    missing = "No token was given."
    unknown = "The credentials are no token that is known here."

    def __init__(
        self,
        options: AuthenticationOptions,
        keys: KeySource,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._options = options
        self._keys = keys
        self._clock = clock
        self._wall = wall
        self._generation = keys.generation
        self._remembered: Remembered[Verdict] = Remembered()
        self._brake = Brake(options.tries_per_minute, "tokens", clock)
        self._typ = _bare_type(options.token_type)
        self.rule = f"tokens of {options.name}"
        self.challenge = self._asked()
        self.rejected = self._asked("invalid_token", self.unknown)

    async def judge(self, exchange: Exchange, request: Request, credentials: bytes | None) -> Verdict:
        """See `Authenticator`."""
        if credentials is None:
            return None
        self._look()
        digest = self._remembered.digest(credentials)
        known = self._remembered.get(digest, self._clock())
        if known is not None:
            return known
        parts = _BEARER.fullmatch(credentials)
        head = _decoded(parts[1], Head) if parts is not None else None
        said = _decoded(parts[2], Said) if parts is not None else None
        if parts is None or head is None or said is None or self._options.issuer not in ("", said.iss):
            return None
        if head.alg not in self._options.algorithms or head.crit is not msgspec.UNSET:
            return self._invalid("The token is signed in a way that is not accepted here.")
        if self._typ not in ("", _bare_type(head.typ)):
            return self._invalid("The token is of another type.")
        tries = self._brake.of(exchange.client.host)
        if self._brake.holds(tries):
            return self._brake.refusal(tries)
        token = credentials[parts.start(1) :]
        verifiers = await self._verifiers(exchange, head)
        return self._invalid(UNKNOWN_KEY) if not verifiers else self._verified(token, verifiers, digest, tries)

    async def _verifiers(self, exchange: Exchange, head: Head) -> list[PyJWK]:
        """What can have signed it; where that is nothing, newer keys are asked for."""
        keys = self._keys.look()
        if keys is None or not keys.verifiers(head.kid, head.alg):
            await self._keys.renew()
            self._look()
            keys = self._keys.look()
        if keys is None:
            why = "The keys for tokens cannot be had at the moment."
            exchange.refused_by("auth", self.rule, why)
            raise Failure("destination_unavailable", Side.INTERNAL, why, status=503)
        return keys.verifiers(head.kid, head.alg)

    def _verified(self, token: bytes, verifiers: list[PyJWK], digest: bytes, tries: Tries) -> Verdict:
        options = self._options
        for verifier in verifiers:
            try:
                claims = jwt.decode(
                    token,
                    verifier,
                    algorithms=[verifier.algorithm_name],
                    audience=options.audience or None,
                    issuer=options.issuer or None,
                    leeway=options.leeway_s,
                    options={"require": ["exp"], "enforce_minimum_key_length": True},
                )
            except errors.InvalidSignatureError:
                continue
            except (errors.PyJWTError, ValueError, TypeError, RecursionError) as error:
                return self._invalid(next(says for kind, says in _COMPLAINTS if isinstance(error, kind)))
            return self._accepted(claims, digest)
        tries.wrong.add(digest)
        return self._invalid(WRONG)

    def _accepted(self, claims: Claims, digest: bytes) -> Verdict:
        """What follows from what a token says that is genuine."""
        user, expires = claim(claims, self._options.user_claim), claims["exp"]
        if not isinstance(user, str) or not 0 < len(user) <= MOST_USER_CHARACTERS:
            return self._invalid("The token names no user.")
        if not isinstance(expires, int | float) or expires > LAST_DAY:
            return self._invalid("The token does not say when it expires.")
        verdict: Verdict = self._lacking(claims)
        if verdict is None:
            verdict = Pass(Identity(user, words(claim(claims, self._options.groups_claim))))
        left = min(expires + self._options.leeway_s - self._wall(), self._options.remember_s)
        self._remembered.keep(digest, verdict, self._clock() + left)
        return verdict

    def _lacking(self, claims: Claims) -> Refusal | None:
        """The refusal for who is known, and may not."""
        for required in self._options.required:
            if not is_met(claims, required):
                scope = " ".join(required.values) if required.claim in ("scope", "scp") else ""
                asked = self._asked("insufficient_scope", f"{required.claim} is not what it must be", scope)
                return Refusal(f"The token's {required.claim} is not what it must be.", 403, challenge=asked)
        return None

    def _invalid(self, why: str) -> Refusal:
        return Refusal(why, challenge=self._asked("invalid_token", why))

    def _asked(self, error: str = "", description: str = "", scope: str = "") -> str:
        """The challenge (RFC 6750, 3)."""
        parameters = (("error", error), ("error_description", description), ("scope", scope))
        return challenge("Bearer", (("realm", self._options.realm), *parameters))

    def _look(self) -> None:
        """Forget what was right by keys that have changed."""
        self._keys.look()
        if self._keys.generation != self._generation:
            self._generation = self._keys.generation
            self._remembered.clear()


def _decoded(segment: bytes, kind: type[Any]) -> Any:
    """The JSON of a part, None where it is nothing of the kind."""
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4)), type=kind)
    except (msgspec.DecodeError, binascii.Error, RecursionError):
        return None


def _bare_type(text: str) -> str:
    """A media type as `typ` has it, where `application/` may be left out (RFC 7515, 4.1.9)."""
    return text.lower().removeprefix("application/")
