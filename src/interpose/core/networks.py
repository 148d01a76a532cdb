"""Sets of IP networks, asked for every request."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

_MAX_REMEMBERED = 4096


class Networks:
    """Answers `host in networks` for IP addresses as text; remembers answers, bounded.

    IPv4 addresses mapped into IPv6 count as IPv4; what is no address (a Unix socket's path) is in no network.
    Raises ValueError for a text that is not a network.
    """

    __slots__ = ("_answers", "_networks")

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = tuple(ipaddress.ip_network(network, strict=False) for network in networks)
        self._answers: dict[str, bool] = {}

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, host: str) -> bool:
        if not self._networks:
            return False
        answer = self._answers.get(host)
        if answer is None:
            if len(self._answers) >= _MAX_REMEMBERED:
                self._answers.clear()
            answer = self._answers[host] = self._contains(host)
        return answer

    def _contains(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address.version == network.version and address in network for network in self._networks)
