"""One version of a script's file: the functions that it has, and who still uses them."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from interpose.core.exchange import Exchange, Outcome
from interpose.core.handler import Phase
from interpose.core.message import Request
from interpose.core.message_filter import MessageFilter, together
from interpose.filters.script.edits import CONTENT, ContentFunction, ContentOptions, MakeEdits
from interpose.filters.script.marks import ASKED, PHASE, given
from interpose.filters.script.message import MessageStep
from interpose.filters.script.options import ScriptOptions
from interpose.filters.script.step import Step
from interpose.filters.script.troubles import Troubles
from interpose.storage.script_file import load

Asked = Callable[[Exchange, Request], Awaitable[object]]

START_S: Final = 10.0
STOP_S: Final = 1.0
"""How long `@interpose.started` and `@interpose.stopped` may take. A worker that ends has no more time than that."""

_ARGUMENTS: Final = {
    "messages": ("exchange", "message", "forward"),
    "decision": ("exchange", "request"),
    "authenticator": ("exchange", "request"),
    "started": (),
    "stopped": (),
}
"""What a function that is no filter may be marked as, and what it is given."""
_ONE_EACH: Final = ("decision", "authenticator")


class Loaded:
    """See the module. ValueError, a sentence with file and line, when the file cannot be loaded."""

    def __init__(self, options: ScriptOptions, troubles: Troubles, edits: MakeEdits | None = None) -> None:
        self.path = Path(options.file)
        self._edits = edits
        self.steps: dict[Phase, list[Step]] = {phase: [] for phase in Phase}
        self.asked: dict[str, Asked] = {}
        self.messages: list[MessageStep] = []
        self.users = 0
        self.when_unused: Callable[[], object] | None = None
        """Called as soon as `users` is 0 again."""
        self._troubles = troubles
        self._passes = options.on_error == "pass"
        self._life: dict[str, list[tuple[str, Callable[[], Awaitable[object]]]]] = {"started": [], "stopped": []}
        self._has_started = False
        try:
            with given(options.options):
                module = load(self.path)
        except ValueError as error:
            raise error if str(error).startswith(str(self.path)) else ValueError(f"{self.path}: {error}") from None
        found: set[int] = set()
        for name, value in list(vars(module).items()):
            if id(value) not in found and self._take(name, value):
                found.add(id(value))
        if not found:
            raise ValueError(f"{self.path}: no function is marked with @interpose.filter")
        self.counts_users = bool(self._life["stopped"])
        """Whether anything waits until nobody uses it."""
        self.ask: MessageFilter | None = together(self.messages) if self.messages else None

    def _take(self, name: str, value: Any) -> bool:
        """Take a marked function in; whether it is one."""
        phase, what = getattr(value, PHASE, None), getattr(value, ASKED, None)
        if isinstance(phase, Phase):
            self._check(name, value, ("exchange", "request", "forward"))
            self.steps[phase].append(Step(name, value, self._troubles, passes=self._passes))
            return True
        if isinstance(content := getattr(value, CONTENT, None), ContentOptions):
            self._take_content(name, value, content)
            return True
        if not isinstance(what, str) or what not in _ARGUMENTS:
            return False
        self._check(name, value, _ARGUMENTS[what])
        if what == "messages":
            self.messages.append(MessageStep(name, value, self._troubles, passes=self._passes))
        elif what in self._life:
            self._life[what].append((name, value))
        elif self.asked.setdefault(what, value) is not value:
            raise ValueError(f"{self.path}: only one function may be marked with @interpose.{what}")
        return True

    def _take_content(self, name: str, function: Any, options: ContentOptions) -> None:
        """Take a function in that is given contents: a filter gives them to it."""
        line = getattr(getattr(function, "__code__", None), "co_firstlineno", 0)
        try:
            inspect.signature(function).bind("exchange", "content")
            fits = options.whole or not inspect.iscoroutinefunction(function)
        except TypeError:
            fits = False
        if not fits or self._edits is None:
            raise ValueError(f"{self.path}:{line}: {name} must be `def {name}(exchange, content)`")
        version = f"{name} {hashlib.sha256(self.path.read_bytes()).hexdigest()}"
        edits = self._edits(ContentFunction(name, function, options, version))
        self.steps[Phase.EDIT].append(Step(name, edits, self._troubles, passes=self._passes))

    def _check(self, name: str, function: Any, arguments: tuple[str, ...]) -> None:
        """Refuse what could only fail when it is called."""
        line = getattr(getattr(function, "__code__", None), "co_firstlineno", 0)
        asks = f"{self.path}:{line}: {name} must be `async def {name}({', '.join(arguments)})`"
        if not inspect.iscoroutinefunction(function) and not inspect.iscoroutinefunction(type(function).__call__):
            raise ValueError(asks)
        try:
            inspect.signature(function).bind(*arguments)
        except TypeError:
            raise ValueError(asks) from None

    @property
    def functions(self) -> list[tuple[Phase, str]]:
        """The filters in the order in which they run."""
        return [(phase, step.name) for phase in Phase for step in self.steps[phase]]

    @property
    def names(self) -> list[str]:
        """The functions that can be called, by name."""
        return [name for _, name in self.functions] + [step.name for step in self.messages] + [*self.asked]

    # --- its life ----------------------------------------------------------------------------------------------------

    async def start(self) -> str:
        """Call what is marked with `@interpose.started`; "" or, in a sentence, why that did not succeed."""
        if self._has_started:
            return ""
        for name, function in self._life["started"]:
            try:
                async with asyncio.timeout(START_S):
                    await function()
            except (Exception, SystemExit) as error:
                return self._troubles.blame(None, name, function, error)
        self._has_started = True
        return ""

    async def stop(self) -> None:
        """Call what is marked with `@interpose.stopped`, if it has started."""
        if not self._has_started:
            return
        self._has_started = False
        for name, function in self._life["stopped"]:
            try:
                async with asyncio.timeout(STOP_S):
                    await function()
            except (Exception, SystemExit) as error:
                self._troubles.blame(None, name, function, error)

    @property
    def has_to_start(self) -> bool:
        """Whether a function is called before the others, and was not yet."""
        return bool(self._life["started"]) and not self._has_started

    def use_in(self, exchange: Exchange) -> None:
        """Somebody uses it until the exchange has ended."""
        self.users += 1
        exchange.at_end(self._left)

    def leave(self) -> None:
        """Somebody uses it no more."""
        self.users -= 1
        if not self.users and self.when_unused is not None:
            tell, self.when_unused = self.when_unused, None
            tell()

    def _left(self, outcome: Outcome) -> None:
        self.leave()
