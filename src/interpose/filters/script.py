"""Your own filters: functions of a Python file, marked with `@interpose.filter`.

A script has a *slot* in every phase. The slots are built into the handlers once and stay there; what they call is
looked up for each request, so that a changed file, even one with other functions in other phases, takes effect without
anything being rebuilt. An empty slot hands on without a coroutine of its own.

An error in a script is the script's: the exchange gets a 500, log and answer name the line, everything else goes on. To
tell such an error from one that came out of `forward`, what a function is given as `forward` remembers what it raised.
It remembers bodies as well: one that the function got and did not pass on is closed, or its upstream connection would
wait for a reader for ever.

A script runs on the loop of its worker: while it computes, everybody else waits. What takes longer than a few
milliseconds belongs into `await asyncio.to_thread(...)`; the watchdog names the line of a script that forgets it.
"""

from __future__ import annotations

import inspect
import logging
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, overload

import msgspec

from interpose.core.body import Body
from interpose.core.decision import Decision
from interpose.core.exchange import Exchange, Outcome
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.handler import Filter, Handler, Phase
from interpose.core.hold import Ruling
from interpose.core.message import Request, Response
from interpose.protocol import fitness
from interpose.storage.file_signature import signature
from interpose.storage.script_file import last_line_in, load, place_of, told

log = logging.getLogger("interpose")

MARK = "__interpose_phase__"
_REASON = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
ASKED = "__interpose_asked__"
QUESTIONS = ("decision", "authenticator")
"""What a function that is no filter may be asked."""

F = TypeVar("F", bound=Filter)
D = TypeVar("D", bound=Callable[..., Any])

HoldRequest = Callable[[Exchange, Request, str], Awaitable[Ruling]]
"""Has a request held for a reason, and carries out what is decided."""


@overload
def mark(function: F, /) -> F: ...
@overload
def mark(*, phase: Phase = ...) -> Callable[[F], F]: ...
def mark(function: F | None = None, /, *, phase: Phase = Phase.EDIT) -> F | Callable[[F], F]:
    """Mark `async def name(exchange, request, forward)` as a filter, with `@interpose.filter` or `(phase=…)` after it.

    It answers, or returns `await forward(exchange, request)`, with the request or the response changed as it likes.
    """

    def marked(function: F) -> F:
        setattr(function, MARK, Phase(phase))
        return function

    return marked if function is None else marked(function)


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


class ScriptOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of your own filters."""

    file: str
    """Python, with functions marked `@interpose.filter`. It is read again when it changes."""

    max_errors_per_minute: int = 0
    """A function that raises more often is passed over until the file changes. 0: never; each error is answered 500."""


class Script:
    """One file. `slot(phase)` gives its filter for a phase, `tick()` looks whether the file changed.

    `hold` is what `exchange.hold` does, None where nothing can be held. Raises ValueError, one sentence with file and
    line, when the file cannot be loaded.
    """

    def __init__(
        self, options: ScriptOptions, clock: Callable[[], float] = time.monotonic, hold: HoldRequest | None = None
    ) -> None:
        self._hold = hold
        self.path = Path(options.file)
        self._clock = clock
        self._max_errors = options.max_errors_per_minute
        self._seen = signature(self.path)
        self._asked: dict[str, Callable[[Exchange, Request], Awaitable[object]]] = {}
        self._errors = 0
        self._steps = self._load()

    @property
    def functions(self) -> list[tuple[Phase, str]]:
        """The marked functions in the order in which they run."""
        return [(phase, step.name) for phase in Phase for step in self._steps[phase]]

    @property
    def errors(self) -> int:
        """Errors since the file was loaded."""
        return self._errors + sum(step.errors for steps in self._steps.values() for step in steps)

    @property
    def decides(self) -> bool:
        """Whether a function is marked with `@interpose.decision`."""
        return "decision" in self._asked

    @property
    def identifies(self) -> bool:
        """Whether a function is marked with `@interpose.authenticator`."""
        return "authenticator" in self._asked

    async def decision(self, exchange: Exchange, request: Request) -> Decision:
        """What the marked function decides. Raises what it raises; ValueError where it says nothing that is one."""
        said = await self._function("decision")(exchange, request)
        if isinstance(said, bool):
            return Decision(said)
        if not isinstance(said, Decision):
            raise ValueError(f"{self.path}: the decision is {said!r:.100} instead of True, False or interpose.Decision")
        return said

    async def identity(self, exchange: Exchange, request: Request) -> object:
        """What the marked function says of who it is. `Failure` for what goes wrong in it."""
        function = None
        try:
            function = self._function("authenticator")
            return await function(exchange, request)
        except (Exception, SystemExit) as error:
            if isinstance(error, Failure):
                raise
            self._errors += 1
            file, line = place_of(error, function, self.path)
            detail = f"{file.name}:{line}: {told(error)}"
            log.error("exchange %s: script %s:%d: %s", exchange.id, file, line, told(error))
            raise Failure("proxy_internal_error", Side.INTERNAL, detail) from error

    def _function(self, what: str) -> Callable[[Exchange, Request], Awaitable[object]]:
        """The marked function; ValueError where the file has it no more."""
        if what not in self._asked:
            raise ValueError(f"{self.path}: no function is marked with @interpose.{what}")
        return self._asked[what]

    def slot(self, phase: Phase) -> Filter:
        """The filter that stands for this script in one phase; install it in each."""
        return partial(self._run, phase)

    def tick(self) -> None:
        """Load the file again if it changed. When it is broken the old functions stay, and the log says so once."""
        seen = signature(self.path)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._steps = self._load()
        except ValueError as error:
            log.warning("script not reloaded, the old one goes on: %s", error)
        else:
            log.info("script %s reloaded: %s", self.path, ", ".join(name for _, name in self.functions))

    def _run(self, phase: Phase, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        if self._hold is not None:
            exchange.on_hold = partial(self._hold, exchange, request)
        for step in reversed(self._steps[phase]):
            forward = partial(step, forward=forward)
        return forward(exchange, request)

    def _load(self) -> dict[Phase, list[Step]]:
        module = load(self.path)
        steps: dict[Phase, list[Step]] = {phase: [] for phase in Phase}
        found: set[int] = set()
        asked: dict[str, Callable[[Exchange, Request], Awaitable[object]]] = {}
        for name, value in list(vars(module).items()):
            phase = getattr(value, MARK, None)
            if isinstance(phase, Phase) and id(value) not in found:
                found.add(id(value))
                self._check(name, value)
                steps[phase].append(Step(name, value, self.path, self._max_errors, self._clock))
            elif (what := getattr(value, ASKED, None)) in QUESTIONS:
                if not inspect.iscoroutinefunction(value):
                    raise ValueError(f"{self.path}: {name} must be `async def {name}(exchange, request)`")
                if asked.setdefault(what, value) is not value:
                    raise ValueError(f"{self.path}: only one function may be marked with @interpose.{what}")
        if not found and not asked:
            raise ValueError(f"{self.path}: no function is marked with @interpose.filter")
        self._asked = asked
        return steps

    def _check(self, name: str, function: Any) -> None:
        """Refuse what could only fail at the first request."""
        line = getattr(getattr(function, "__code__", None), "co_firstlineno", 0)
        asks = f"{self.path}:{line}: {name} must be `async def {name}(exchange, request, forward)`"
        if not inspect.iscoroutinefunction(function) and not inspect.iscoroutinefunction(type(function).__call__):
            raise ValueError(asks)
        try:
            inspect.signature(function).bind(None, None, None)
        except TypeError:
            raise ValueError(asks) from None


class Step:
    """One function of a script, as a filter."""

    def __init__(self, name: str, function: Filter, path: Path, max_errors: int, clock: Callable[[], float]) -> None:
        self.name = name
        self.errors = 0
        self._function = function
        self._path = path
        self._clock = clock
        self._recent: deque[float] | None = deque(maxlen=max_errors + 1) if max_errors else None
        self._is_off = False

    async def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Response:
        """Call the function; what it raises, other than a `Failure`, becomes one."""
        if self._is_off:
            return await forward(exchange, request)
        through = Through(forward)
        try:
            response = await self._function(exchange, request, through)
            check(response)
        except BaseException as error:
            through.close_bodies()
            if error is through.raised or not isinstance(error, Exception | SystemExit):
                raise
            if isinstance(error, Failure):
                self._note(exchange, error.detail)
                raise
            raise self._blame(exchange, error) from error
        if not through.was_called:
            self._note(exchange, f"answered {response.status}")
        elif through.bodies != [response.body]:
            # A body that was not returned may still feed the one that was, through a transform of the script's.
            exchange.at_end(lambda outcome: self._end(exchange, through, outcome))
        return response

    def _end(self, exchange: Exchange, through: Through, outcome: Outcome) -> None:
        through.close_bodies()
        cause = outcome.failure.__cause__ if outcome.failure is not None else None
        if cause is not None and last_line_in(str(self._path), cause):
            self._blame(exchange, cause)

    def _note(self, exchange: Exchange, why: str) -> None:
        if "filter" not in exchange.notes:
            exchange.refused_by("script", f"{self.name} in {self._path.name}", why)

    def _blame(self, exchange: Exchange, error: BaseException) -> Failure:
        """The failure for an error of the function; written to the log, with the line, and counted."""
        self.errors += 1
        file, line = place_of(error, self._function, self._path)
        detail = f"{file.name}:{line} in {self.name}: {told(error)}"
        exchange.refused_by("script", f"{self.name} in {self._path.name}", detail)
        log.error("exchange %s: script %s:%d in %s: %s", exchange.id, file, line, self.name, told(error))
        if self._recent is not None:
            now = self._clock()
            self._recent.append(now)
            if len(self._recent) == self._recent.maxlen and now - self._recent[0] < 60:
                self._is_off = True
                says = "script %s: %s failed %d times in a minute and is passed over until the file changes"
                log.error(says, self._path, self.name, len(self._recent))
        return Failure("proxy_internal_error", Side.INTERNAL, detail)


def check(response: Any) -> None:
    """Refuse what cannot be sent: TypeError or ValueError."""
    if not isinstance(response, Response):
        raise TypeError(f"returned {response!r} instead of a response")
    for name, kind in (("status", int), ("fields", Fields), ("body", Body), ("reason", bytes)):
        if not isinstance(getattr(response, name), kind):
            raise TypeError(f"returned a response whose {name} is {getattr(response, name)!r}")
    if not 200 <= response.status <= 999 and response.then is None:
        raise ValueError(f"returned a response with the status {response.status}; it must be from 200 to 999")
    if response.reason and _REASON.fullmatch(response.reason) is None:
        raise ValueError(f"returned a response whose reason {response.reason!r} has control characters")


class Through:
    """What a script's function gets as `forward`."""

    __slots__ = ("_forward", "bodies", "raised", "was_called")

    def __init__(self, forward: Handler) -> None:
        self._forward = forward
        self.bodies: list[Body] = []
        self.raised: BaseException | None = None
        self.was_called = False

    async def __call__(self, exchange: Exchange, request: Request) -> Response:
        """Forward, and remember what came of it."""
        fitness.check_request(request)
        self.was_called = True
        try:
            response = await self._forward(exchange, request)
        except Exception as error:
            self.raised = error
            raise
        self.bodies.append(response.body)
        return response

    def close_bodies(self) -> None:
        """Close the bodies that have not ended: nobody will read them."""
        for body in self.bodies:
            body.close()
