"""Who a request is from, for experiments: the cookies that it has, and those that its answer sets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from secrets import token_urlsafe
from typing import Final

from interpose.core.exchange import Exchange
from interpose.core.fields import FieldLine, field_line
from interpose.core.message import Request
from interpose.filters.experiment.choosing import Chosen
from interpose.filters.experiment.trial import Trial
from interpose.protocol.cache_key import cookie

_OCTETS: Final = 16
_COOKIE: Final = re.compile(rb"[A-Za-z0-9_-]{22}")
"""What 16 octets at random look like. Anything else was not made here, and is replaced."""


def cookie_of(lines: Sequence[FieldLine], name: bytes) -> bytes | None:
    """The value of a cookie: what `protocol.cache_key.cookie` gives, sooner where there is nothing odd about it."""
    for line in lines:
        if line[0] == b"cookie":
            value = line[2]
            at = value.find(name + b"=")
            if at < 0:
                continue
            if at and value[at - 2 : at] != b"; ":
                return cookie(lines, name)  # the end of a longer name, or written otherwise than browsers do
            begin = at + len(name) + 1
            end = value.find(b";", begin)
            return value[begin:] if end < 0 else value[begin:end].rstrip(b" \t")
    return None


class Units:
    """The units of one exchange, one for each cookie. `lines` are the fields that set cookies."""

    __slots__ = ("_cookies", "_exchange", "_request", "lines")

    def __init__(self, exchange: Exchange, request: Request) -> None:
        self._exchange = exchange
        self._request = request
        self._cookies: dict[bytes, bytes] = {}
        self.lines: list[FieldLine] = []

    def known(self, trial: Trial) -> bytes | None:
        """The key of the unit; None when there is none yet, or it has no cookie to be known by."""
        name = trial.cookie
        if not name:
            return trial.unit(self._exchange)
        value = self._cookies.get(name)
        if value is None:
            value = cookie_of(self._request.fields.lines, name)
            if value is None or not (trial.assignment.remembers(value) or _COOKIE.fullmatch(value)):
                return None
            self._cookies[name] = value
        return value

    def made(self, trial: Trial) -> bytes | None:
        """A key for a unit that is new; None when it would be none of a cookie."""
        name = trial.cookie
        if not name:
            return None
        value = self._cookies[name] = token_urlsafe(_OCTETS).encode("ascii")
        self._set(name, value, b"; Max-Age=%d" % trial.cookie_age_s)
        return value

    def remember(self, trial: Trial, chosen: Chosen, variant: int | None) -> None:
        """Have a tester's choice kept, or forgotten where it is none."""
        if not chosen.is_new or trial.choosing is None:
            return
        name = trial.choosing.cookie_name
        if variant is None:
            self._set(name, b"", b"; Max-Age=0")
        else:
            levels = "+".join([f"{factor}={level}" for factor, level in trial.assignment.variants[variant].levels])
            self._set(name, f"{chosen.secret}{levels}".encode("latin-1"), b"")

    def _set(self, name: bytes, value: bytes, age: bytes) -> None:
        secure = b"; Secure" if self._exchange.scheme == "https" else b""
        line = b"%b=%b; Path=/%b; HttpOnly; SameSite=Lax%b" % (name, value, age, secure)
        self.lines.append(field_line(b"Set-Cookie", line))
