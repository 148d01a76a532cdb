"""The roles that take datagrams, made from a configuration: one function for each, in one table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from msgspec.structs import replace

from interpose.config.build import Means
from interpose.config.faults import datagram_faults
from interpose.config.model import Config, Listener
from interpose.config.origins import origin_of
from interpose.config.running_datagrams import AnswerChain, DatagramChain, Entry, RelayChain
from interpose.config.scripts import asked_messages
from interpose.config.steps import is_loopback_only
from interpose.config.streams import narration_of
from interpose.core.networks import Networks
from interpose.core.stream import Address
from interpose.engine.datagram_table import DatagramOptions
from interpose.engine.datagram_targets import Resolve
from interpose.engine.datagrams import Show
from interpose.engine.echo import upper
from interpose.engine.held_datagrams import HeldDatagrams
from interpose.filters.access_log import AccessLog
from interpose.filters.recorder import Recorder
from interpose.net.address import IPAddress, SocketAddress, parse_address
from interpose.net.listen import connections_possible
from interpose.net.policy import datagram_refusal

STRANGERS_RATIO = 3.0
"""`max_reply_ratio` where anybody may send, and forge who it was that did."""


class Ways(NamedTuple):
    """What relays of datagrams need from the process: the resolver, the real addresses of its own listeners of
    datagrams, the log and the recorder."""

    resolve: Resolve
    own_addresses: Callable[[], Iterable[str]]
    access_log: AccessLog | None
    recorder: Recorder | None = None


def datagram_chain_of(config: Config, listener: Listener, means: Means, ways: Ways) -> DatagramChain:
    """What serves the datagrams of `listener`."""
    entry = Entry(
        listener.name,
        Networks(listener.allow_from),
        _show(listener, means),
        datagram_faults(listener, "inbound", means.parts),
        datagram_faults(listener, "outbound", means.parts),
    )
    return _ROLES[listener.role](config, listener, entry, ways, means)


def _show(listener: Listener, means: Means) -> Show | None:
    narration = narration_of(listener, means)
    if narration is None:
        return None

    def show(client: Address, data: bytes, verb: str) -> None:
        narration.datagram(client, data, verb=verb)

    return show


def _echo(config: Config, listener: Listener, entry: Entry, ways: Ways, means: Means) -> DatagramChain:
    return AnswerChain(entry, None)


def _upper(config: Config, listener: Listener, entry: Entry, ways: Ways, means: Means) -> DatagramChain:
    return AnswerChain(entry, upper)


def _relay(config: Config, listener: Listener, entry: Entry, ways: Ways, means: Means) -> DatagramChain:
    upstream = next(upstream for upstream in config.upstreams if upstream.name == listener.upstream)
    origins = [origin_of(server) for server in upstream.servers]

    def refuse(address: IPAddress, port: int) -> str | None:
        return datagram_refusal(address, port, map(parse_address, ways.own_addresses()))

    return RelayChain(
        entry,
        options_of(config, listener),
        tuple(SocketAddress(origin.host, origin.port) for origin in origins),
        ways.resolve,
        refuse,
        ways.access_log,
        ways.recorder,
        _held(config, listener, means),
    )


def _held(config: Config, listener: Listener, means: Means) -> HeldDatagrams | None:
    asked = asked_messages(config, listener, means.parts)
    if asked is None:
        return None
    return means.parts.get(HeldDatagrams, (listener.name, asked), lambda: HeldDatagrams(asked))


def options_of(config: Config, listener: Listener) -> DatagramOptions:
    """The options of a relay, with the values that stand for "it depends"."""
    options = config.datagrams_of(listener)
    possible = connections_possible(len(config.listeners))
    ratio = options.max_reply_ratio
    if ratio is None:
        ratio = 0.0 if listener.allow_from or is_loopback_only(listener) else STRANGERS_RATIO
    return replace(options, max_sessions=min(options.max_sessions or possible, possible), max_reply_ratio=ratio)


_ROLES: dict[str, Callable[[Config, Listener, Entry, Ways, Means], DatagramChain]] = {
    "echo": _echo,
    "upper": _upper,
    "relay": _relay,
}
