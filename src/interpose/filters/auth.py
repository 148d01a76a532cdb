"""Who a client is: Basic authentication against a file of users (RFC 7617).

Checking a password is slow on purpose, so it happens in a thread, one at a time for each client; what was right is
remembered for some minutes, as a keyed digest of the credentials and never as the credentials. A wrong one is
remembered for a minute: repeating it (browsers do, on every connection) is answered without a check and is no new try,
while others count, and after `tries_per_minute` of them the client waits.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import logging
import os
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv6Address, ip_address
from pathlib import Path

import msgspec

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.handler import Handler
from interpose.core.message import Request, Response
from interpose.storage.password_file import PasswordFile

log = logging.getLogger("interpose")

MOST_REMEMBERED = 4096
MOST_WAITING = 64
WINDOW_S = 60.0
LOOK_S = 1.0
WRONG = "The user name or the password is wrong."

_BASIC = re.compile(rb"[Bb][Aa][Ss][Ii][Cc] +([A-Za-z0-9+/]{1,1024}={0,2})")
_UNQUOTABLE = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")

Render = Callable[[Exchange, Request, Failure], Response]


class AuthOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which users are let through."""

    file: str
    """Users and hashes of their passwords, as `htpasswd -B` writes them. It is read again when it changes."""

    proxy: bool = False
    """Ask as a proxy does (407, `Proxy-Authorization`) instead of as a server (401, `Authorization`)."""

    realm: str = "Interpose"
    """What a browser's dialogue calls the place that asks."""

    remember_s: float = 300.0
    """How long a checked password need not be checked again."""

    tries_per_minute: int = 5
    """Wrong passwords that one client address may try; then it gets 429 until the minute is over."""


class Tries:
    """What one client tried since `began`: the digests of wrong credentials. The lock lets one check run at a time."""

    __slots__ = ("began", "lock", "wrong")

    def __init__(self, began: float) -> None:
        self.began = began
        self.wrong: set[bytes] = set()
        self.lock = asyncio.Lock()


class Auth:
    """The filter. `render` makes the answers' content; without it they are short texts.

    Raises ValueError for a file that cannot be used, one sentence per line of it.
    """

    def __init__(
        self, options: AuthOptions, render: Render | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._options = options
        self._render = render or plain
        self._clock = clock
        self._path = Path(options.file)
        self._seen = signature(self._path)
        self._passwords = PasswordFile(self._path)
        self._next_look = clock() + LOOK_S
        self._field, self._ask, self._status = (
            (b"proxy-authorization", "Proxy-Authenticate", 407)
            if options.proxy
            else (b"authorization", "WWW-Authenticate", 401)
        )
        realm = _UNQUOTABLE.sub("", options.realm)
        self._challenge = f'Basic realm="{realm}", charset="UTF-8"'
        self._keyed = hashlib.blake2b(key=os.urandom(32), digest_size=32)
        self._known: dict[bytes, tuple[str, float]] = {}
        self._tries: dict[str, Tries] = {}
        self._waiting = 0
        self._threads: ThreadPoolExecutor | None = None

    async def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Response:
        """Forward what a known user sends, with `exchange.user` set; answer 401 or 407, or 429, to anybody else."""
        now = self._clock()
        if now >= self._next_look:
            self._look(now)
        values = request.fields.every(self._field)
        if not values:
            return self._refuse(exchange, request, "No user name and password were given.")
        digest = self._digest(values[0])
        user, until = self._known.get(digest, NOBODY)
        if until <= now or len(values) > 1:
            basic = _BASIC.fullmatch(values[0])
            if basic is None or len(values) > 1:
                return self._refuse(exchange, request, "The credentials are not of the Basic scheme.")
            found, put_off = await self._examine(exchange, digest, basic[1])
            if found is None and put_off is not None:
                return self._put_off(exchange, request, put_off)
            if found is None:
                return self._refuse(exchange, request, WRONG)
            user = found
        exchange.user = user
        if self._options.proxy:
            request.fields.lines = [line for line in request.fields.lines if line[0] != self._field]
        return await forward(exchange, request)

    async def login(self, exchange: Exchange, user: bytes, password: bytes) -> None:
        """The same below HTTP: set `exchange.user`, or raise the refusal, with its note (407, 429 or 503)."""
        now = self._clock()
        if now >= self._next_look:
            self._look(now)
        encoded = base64.b64encode(user + b":" + password)
        digest = self._digest(b"Basic " + encoded)
        found: str | None
        put_off: Tries | None = None
        found, until = self._known.get(digest, NOBODY)
        if until <= now:
            found, put_off = await self._examine(exchange, digest, encoded)
        if found is None and put_off is not None:
            raise self._too_many(exchange)
        if found is None or b":" in user:  # which no file can have: it would be another user's name and password
            raise self._unknown(exchange, WRONG)
        exchange.user = found

    async def _examine(self, exchange: Exchange, digest: bytes, encoded: bytes) -> tuple[str | None, Tries | None]:
        """The user whose credentials these are; else None, and what the client tried when it has tried too much."""
        tries = self._tries_of(exchange.client.host)
        if self._waiting >= MOST_WAITING:
            detail = "Too many passwords are being checked at the moment."
            raise Failure("http_request_denied", Side.DOWNSTREAM, detail, status=503)
        self._waiting += 1
        try:
            async with tries.lock:
                is_put_off = len(tries.wrong) >= self._options.tries_per_minute
                return await self._check(digest, encoded, tries), tries if is_put_off else None
        finally:
            self._waiting -= 1

    async def _check(self, digest: bytes, encoded: bytes, tries: Tries) -> str | None:
        """The user whose credentials these are, else None. Holds the client's lock."""
        user, until = self._known.get(digest, NOBODY)
        if until > self._clock():
            return user  # another request of the same client has just had them checked
        if digest in tries.wrong or len(tries.wrong) >= self._options.tries_per_minute:
            return None
        passwords = self._passwords
        name, password = credentials(encoded)
        if self._threads is None:
            self._threads = ThreadPoolExecutor(2, thread_name_prefix="passwords")
        loop = asyncio.get_running_loop()
        if not await loop.run_in_executor(self._threads, passwords.is_right, name, password):
            tries.wrong.add(digest)
            return None
        if passwords is self._passwords:  # else the file changed meanwhile, and this verdict is for once
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known[digest] = name, self._clock() + self._options.remember_s
        return name

    def _digest(self, value: bytes) -> bytes:
        """Tells credentials apart without keeping them: a MAC by keyed BLAKE2b, a tenth of the time of HMAC."""
        mac = self._keyed.copy()
        mac.update(value)
        return mac.digest()

    def _tries_of(self, host: str) -> Tries:
        client = network_of(host)
        tries = self._tries.get(client)
        now = self._clock()
        if tries is None or now - tries.began >= WINDOW_S:
            self._tries.pop(client, None)
            if len(self._tries) >= MOST_REMEMBERED:
                del self._tries[next(iter(self._tries))]
            tries = self._tries[client] = Tries(now)
        return tries

    def _refuse(self, exchange: Exchange, request: Request, why: str) -> Response:
        response = self._render(exchange, request, self._unknown(exchange, why))
        response.fields.set(self._ask, self._challenge)
        return response

    def _unknown(self, exchange: Exchange, why: str) -> Failure:
        exchange.refused_by("auth", f"users in {self._options.file}", why)
        return Failure("http_request_denied", Side.DOWNSTREAM, why, status=self._status)

    def _put_off(self, exchange: Exchange, request: Request, tries: Tries) -> Response:
        response = self._render(exchange, request, self._too_many(exchange))
        left = tries.began + WINDOW_S - self._clock()
        response.fields.set("Retry-After", f"{max(left, 0.0) // 1 + 1:.0f}")
        return response

    def _too_many(self, exchange: Exchange) -> Failure:
        why = "Too many wrong passwords came from this address."
        exchange.refused_by("auth", f"tries_per_minute = {self._options.tries_per_minute}", why)
        return Failure("http_request_denied", Side.DOWNSTREAM, why, status=429)

    def _look(self, now: float) -> None:
        """Read the file again if it changed; when it is broken its users stay as they were, and the log says so."""
        self._next_look = now + LOOK_S
        seen = signature(self._path)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._passwords = PasswordFile(self._path)
        except ValueError as error:
            problems = str(error).replace("\n", "; ")
            log.warning("users not read again, the old ones stay: %s: %s", self._path, problems)
        else:
            self._known.clear()
            log.info("users read again from %s: %d", self._path, len(self._passwords.users))


NOBODY = ("", 0.0)


def credentials(encoded: bytes) -> tuple[str, bytes]:
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


def network_of(host: str) -> str:
    """What counts as one client: an IPv4 address, the /64 of an IPv6 address (one household has all of it)."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return address.packed[:8].hex()
    return host


def plain(exchange: Exchange, request: Request, failure: Failure) -> Response:
    """The answer in one line."""
    return Response.text(failure.status, failure.detail + "\n")


def signature(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file is written or replaced; None when it is not there."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
