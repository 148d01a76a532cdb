"""Going there anyway: links and cookies that only we can make, for one client and one host, for a while.

A link is on the page that says what is blocked, which only the client itself can read; following it brings a cookie of
the host that was asked for. Neither can be made by somebody else, carried to another host or another client's address,
or used when its time is over. The cookie never reaches the server.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final
from urllib.parse import quote, unquote

from interpose.core.fields import Fields
from interpose.protocol import number

PLACE: Final = "/.well-known/interpose/anyway"
COOKIE: Final = "interpose-anyway"
LINK_S: Final = 600
"""How long a page may be looked at before its link is followed."""

_QUERY = re.compile(r"until=([0-9]{1,12})&seal=([0-9a-f]{32})&to=([^&#\s]{1,8192})")
_VALUE = re.compile(r"([0-9]{1,12})\.([0-9a-f]{32})")
_PATH = re.compile(r"/(?![/\\])[\x21-\x7e]*")


class Bypass:
    """Makes and knows them; `key` is the same in all workers."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def link(self, client: str, host: str, path_and_query: str, now: float) -> str:
        """The path and query that lead there anyway, on the same host."""
        until = round(now) + LINK_S
        seal = self._seal("link", client, host, until, path_and_query)
        return f"{PLACE}?until={until}&seal={seal}&to={quote(path_and_query, safe='/')}"

    def followed(self, client: str, host: str, query: str | None, now: float) -> str | None:
        """Where a link leads; None for one that is not ours, not for them, or too old."""
        found = _QUERY.fullmatch(query or "")
        if found is None:
            return None
        until, to = number.decimal(found[1].encode()), unquote(found[3])
        if until is None or until < now or _PATH.fullmatch(to) is None:
            return None
        return to if hmac.compare_digest(self._seal("link", client, host, until, to), found[2]) else None

    def cookie(self, client: str, host: str, for_s: float, now: float, *, secure: bool) -> str:
        """The value of Set-Cookie that lets `client` reach `host` from now on."""
        until = round(now + for_s)
        value = f"{until}.{self._seal('cookie', client, host, until)}"
        return f"{COOKIE}={value}; Path=/; Max-Age={round(for_s)}; HttpOnly; SameSite=Lax" + "; Secure" * secure

    def taken_from(self, fields: Fields, client: str, host: str, now: float) -> bool:
        """Whether there is such a cookie that holds. It is taken off, whether it does or not."""
        lines = fields.every(b"cookie")
        if not any(COOKIE.encode() in line for line in lines):
            return False
        holds = False
        kept: list[str] = []
        for line in lines:
            for pair in line.decode("latin-1").split(";"):
                name, _, value = pair.strip(" \t").partition("=")
                if name == COOKIE:
                    holds = holds or self._holds(value, client, host, now)
                elif name:
                    kept.append(pair.strip(" \t"))
        fields.remove("Cookie")
        if kept:
            fields.add("Cookie", "; ".join(kept).encode("latin-1"))
        return holds

    def _holds(self, value: str, client: str, host: str, now: float) -> bool:
        found = _VALUE.fullmatch(value)
        until = number.decimal(found[1].encode()) if found is not None else None
        if found is None or until is None or until < now:
            return False
        return hmac.compare_digest(self._seal("cookie", client, host, until), found[2])

    def _seal(self, *parts: object) -> str:
        text = "\0".join(map(str, parts)).encode()
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()[:32]
