"""Which addresses a client may make us reach (A20), and which are our own (A22, A23).

A name is looked up once; every address it has is judged here; the connection goes to an address that passed, never to
the name.
An address that carries an IPv4 address inside (mapped, 6to4, NAT64, Teredo, ISATAP) is judged with it: both must pass.
`ipaddress.is_private` is not asked: it differs between versions of Python and does not see through those forms.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from interpose.net.address import LOOPBACK, IPAddress, SocketAddress, ip_address

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Never reached for a client, whatever is configured: (network, what it is).
NEVER = (
    ("0.0.0.0/8", "unspecified"),
    ("169.254.0.0/16", "link-local, where clouds keep their metadata"),
    ("100.100.100.200/32", "a cloud's metadata address"),
    ("168.63.129.16/32", "a cloud's metadata address"),
    ("192.0.0.192/32", "a cloud's metadata address"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved or broadcast"),
    ("::/128", "unspecified"),
    ("fe80::/10", "link-local"),
    ("fd00:ec2::/32", "a cloud's metadata network"),
    ("fd20:ce::254/128", "a cloud's metadata address"),
    ("fd00:42::42/128", "a cloud's metadata address"),
    ("ff00::/8", "multicast"),
    ("100::/64", "the discard network"),
)

# Not public: reached only where the listener is on loopback or the network is listed in `allow_upstream`.
PRIVATE = (
    ("127.0.0.0/8", "loopback"),
    ("10.0.0.0/8", "private"),
    ("172.16.0.0/12", "private"),
    ("192.168.0.0/16", "private"),
    ("100.64.0.0/10", "carrier-grade NAT"),
    ("192.0.0.0/24", "reserved for protocols"),
    ("192.0.2.0/24", "documentation"),
    ("192.88.99.0/24", "a 6to4 relay"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("::1/128", "loopback"),
    ("fc00::/7", "private"),
    ("fec0::/10", "site-local"),
    ("2001:db8::/32", "documentation"),
    ("3fff::/20", "documentation"),
    ("5f00::/16", "segment routing"),
    ("64:ff9b:1::/48", "local NAT64"),
)

_IPV4_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
# IPv4-compatible, IPv4-translated, NAT64, local NAT64.
_IPV4_AT_THE_END = [
    ipaddress.IPv6Network(network) for network in ("::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")
]
_6TO4 = ipaddress.IPv6Network("2002::/16")
_TEREDO = ipaddress.IPv6Network("2001::/32")
_ISATAP = (0x00005EFE, 0x02005EFE)


class Refusal(NamedTuple):
    """Why an address may not be reached: a kind of `Failure`, the rule, and a sentence for people."""

    kind: str
    rule: str
    why: str


class Policy(Protocol):
    """Judges every address before a connection is made to it."""

    def refusal(self, address: IPAddress, port: int) -> Refusal | None:
        """Why `address` may not be reached at `port`; None when it may."""


class NotItself:
    """The policy of a relay: its servers are the operator's choice, only it must not be one of them."""

    def __init__(self, listening: SocketAddress) -> None:
        self._listening = listening

    def refusal(self, address: IPAddress, port: int) -> Refusal | None:
        """See `Policy`."""
        if not arrives_at(address, port, self._listening):
            return None
        return Refusal("proxy_loop_detected", "own listener", f"{address} port {port} is this relay itself.")


class AddressPolicy:
    """What the clients of one listener may make us reach.

    `own` are the addresses of our listeners (a connection to one is a loop), `forbidden` those of console, control and
    caches.
    An unspecified address among them (0.0.0.0, ::) stands for every address of this machine.
    """

    MAX_REMEMBERED = 4096

    def __init__(
        self,
        *,
        loopback_only: bool,
        allow: Iterable[str] = (),
        deny: Iterable[str] = (),
        own: Iterable[SocketAddress] = (),
        forbidden: Iterable[SocketAddress] = (),
    ) -> None:
        self._loopback_only = loopback_only
        self._allow = [ipaddress.ip_network(network) for network in allow]
        self._never = _table(NEVER) + [(ipaddress.ip_network(network), "denied by configuration") for network in deny]
        self._own = [address for address in own if not address.is_unix]
        self._forbidden = [address for address in forbidden if not address.is_unix]
        self._remembered: dict[IPAddress, Refusal | None] = {}

    def refusal(self, address: IPAddress, port: int) -> Refusal | None:
        """Why `address` may not be reached at `port`; None when it may."""
        if self._forbidden and _is_among(address, port, self._forbidden):
            why = f"{address} port {port} belongs to this proxy's own console or cache."
            return Refusal("destination_ip_prohibited", "own console", why)
        if self._own and _is_among(address, port, self._own):
            return Refusal("proxy_loop_detected", "own listener", f"{address} port {port} is this proxy itself.")
        if address not in self._remembered:
            if len(self._remembered) >= self.MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[address] = self._judge(address)
        return self._remembered[address]

    def _judge(self, address: IPAddress) -> Refusal | None:
        for face in faces(address):
            if (what := _find(face, self._never)) is not None:
                why = f"{_and_carried(address, face)} is an address that is never reached: {what}."
                return Refusal("destination_ip_prohibited", what, why)
        if self._loopback_only:
            return None
        for face in faces(address):
            what = _find(face, _PRIVATE_TABLE)
            if what is not None and not any(face in network for network in self._allow):
                why = f"{_and_carried(address, face)} is not a public address ({what}); allow_upstream would allow it."
                return Refusal("destination_ip_prohibited", what, why)
        return None


def unmapped(address: IPAddress) -> IPAddress:
    """The IPv4 address that an IPv4-mapped IPv6 address stands for; others unchanged."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def faces(address: IPAddress) -> Iterator[IPAddress]:
    """`address` and every IPv4 address that it carries inside."""
    if not isinstance(address, ipaddress.IPv6Address):
        yield address
        return
    value = int.from_bytes(address.packed, "big")
    if address in _IPV4_MAPPED:
        yield _ipv4(value)
        return
    yield address
    if value <= 1:
        return
    if any(address in network for network in _IPV4_AT_THE_END) or (value >> 32 & 0xFFFFFFFF) in _ISATAP:
        yield _ipv4(value)
    elif address in _6TO4:
        yield _ipv4(value >> 80)
    elif address in _TEREDO:
        yield _ipv4(value >> 64)
        yield _ipv4(~value)


def _ipv4(value: int) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(value & 0xFFFFFFFF)


def _table(rows: Iterable[tuple[str, str]]) -> list[tuple[Network, str]]:
    return [(ipaddress.ip_network(network), what) for network, what in rows]


_PRIVATE_TABLE = _table(PRIVATE)


def _find(address: IPAddress, table: list[tuple[Network, str]]) -> str | None:
    for network, what in table:
        if address in network:
            return what
    return None


def _and_carried(address: IPAddress, face: IPAddress) -> str:
    return str(address) if face == address else f"{address} (it carries {face})"


def _is_among(address: IPAddress, port: int, addresses: list[SocketAddress]) -> bool:
    seen = [str(face) for face in faces(address)]
    for own in addresses:
        if own.port != port:
            continue
        if own.host in seen or (own.host == "localhost" and address.is_loopback):
            return True
        if own.host in ("0.0.0.0", "::") and any(is_local(face) for face in seen):
            return True
    return False


def arrives_at(address: IPAddress, port: int, listening: SocketAddress) -> bool:
    """Whether a connection to `address` and `port` is accepted by who listens on `listening`."""
    if listening.is_unix or listening.port != port or not port:
        return False
    own = ip_address(LOOPBACK if listening.host == "localhost" else listening.host)
    if own is None or own.version != address.version:
        return False
    if address.is_unspecified:  # to connect there is to connect to oneself
        return own.is_unspecified or own.is_loopback
    return own == address or (own.is_unspecified and is_local(str(address)))


def leads_to(server: SocketAddress, listening: SocketAddress) -> bool:
    """Whether a connection to `server` is accepted by who listens on `listening`, as far as can be told without looking
    up a name."""
    if server.is_unix or listening.is_unix:
        return server.path == listening.path
    address = ip_address(LOOPBACK if server.host == "localhost" else server.host)
    return address is not None and arrives_at(unmapped(address), server.port, listening)


BROADCAST = "is a broadcast address, which many machines answer; datagrams are relayed to one server at a time"


def datagram_refusal(address: IPAddress, port: int, listening: Iterable[SocketAddress] = ()) -> str | None:
    """Why no datagram may be relayed to `address`, in the words that follow it in a sentence; None when it may (A33).

    One datagram to many machines brings as many answers. Broadcast addresses: see `is_broadcast`.
    """
    if address.is_multicast:
        return "is a multicast address, which many machines answer; datagrams are relayed to one server at a time"
    if address.is_unspecified:
        return "is no address that a server could have"
    if any(arrives_at(address, port, own) for own in listening):
        return "is this relay itself, so that datagrams would go round for ever"
    return None


def is_broadcast(address: IPAddress) -> bool:
    """Whether `address` is a broadcast address, here and now: the kernel lets no socket connect to one.

    (Connecting a UDP socket sends nothing.)
    """
    with socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        return probe.connect_ex((str(address), 9)) == errno.EACCES


def is_local(host: str) -> bool:
    """Whether `host` is an address of this machine: then, and only then, a socket can be bound to it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True
