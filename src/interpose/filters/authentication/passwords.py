"""Basic authentication against a file of users (RFC 7617).

Checking a password is slow on purpose, so it happens in a thread, one at a time for each client; what was right is
remembered for some minutes.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.identity import Identity
from interpose.core.message import Request
from interpose.filters.authentication.challenges import challenge
from interpose.filters.authentication.options import AuthenticationOptions
from interpose.filters.authentication.remembered import Remembered
from interpose.filters.authentication.tries import Brake, Tries
from interpose.filters.authentication.verdict import Pass, Refusal, Verdict
from interpose.filters.authentication.watched_file import WatchedFile
from interpose.storage.password_file import PasswordFile, groups_in

MOST_WAITING = 64
WRONG = "The user name or the password is wrong."

_BASIC = re.compile(rb"[Bb][Aa][Ss][Ii][Cc] +([A-Za-z0-9+/]{1,1024}={0,2})")


class Passwords:
    """The authenticator. Raises ValueError for a file that cannot be used, one sentence per line of it."""

    missing = "No user name and password were given."
    unknown = "The credentials are not of the Basic scheme."

    def __init__(self, options: AuthenticationOptions, clock: Callable[[], float] = time.monotonic) -> None:
        assert options.file is not None
        self._options = options
        self._clock = clock
        self._file = WatchedFile(options.file, "users", PasswordFile, lambda value: len(value.users), clock)
        self._groups = (
            WatchedFile(options.groups_file, "groups", groups_in, len, clock) if options.groups_file else None
        )
        self.rule = f"users in {options.file}"
        self.challenge = self.rejected = challenge("Basic", (("realm", options.realm), ("charset", "UTF-8")))
        self._remembered: Remembered[Pass] = Remembered()
        self._brake = Brake(options.tries_per_minute, "passwords", clock)
        self._waiting = 0
        self._threads: ThreadPoolExecutor | None = None

    async def judge(self, exchange: Exchange, request: Request, credentials: bytes | None) -> Verdict:
        """See `Authenticator`."""
        if credentials is None:
            return None
        self._look()
        digest = self._remembered.digest(credentials)
        known = self._remembered.get(digest, self._clock())
        if known is not None:
            return known
        basic = _BASIC.fullmatch(credentials)
        return None if basic is None else await self._examine(exchange, digest, basic[1])

    async def login(self, exchange: Exchange, user: bytes, password: bytes) -> Pass | Refusal:
        """The same below HTTP."""
        self._look()
        encoded = base64.b64encode(user + b":" + password)
        digest = self._remembered.digest(b"Basic " + encoded)
        verdict = self._remembered.get(digest, self._clock()) or await self._examine(exchange, digest, encoded)
        if isinstance(verdict, Pass) and b":" in user:  # no file can have it: another user's name and password
            return Refusal(WRONG)
        return verdict

    async def _examine(self, exchange: Exchange, digest: bytes, encoded: bytes) -> Pass | Refusal:
        """Wait for one's turn, and have the credentials checked."""
        tries = self._brake.of(exchange.client.host)
        if self._waiting >= MOST_WAITING:
            detail = "Too many passwords are being checked at the moment."
            exchange.refused_by("auth", f"{MOST_WAITING} wait already", detail)
            raise Failure("http_request_denied", Side.DOWNSTREAM, detail, status=503)
        self._waiting += 1
        try:
            async with tries.lock:
                return await self._check(digest, encoded, tries)
        finally:
            self._waiting -= 1

    async def _check(self, digest: bytes, encoded: bytes, tries: Tries) -> Pass | Refusal:
        """Whose credentials these are. Holds the client's lock."""
        known = self._remembered.get(digest, self._clock())
        if known is not None:
            return known  # another request of the same client has just had them checked
        if self._brake.holds(tries):
            return self._brake.refusal(tries)
        if digest in tries.wrong:
            return Refusal(WRONG)
        users, groups = self._file.value, self._groups.value if self._groups else None
        name, password = decoded(encoded)
        if self._threads is None:
            self._threads = ThreadPoolExecutor(2, thread_name_prefix="passwords")
        loop = asyncio.get_running_loop()
        if not await loop.run_in_executor(self._threads, users.is_right, name, password):
            tries.wrong.add(digest)
            return Refusal(WRONG)
        found = Pass(Identity(name, None if groups is None else groups.get(name, ())))
        if users is self._file.value and (self._groups is None or groups is self._groups.value):
            # Else a file changed meanwhile, and this verdict is for once.
            self._remembered.keep(digest, found, self._clock() + self._options.remember_s)
        return found

    def _look(self) -> None:
        """Forget what was right by files that have changed."""
        has_new_users = self._file.look()
        has_new_groups = self._groups is not None and self._groups.look()
        if has_new_users or has_new_groups:
            self._remembered.clear()


def decoded(encoded: bytes) -> tuple[str, bytes]:
    """User and password of Basic credentials; ("", …) where there is no user, whom no file has."""
    try:
        raw = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return "", b""
    user, _, password = raw.partition(b":")
    try:
        return user.decode(), password
    except UnicodeDecodeError:
        return user.decode("latin-1"), password
