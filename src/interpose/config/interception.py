"""Interception of TLS, made from a configuration: the authority, how servers are verified, which tunnels are meant.

What is made from files is made anew when one of them has changed by the next reload; what was learned and counted, and
the certificates made for hosts, live on.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from interpose.config.interception_files import authority, authority_directory, key_log_file
from interpose.config.interception_model import INTERCEPTED_ROLES
from interpose.config.interception_model import Interception as Table
from interpose.config.interception_service import Spread, take
from interpose.config.live_interception import TOPIC as TOPIC
from interpose.config.model import Config, Listener
from interpose.config.parts import Parts
from interpose.core.exchange import Exchange
from interpose.core.query import compile_query, parse
from interpose.core.stream import Stream
from interpose.core.target import Authority, Origin
from interpose.engine.calls import Calls
from interpose.engine.client import UpstreamClient
from interpose.engine.interception import Counts, Hello, Interception, let_through
from interpose.engine.interception_rules import Action, Decision, InterceptionRule, InterceptionRules
from interpose.engine.learned import Learned
from interpose.engine.tunnel import Tunnels
from interpose.net.certificate import Condition
from interpose.protocol.client_hello import read_client_hello

if TYPE_CHECKING:  # making certificates takes a library that is slow to load
    from interpose.net.key_log import KeyLog
    from interpose.net.leaves import Leaves
    from interpose.net.origin_tls import OriginTls

log = logging.getLogger("interpose")

_ACTIONS = {"intercept": Action.INTERCEPT, "pass": Action.PASS, "refuse": Action.REFUSE}
_NOTHING: Mapping[str, float] = {}


def is_intercepted(config: Config, listener: Listener) -> bool:
    """Whether tunnels of `listener` may be looked into."""
    return config.interception is not None and listener.role in INTERCEPTED_ROLES


def origin_tls(config: Config, parts: Parts) -> OriginTls:
    """How servers are verified, and what they are shown."""
    from interpose.net.origin_tls import ClientIdentity, OriginTls

    table = config.interception
    assert table is not None
    shown = tuple(ClientIdentity(one.hosts, one.certificate, one.key) for one in table.client_certificates)
    files = [table.ca_file, table.crl_file, *(file for one in shown for file in one[1:])]
    key_log = key_log_of(config, parts)
    make = partial(OriginTls, ca_file=table.ca_file, crl_file=table.crl_file, identities=shown, key_log=key_log)
    return parts.get(OriginTls, (table.ca_file, table.crl_file, shown, _signatures(files), key_log), make)


def key_log_of(config: Config, parts: Parts) -> KeyLog | None:
    """What takes the secrets of the TLS that is looked into, which is said in the log; None when nothing does."""
    file = key_log_file(config)
    if file is None:
        return None
    from interpose.net.key_log import KeyLog

    def make() -> KeyLog:
        made = KeyLog(file)
        words = "secrets of the TLS that is looked into are written to %s: they open all that passes, passwords too"
        log.warning(words, file)
        return made

    return parts.get(KeyLog, file, make)


def leaves(config: Config, parts: Parts) -> Leaves:
    """What certificates of sites are made by. ValueError, a sentence, when there is no authority that can be used."""
    from interpose.net.authority import CERTIFICATE_FILE
    from interpose.net.leaves import Leaves

    directory = authority_directory(config)
    key_log = key_log_of(config, parts)
    key = (directory, _signatures([str(directory / CERTIFICATE_FILE)]), key_log)
    return parts.get(Leaves, key, lambda: Leaves(authority(config), key_log=key_log))


def interception_of(
    config: Config, listener: Listener, parts: Parts, tunnels: Tunnels, client: UpstreamClient
) -> Interception | None:
    """What looks into the tunnels of `listener`, whose requests `client` sends; None when nothing does."""
    table = config.interception
    if table is None or not is_intercepted(config, listener):
        return None
    made_with = origin_tls(config, parts), leaves(config, parts)
    handshake_s = config.timeouts_of(listener).handshake_timeout_s
    make = partial(
        Interception,
        _Ways(*made_with, client, config.connections.connect_timeout_s),
        _rules(table),
        tunnels,
        _learned(table, parts),
        parts.get(Counts, None, Counts),
        passes_not_tls=table.not_tls == "pass",
        handshake_timeout_s=handshake_s,
    )
    return parts.get(Interception, (*made_with, client, table, handshake_s), make)


def wants_certificate(config: Config, parts: Parts) -> Callable[[Exchange, str], None]:
    """See `filters.inside`."""
    table = config.interception
    assert table is not None
    learned, counts = _learned(table, parts), parts.get(Counts, None, Counts)

    def learn(exchange: Exchange, host: str) -> None:
        let_through(learned, counts, exchange, host, time.monotonic())

    return learn


def share_what_is_learned(config: Config, parts: Parts, calls: Calls) -> None:
    """Have what this process learns told to the others."""
    if config.interception is not None:
        _learned(config.interception, parts).tell = Spread(calls)


def _learned(table: Table, parts: Parts) -> Learned:
    return parts.get(Learned, table.learn_s, partial(Learned, table.learn_s))


def interception_in_words(table: Table) -> str:
    """The rules, for people."""
    words = [f"{rule.action} {rule.when}" for rule in table.rules]
    return "; ".join([*words, "intercept the rest" if words else "every tunnel"])


def explained(config: Config, listener: Listener, exchange: Exchange, asked: Authority) -> Decision | None:
    """What would become of a tunnel to `asked`, by the rules; None where nothing is looked into."""
    table = config.interception
    if table is None or not is_intercepted(config, listener):
        return None
    return _rules(table).decide(exchange, None, asked, asked.host)


def interception_counters(parts: Parts) -> Mapping[str, float]:
    """Counts for the status; none where nothing is looked into."""
    counted = parts.every(Counts)
    if not counted:
        return _NOTHING
    from interpose.net.leaves import Leaves

    (counts,) = counted
    return {
        "intercepted_tunnels_total": float(counts.intercepted),
        "passed_tunnels_total": float(counts.passed),
        "refused_tunnels_total": float(counts.refused),
        "learned_tunnels_total": float(counts.learned),
        "minted_certificates_total": float(sum(one.minted for one in parts.every(Leaves))),
    }


def authorities(parts: Parts) -> list[Condition]:
    """How the authority stands that certificates are made with; none where nothing is looked into."""
    if not parts.every(Counts):
        return []
    from interpose.net.leaves import Leaves

    now = datetime.now(UTC)
    found = [one.authority for one in parts.every(Leaves)]
    return [Condition(one.name, one.permitted, one.expires.timestamp(), one.warning(now) or "") for one in found]


def answered(parts: Parts, question: bytes, now: float) -> bytes:
    """(in a worker) Which clients are let through: `list`, `forget HOST` (nothing: all), or `learn` and a refusal."""
    word, _, rest = question.partition(b" ")
    learned = parts.every(Learned)
    if word == b"forget":
        return msgspec.json.encode({"forgotten": sum(one.forget(rest.decode()) for one in learned)})
    if word == b"learn":
        take(learned, rest, now)
    rows = [row._asdict() for one in learned for row in one.rows(now)]
    return msgspec.json.encode({"learned": rows})


class _Ways:
    """See `engine.interception.Ways`."""

    def __init__(self, origins: OriginTls, leaves: Leaves, client: UpstreamClient, connect_timeout_s: float) -> None:
        self._origins = origins
        self._leaves = leaves
        self._client = client
        self._connect_timeout_s = connect_timeout_s

    async def secure(self, stream: Stream, host: str) -> None:
        await self._origins.secure(stream, host, self._connect_timeout_s)

    def context(self, host: str) -> Any:
        return self._leaves.context(host)

    def permits(self, host: str) -> bool:
        return self._leaves.authority.permits(host)

    def read_hello(self, data: bytes) -> Hello | None:
        return read_client_hello(data)

    def adopt(self, origin: Origin, stream: Stream) -> None:
        self._client.adopt(origin, stream)


def _rules(table: Table) -> InterceptionRules:
    return InterceptionRules(
        [InterceptionRule(compile_query(parse(one.when)), _ACTIONS[one.action], one.when) for one in table.rules]
    )


def _signatures(files: list[str | None]) -> tuple[tuple[int, int, int] | None, ...]:
    return tuple(_signature(file) for file in files if file is not None)


def _signature(file: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
