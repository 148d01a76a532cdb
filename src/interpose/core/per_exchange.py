"""What a script remembers of an exchange, from one of its functions to another, or from message to message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar, cast

from interpose.core.exchange import Exchange

T = TypeVar("T")


class PerExchange(Generic[T]):
    """A value of its own for each exchange, made by `make` when it is first asked for, and gone with the exchange.

    Within one function local variables are that. This is for two functions that talk of the same exchange, and for
    functions that are called for each message.

        seen = interpose.PerExchange(Counter)
        seen.of(exchange)["text"] += 1
    """

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make

    def of(self, exchange: Exchange) -> T:
        """The value of this exchange."""
        if exchange.kept is None:
            exchange.kept = {}
        if self not in exchange.kept:
            exchange.kept[self] = self._make()
        return cast(T, exchange.kept[self])

    def put(self, exchange: Exchange, value: T) -> None:
        """Remember another one."""
        if exchange.kept is None:
            exchange.kept = {}
        exchange.kept[self] = value
