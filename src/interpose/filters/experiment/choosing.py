"""Testers choose their variant: by a parameter, a cookie or a field of the name `Experiment-NAME`."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import unquote_plus

from interpose.core.exchange import Exchange
from interpose.core.experiment.design import Levels
from interpose.core.message import Request
from interpose.core.networks import Networks
from interpose.protocol.cache_key import cookie

END: Final = "off"
"""Written instead of levels by who wants no more to choose."""
_BETWEEN: Final = re.compile(r"[, +]+")


class Chosen(NamedTuple):
    """What a tester chose: levels by factor, none of which need be one that there is; whether that is to be kept in a
    cookie, and what stands before the levels there. Without levels it is to be forgotten."""

    levels: Mapping[str, str]
    is_new: bool
    secret: str = ""


class Choosing:
    """Who may choose in the experiment `name`, and what was chosen."""

    def __init__(self, name: str, networks: tuple[str, ...], secret: bytes) -> None:
        self._name = f"experiment-{name}".lower()
        self._key = self._name.encode("ascii")
        self._networks = Networks(networks)
        self._secret = secret
        self.cookie_name = self._key

    def chosen(self, exchange: Exchange, request: Request) -> Chosen | None:
        """What whoever sends this request has chosen and may; None when nothing. The parameter is taken off."""
        text = self._parameter(request)
        is_new = text is not None
        if text is None:
            raw = request.fields.first(self._key) or cookie(request.fields.lines, self._key)
            if raw is None:
                return None
            text = raw.decode("latin-1")
        secret, _, levels = text.rpartition(":")
        knows = bool(self._secret) and hmac.compare_digest(secret.encode("latin-1", "replace"), self._secret)
        if not knows and exchange.client.host not in self._networks:
            return None
        if levels == END:
            return Chosen({}, is_new)
        pairs = [part.partition("=") for part in _BETWEEN.split(levels) if part]
        return Chosen({factor: level for factor, _, level in pairs}, is_new, f"{secret}:" if knows else "")

    def _parameter(self, request: Request) -> str | None:
        """The value of the parameter, which is then no longer there."""
        query = request.target.query
        if not query or self._name not in query.lower():
            return None
        found, kept = None, []
        for part in query.split("&"):
            name, _, value = part.partition("=")
            if name.lower() == self._name:
                found = unquote_plus(value)
            else:
                kept.append(part)
        if found is not None:
            request.target = request.target._replace(query="&".join(kept) if kept else None)
        return found


def completed(chosen: Mapping[str, str], control: Levels) -> Levels:
    """One level for each factor: the chosen ones, and the control's where nothing was chosen."""
    return tuple([(factor, chosen.get(factor, level)) for factor, level in control])
