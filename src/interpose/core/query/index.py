"""Which queries of a long list can match at all, found by looking up instead of by asking each.

Of every query one *necessary condition* is taken that a table can hold: its host is one of these or ends in one of
these, its client's address lies in one of these networks, its port, its method, its user or its listener is one of
these. A query whose condition does not hold cannot match, since a condition that is false, or unknown, keeps what it is
a part of from being true. Queries without such a condition are always asked.

    host:*.example.com path:/admin/*      is asked where the host ends in .example.com
    from:10.0.0.0/8 -user:""              is asked where the client's address begins with these eight bits
    host:a.example OR port:25             is asked where the host is a.example, and where the port is 25
    path:/admin/*                         is always asked

Keys of one kind are in one dictionary, so what a look-up costs does not grow with the list; what it finds is put in
order, so that the first of the list stays the first. Answers for hosts and addresses are remembered, bounded.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final, NamedTuple

from interpose.core.query.matching import Subject
from interpose.core.query.tree import And, Or, Query, Term
from interpose.core.query.values import Exact, Glob, Network, Span, Value

MOST_REMEMBERED: Final = 4096

Numbers = tuple[int, ...]


class Key(NamedTuple):
    """One entry of a table: in the table of `word` (`.host` for endings of hosts) under `value`."""

    word: str
    value: object


_SELECTIVE: Final = ("host", ".host", "from", "user", "port", "listener", "method")
"""The tables, the one first that leaves the fewest queries to ask."""


class Index:
    """Of `queries`, those that may match: `candidates` gives their numbers, counted from 0, in order."""

    __slots__ = (
        "_always", "_by_client", "_by_host", "_endings", "_hosts", "_is_plain", "_networks", "_prefixes", "_tables",
    )  # fmt: skip

    def __init__(self, queries: Sequence[Query]) -> None:
        tables: dict[str, dict[object, list[int]]] = {word: {} for word in _SELECTIVE}
        always: list[int] = []
        for number, query in enumerate(queries):
            keys = necessary(query)
            if keys is None:
                always.append(number)
                continue
            for key in set(keys):
                tables[key.word].setdefault(key.value, []).append(number)
        frozen = {word: {value: tuple(numbers) for value, numbers in table.items()} for word, table in tables.items()}
        self._always: Numbers = tuple(always)
        self._hosts = frozen.pop("host")
        self._endings = frozen.pop(".host")
        self._networks = frozen.pop("from")
        self._prefixes = sorted({key[:2] for key in self._networks if isinstance(key, tuple)})
        self._tables = [(word, table) for word, table in frozen.items() if table]
        self._by_host: dict[str, Numbers] = {}
        self._by_client: dict[str, Numbers] = {}
        self._is_plain = not self._networks and not self._tables

    def candidates(self, subject: Subject) -> Numbers:
        """The numbers of the queries that `subject` may match; all others do not match it."""
        found = self._of_host(subject.text("host") or "")
        if self._is_plain:
            return found
        more: Numbers = ()
        if self._networks:
            more = self._of_client(subject.text("from") or "")
        for word, table in self._tables:
            numbers = table.get(subject.number(word) if word == "port" else _upper(subject.text(word), word))
            if numbers is not None:
                more += numbers
        return tuple(sorted({*found, *more})) if more else found

    def _of_host(self, host: str) -> Numbers:
        """Those that are always asked, and those for this host."""
        found = self._by_host.get(host)
        if found is None:
            numbers = {*self._always, *self._hosts.get(host, ())}
            dot = host.find(".")
            while dot >= 0 and self._endings:
                numbers.update(self._endings.get(host[dot:], ()))
                dot = host.find(".", dot + 1)
            found = tuple(sorted(numbers))
            if len(self._by_host) >= MOST_REMEMBERED:
                self._by_host.clear()
            self._by_host[host] = found
        return found

    def _of_client(self, client: str) -> Numbers:
        """Those for networks that this address is in."""
        found = self._by_client.get(client)
        if found is None:
            found = self._in_networks(client)
            if len(self._by_client) >= MOST_REMEMBERED:
                self._by_client.clear()
            self._by_client[client] = found
        return found

    def _in_networks(self, client: str) -> Numbers:
        try:
            address = ipaddress.ip_address(client.partition("%")[0])
        except ValueError:
            return ()
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        value, bits = int.from_bytes(address.packed, "big"), address.max_prefixlen
        found: set[int] = set()
        for version, prefix in self._prefixes:
            if version == address.version:
                found.update(self._networks.get((version, prefix, value >> (bits - prefix)), ()))
        return tuple(found)


def _upper(text: str | None, word: str) -> str | None:
    return text.upper() if text is not None and word == "method" else text


def necessary(query: Query) -> list[Key] | None:
    """Keys of which one has to hold before `query` can; None when there is nothing that a table can hold."""
    match query:
        case Term():
            return _of_term(query)
        case And(parts):
            found = [keys for part in parts if (keys := necessary(part)) is not None]
            return min(found, key=_breadth, default=None)
        case Or(parts):
            together: list[Key] = []
            for part in parts:
                keys = necessary(part)
                if keys is None:
                    return None
                together += keys
            return together
    return None


def _breadth(keys: list[Key]) -> tuple[int, int]:
    """How much is left to ask: by the least selective table first, then by how many keys there are."""
    return max(_SELECTIVE.index(key.word) for key in keys), len(keys)


def _of_term(term: Term) -> list[Key] | None:
    if term.name:
        return None
    keys: list[Key] = []
    for value in term.values:
        key = _of_value(term.word, value)
        if key is None:
            return None
        keys.append(key)
    return keys


def _of_value(word: str, value: Value) -> Key | None:
    match word, value:
        case "host", Exact(text):
            return Key("host", text)
        case "host", Glob(("", ending)) if "." in ending:
            return Key(".host", ending[ending.index(".") :])
        case (("user" | "listener"), Exact(text)):
            return Key(word, text)
        case "method", Exact(text):  # compared without case, and looked up as it is nearly always written
            return Key(word, text.upper())
        case "from", Network(text):
            network = ipaddress.ip_network(text, strict=False)
            bits = network.max_prefixlen - network.prefixlen
            start = int.from_bytes(network.network_address.packed, "big") >> bits
            return Key("from", (network.version, network.prefixlen, start))
        case "port", Span() if value.low is not None and value.low == value.high:
            return Key("port", value.low)
    return None
