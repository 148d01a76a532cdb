"""The shape below HTTP for what has no connections: a datagram, who sent it, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Protocol

from interpose.core.stream import Address

MAX_DATAGRAM_BYTES = 65_507
"""The longest datagram of UDP over IPv4."""

Sender = Hashable
"""Who sent a datagram and to which of our addresses: only the `WayBack` that came with it knows what it holds."""


class WayBack(Protocol):
    """The socket that a datagram came in by; answers leave through it, so that they come from where they were asked."""

    def send(self, data: Any, to: Sender) -> bool:
        """Send one datagram (anything that has a buffer); False when it was dropped, as datagrams may be."""

    def address_of(self, sender: Sender) -> Address:
        """The sender's address."""


DatagramHandler = Callable[[memoryview, Sender, WayBack], None]
"""Handles one datagram and returns at once. The view is valid until then: who keeps the data copies it."""
