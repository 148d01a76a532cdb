"""Running a handler's coroutine without a task.

An asyncio task costs about 4 µs for each exchange: the task itself, its place in the set of all tasks, and two more
rounds of the event loop, one to begin and one after the answer's head has come. Most exchanges wait exactly once, for
that head. So a `Run` takes the coroutine's first step at once, and whoever completes what it waits for takes the next
one, in the same call.

What it gives up: `asyncio.current_task()` is None inside, so `asyncio.timeout` and task groups cannot be used
*directly* in handlers and filters of ours (what they await may be a task, and dialling is one). Scripts of users may
use anything, so where there are any, exchanges are tasks (`as_task`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context
from types import CoroutineType
from typing import Any, Protocol

from interpose.core.exchange import Exchange
from interpose.core.handler import Answered, Handler
from interpose.core.message import Request, Response

Done = Callable[[Any, BaseException | None], None]
"""Called once at the end: with the result and None, or with None and what was raised."""


class Runs(Protocol):
    """Something that runs and can be ended."""

    def cancel(self) -> object:
        """Raise `CancelledError` inside, at what is waited for."""


class Signal:
    """One value or one exception for one waiter, which goes on before `set_result` returns when it is a `Run`.

    To a task it looks like a future, and wakes it in the next round of the loop as futures do.
    """

    __slots__ = ("_asyncio_future_blocking", "_error", "_is_done", "_loop", "_value", "_wake")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asyncio_future_blocking = False
        self._is_done = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._wake: Callable[[], object] | None = None

    def done(self) -> bool:
        """Whether it has its value, or is waited for no more."""
        return self._is_done

    def set_result(self, value: Any) -> None:
        """Give the value."""
        self._is_done = True
        self._value = value
        self._notify()

    def set_exception(self, error: BaseException) -> None:
        """Raise `error` where it is waited for."""
        self._is_done = True
        self._error = error
        self._notify()

    def cancel(self, msg: object = None) -> bool:
        """End the waiting with `CancelledError`."""
        if self._is_done:
            return False
        self.set_exception(asyncio.CancelledError())
        return True

    def result(self) -> Any:
        """The value, or what is to be raised."""
        if self._error is not None:
            raise self._error
        return self._value

    def add_done_callback(self, callback: Callable[[Signal], object], *, context: Context | None = None) -> None:
        """(Task) Call `callback` in the loop's next round after it is done."""
        self._wake = lambda: self._loop.call_soon(callback, self, context=context)

    def wake(self, waiter: Callable[[], object]) -> None:
        """(Run) Call `waiter` when it is done."""
        self._wake = waiter

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """(Task) The loop it belongs to."""
        return self._loop

    def _notify(self) -> None:
        wake, self._wake = self._wake, None
        if wake is not None:
            wake()

    def __await__(self) -> Generator[Any, None, Any]:
        if not self._is_done:
            self._asyncio_future_blocking = True
            yield self
        if self._error is not None:
            raise self._error
        return self._value


class Run:
    """Steps one coroutine to its end, and then calls `done`, perhaps before the constructor returns."""

    __slots__ = ("_coroutine", "_done", "_is_cancelled", "_waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], done: Done) -> None:
        self._coroutine = coroutine
        self._done = done
        self._is_cancelled = False
        self._waits_for: Any = None
        self._step()

    @property
    def has_ended(self) -> bool:
        """Whether it waits for nothing any more."""
        return self._waits_for is None

    def cancel(self) -> None:
        """See `Runs`."""
        self._is_cancelled = True
        if self._waits_for is not None:
            self._waits_for.cancel()

    def _step(self, _: object = None) -> None:
        self._waits_for = None
        try:
            if self._is_cancelled:
                self._is_cancelled = False
                waits_for = self._coroutine.throw(asyncio.CancelledError())
            else:
                waits_for = self._coroutine.send(None)
        except StopIteration as stop:
            self._done(stop.value, None)
        except (Exception, asyncio.CancelledError) as error:
            self._done(None, error)
        else:
            if waits_for is None:  # a bare yield, as in asyncio.sleep(0)
                waits_for = _next_round()
            self._waits_for = waits_for
            waits_for._asyncio_future_blocking = False
            if type(waits_for) is Signal:
                waits_for.wake(self._step)
            else:
                waits_for.add_done_callback(self._step)


def run_handler(
    handler: Handler, exchange: Exchange, request: Request, done: Done, tasks_on: asyncio.AbstractEventLoop | None
) -> Runs | None:
    """Start the handler; `done` gets its response or its error, perhaps before this returns (None then, or ended).
    With `tasks_on` it runs in a task of that loop, unless it has its answer at once."""
    try:
        answering = handler(exchange, request)
    except Exception as error:
        done(None, error)
        return None
    if type(answering) is Answered:
        done(answering.response, None)
        return None
    coroutine: Any = answering if type(answering) is CoroutineType else _awaiting(answering)
    if tasks_on is not None:
        return as_task(tasks_on, coroutine, done)
    run = Run(coroutine, done)
    return None if run.has_ended else run


async def _awaiting(answering: Awaitable[Response]) -> Response:
    return await answering


def _next_round() -> asyncio.Future[None]:
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.call_soon(_resolve, future)
    return future


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def as_task(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], done: Done) -> asyncio.Task[Any]:
    """The same with a task, for code that needs one."""
    task = loop.create_task(coroutine)

    def ended(task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            done(None, asyncio.CancelledError())
        else:
            error = task.exception()
            done(None if error is not None else task.result(), error)

    task.add_done_callback(ended)
    return task
