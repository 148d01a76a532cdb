"""The one idea: everything that answers is a Handler; what stands before one is a Filter."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Generator, Iterable
from functools import partial
from typing import Any

from interpose.core.exchange import Exchange
from interpose.core.message import Request, Response

Handler = Callable[[Exchange, Request], Awaitable[Response]]
Filter = Callable[[Exchange, Request, Handler], Awaitable[Response]]


class Answered:
    """What a handler may return that has its answer at once: to who awaits it, a coroutine that never waits.

    Who asks for the type first saves making a coroutine and stepping it. A filter that does something to the answer
    does it to `response`, and returns the same object. An answer out of a cache passes the whole chain in this way.
    """

    __slots__ = ("response",)

    def __init__(self, response: Response) -> None:
        self.response = response

    def __await__(self) -> Generator[Any, None, Response]:
        return self.response
        yield


class Phase(enum.IntEnum):
    """Where a filter stands, outermost first; inside a phase the configuration's order holds."""

    OBSERVE = 1
    ADMIT = 2
    SHAPE = 3
    INSPECT = 4
    EDIT = 5
    STORE = 6
    SELECT = 7


def chain(filters: Iterable[Filter], end: Handler) -> Handler:
    """One handler: the filters around `end`, first one outermost. Built once, at start; no filter, no cost.

    A filter that sends messages of its own accord (what was held, once its client is gone) is told with `stands_before`
    what it stands before.
    """
    handler = end
    for filter_ in reversed(list(filters)):
        tell = getattr(filter_, "stands_before", None)
        if tell is not None:
            tell(handler)
        handler = partial(filter_, forward=handler)  # type: ignore[call-arg]  # by keyword: partial has no gap
    return handler
