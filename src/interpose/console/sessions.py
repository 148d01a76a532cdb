"""Who may come in, and as what: tokens, and the cookie that stands for one.

All of it is made from one secret, the token of the instance, which is the admin's; a viewer's and an editor's are made
from it. A session is what its cookie says, sealed with a key that only this secret gives: nothing is kept for it, so
nobody can fill a memory with sessions, and who has changed the secret has ended them all.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Final

import msgspec

from interpose.console.resource import Role, name_in

TRIES: Final = 5
WITHIN_S: Final = 60.0
MOST_ADDRESSES: Final = 1024
COOKIE_AGE_S: Final = 30 * 86400
MAX_COOKIE_CHARACTERS: Final = 2000


class Session(msgspec.Struct, frozen=True, array_like=True):
    """Somebody who was let in. `id` is random."""

    id: str
    role: int
    reviewer: str


_DECODER = msgspec.json.Decoder(Session)


class Sessions:
    """Made of `token`: at least 32 characters that nobody can guess."""

    def __init__(self, token: str) -> None:
        if len(token) < 32:
            raise ValueError("the console's token must have at least 32 characters that nobody can guess.")
        secret = token.encode()
        self._key = hmac.digest(secret, b"interpose console: sessions", "sha256")
        self.tokens: dict[Role, str] = {
            Role.VIEWER: _text(hmac.digest(secret, b"interpose console: viewer", "sha256")),
            Role.EDITOR: _text(hmac.digest(secret, b"interpose console: editor", "sha256")),
            Role.ADMIN: token,
        }
        self._digests = {role: _digest(one) for role, one in self.tokens.items()}

    def role_of(self, token: str) -> Role | None:
        """The role that a token gives. It takes as long for any that is none."""
        given = _digest(token)
        found = None
        for role, digest in self._digests.items():
            if hmac.compare_digest(given, digest):
                found = role
        return found

    def begin(self, role: Role, reviewer: str = "") -> Session:
        """A new session."""
        id = secrets.token_hex(8)
        return Session(id, role, name_in(reviewer) or f"{role.name.lower()}-{id[:4]}")

    def cookie(self, session: Session) -> str:
        """What the browser keeps."""
        data = msgspec.json.encode(session)
        return f"{_text(data)}.{_text(hmac.digest(self._key, b'cookie' + data, 'sha256'))}"

    def session_of(self, cookie: str) -> Session | None:
        """The session of a cookie; None for one that was not made here."""
        data, dot, seal = cookie.partition(".")
        if not dot or len(cookie) > MAX_COOKIE_CHARACTERS:
            return None
        octets, given = _octets(data), _octets(seal)
        if not hmac.compare_digest(given, hmac.digest(self._key, b"cookie" + octets, "sha256")):
            return None
        try:
            return _DECODER.decode(octets)
        except msgspec.DecodeError:
            return None

    def request_token(self, session: Session) -> str:
        """What a page sends along with everything that changes something: only a page of ours can have read it."""
        return _text(hmac.digest(self._key, b"request" + session.id.encode(), "sha256"))


class Tries:
    """Wrong tokens, by address: after TRIES within WITHIN_S there are none to be tried for a while."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._wrong: dict[str, list[float]] = {}

    def wait_s(self, address: str) -> float:
        """How long this address has to wait; 0 for not at all."""
        now = self._clock()
        lately = [at for at in self._wrong.get(address, ()) if at > now - WITHIN_S]
        return lately[-TRIES] + WITHIN_S - now if len(lately) >= TRIES else 0.0

    def failed(self, address: str) -> None:
        """A wrong token came from there."""
        now = self._clock()
        lately = [at for at in self._wrong.pop(address, ()) if at > now - WITHIN_S]
        self._wrong[address] = [*lately[-TRIES + 1 :], now]
        if len(self._wrong) > MOST_ADDRESSES:
            del self._wrong[next(iter(self._wrong))]  # the one whose last try is the longest ago


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _octets(text: str) -> bytes:
    """The octets of `_text`; b"" for what is none."""
    try:
        return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
    except ValueError:
        return b""
