"""Functions of a script that are given contents: `@interpose.content`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple, TypeVar, overload

from interpose.core.handler import Filter
from interpose.core.query import demand, parse
from interpose.core.query.words import INBOUND, OUTBOUND, Need

CONTENT: Final = "__interpose_content__"
MOST_BYTES: Final = 1 << 20

C = TypeVar("C", bound=Callable[..., Any])


class ContentOptions(NamedTuple):
    """Which contents a function is given, and how."""

    when: str
    message: str
    whole: bool
    max_bytes: int
    force: bool


class ContentFunction(NamedTuple):
    """A marked function. `version` tells it from what it was before its file changed."""

    name: str
    function: Callable[..., Any]
    options: ContentOptions
    version: str


MakeEdits = Callable[[ContentFunction], Filter]
"""Makes the filter that gives contents to a function."""


@overload
def mark_content(function: C, /) -> C: ...
@overload
def mark_content(
    *,
    when: str = ...,
    message: Literal["request", "response"] = ...,
    whole: bool = ...,
    max_bytes: int = ...,
    force: bool = ...,
) -> Callable[[C], C]: ...
def mark_content(
    function: C | None = None,
    /,
    *,
    when: str = "",
    message: Literal["request", "response"] = "response",
    whole: bool = False,
    max_bytes: int = MOST_BYTES,
    force: bool = False,
) -> C | Callable[[C], C]:
    """Mark `def name(exchange, content)` as what changes contents, with `@interpose.content` or options after it.

    It returns bytes. Codings are undone before it and made again behind it. It is called with each chunk, then with
    b"" at the end; with `whole=True` once, with all of it, if that is no more than `max_bytes`, and may then be `async
    def`. `when` is a query: which contents it means. `message` is whose contents they are. `force`: also where the
    message says that it is not to be changed. ValueError for a query that cannot be asked.
    """
    if message not in ("request", "response"):
        raise ValueError(f'message is {message!r}; write "request" or "response"')
    if when:
        known = INBOUND & ~Need.REQUEST_BODY if message == "request" else OUTBOUND & ~Need.RESPONSE_BODY
        demand(parse(when), known, when)
    options = ContentOptions(when, message, whole, max_bytes, force)

    def marked(function: C) -> C:
        setattr(function, CONTENT, options)
        return function

    return marked if function is None else marked(function)
