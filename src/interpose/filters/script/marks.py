"""What a script marks its functions with, and what it asks its options of. Marks change nothing but the function."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypeVar, overload

import msgspec

from interpose.core.handler import Filter, Phase
from interpose.core.message_filter import MessageFilter

PHASE: Final = "__interpose_phase__"
ASKED: Final = "__interpose_asked__"
"""How a function is marked: with the phase of a filter, or with what else it may be asked."""

F = TypeVar("F", bound=Filter)
M = TypeVar("M", bound=MessageFilter)
D = TypeVar("D", bound=Callable[..., Any])
L = TypeVar("L", bound=Callable[[], Awaitable[object]])
T = TypeVar("T")


@overload
def mark(function: F, /) -> F: ...
@overload
def mark(*, phase: Phase = ...) -> Callable[[F], F]: ...
def mark(function: F | None = None, /, *, phase: Phase = Phase.EDIT) -> F | Callable[[F], F]:
    """Mark `async def name(exchange, request, forward)` as a filter, with `@interpose.filter` or `(phase=…)` after it.

    It answers, or returns `await forward(exchange, request)`, with the request or the response changed as it likes.
    """

    def marked(function: F) -> F:
        setattr(function, PHASE, Phase(phase))
        return function

    return marked if function is None else marked(function)


def mark_messages(function: M) -> M:
    """Mark `async def name(exchange, message, forward)` as what is asked about each message of a conversation.

    Messages are those of WebSockets, the pieces that a relay reads of a TCP stream, and datagrams. It awaits
    `forward(message)` for what is to go on: the same message, another one, several, or none.
    """
    setattr(function, ASKED, "messages")
    return function


def mark_decision(function: D) -> D:
    """Mark `async def name(exchange, request)` as what a rule with `action = "ask"` asks, with `@interpose.decision`.

    It returns True or False, or an `interpose.Decision` with a message and how long it holds.
    """
    setattr(function, ASKED, "decision")
    return function


def mark_authenticator(function: D) -> D:
    """Mark `async def name(exchange, request)` as what says who it is, with `@interpose.authenticator`.

    It returns a user's name, an `interpose.Identity` with groups, or None for nobody it knows.
    """
    setattr(function, ASKED, "authenticator")
    return function


def mark_started(function: L) -> L:
    """Mark `async def name()` as what is called in each worker before the other functions of the file are."""
    setattr(function, ASKED, "started")
    return function


def mark_stopped(function: L) -> L:
    """Mark `async def name()` as what is called in each worker when no exchange has the other functions any more.

    That is at the end of the worker, and when the file has changed: each version of a file starts and stops by itself.
    """
    setattr(function, ASKED, "stopped")
    return function


# --- options ---------------------------------------------------------------------------------------------------------


class _Given:
    """The options for a file that is being loaded, and whether it has asked for them."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values
        self.were_asked = False


_given: ContextVar[_Given] = ContextVar("interpose_script_options")


@contextmanager
def given(values: Mapping[str, Any]) -> Iterator[None]:
    """While inside, `options` gives these. ValueError in the end where there are some and nobody asked for them."""
    mine = _Given(values)
    token = _given.set(mine)
    try:
        yield
    finally:
        _given.reset(token)
    if values and not mine.were_asked:
        raise ValueError("it has options in the configuration, and does not call interpose.options")


def options(kind: type[T]) -> T:
    """(at the top of a script) The options that the configuration gives it, as a struct or dataclass of its own.

    ValueError, a sentence with the key, for what does not fit: the file is not loaded then.
    """
    mine = _given.get(None)
    if mine is None:
        raise ValueError("interpose.options belongs to the top of a script, outside of its functions")
    mine.were_asked = True
    values = dict(mine.values)
    shape = msgspec.inspect.type_info(kind)
    if not isinstance(shape, msgspec.inspect.StructType | msgspec.inspect.DataclassType):
        raise TypeError(f"{kind!r} is no struct and no dataclass")
    names = {field.encode_name for field in shape.fields}
    if unknown := sorted(values.keys() - names):
        raise ValueError(f"options.{unknown[0]} is not known here; known are {', '.join(sorted(names)) or 'none'}")
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"options: {error}") from None
