"""The scripts of a configuration: one for each file and its options, whatever it is used for."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import msgspec
from msgspec.structs import replace

from interpose.config.desk import pieces_held
from interpose.config.edits import function_filter
from interpose.config.live_scripts import TOPIC as TOPIC
from interpose.config.model import Config, Listener, Route
from interpose.config.model import Script as Table
from interpose.config.parts import Parts
from interpose.config.step import Step
from interpose.core.exchange import Exchange
from interpose.core.handler import Phase
from interpose.core.message_filter import Message, Pass, together
from interpose.filters.hold.holder import Holder
from interpose.filters.hold.messages import HoldMessages
from interpose.filters.script.script import Script

# --- which there are -------------------------------------------------------------------------------------------------


def script_of(config: Config, file: str, parts: Parts) -> Script:
    """The script in `file`. ValueError, a sentence, when it cannot be loaded."""
    return script_at(config.script_of(file), parts)


def script_at(table: Table, parts: Parts) -> Script:
    """The script of a table."""
    options = replace(table, listeners=(), routes=())
    return parts.get(Script, msgspec.json.encode(options), partial(_script, options, parts))


def _script(options: Table, parts: Parts) -> Script:
    holders = parts.every(Holder)
    return Script(options, hold=holders[0].for_script if holders else None, edits=function_filter)


def tables_for(config: Config, listener: Listener, route: Route | None = None) -> list[Table]:
    """The tables of a listener, or those that name a route which it has."""
    tables = [table for table in config.scripts if not table.listeners or listener.name in table.listeners]
    if route is None:
        return [table for table in tables if not table.routes]
    return [table for table in tables if route.name in table.routes]


def uses_any(config: Config, listener: Listener, routes: Iterable[Route]) -> bool:
    """Whether any filter of this listener is a script."""
    if tables_for(config, listener):
        return True
    return any(route.scripts or tables_for(config, listener, route) for route in routes)


# --- filters ---------------------------------------------------------------------------------------------------------


def listener_steps(config: Config, listener: Listener, parts: Parts) -> list[Step]:
    """The scripts of a listener, as far as they stand before its router."""
    return _steps(tables_for(config, listener), parts, (Phase.OBSERVE, Phase.ADMIT))


def inner_steps(config: Config, listener: Listener, parts: Parts) -> list[Step]:
    """The scripts of a listener, as far as they stand behind its router."""
    return _steps(tables_for(config, listener), parts, tuple(phase for phase in Phase if phase > Phase.ADMIT))


def route_steps(config: Config, listener: Listener, route: Route, parts: Parts) -> list[Step]:
    """The scripts of a route."""
    tables = [*tables_for(config, listener, route), *(config.script_of(file) for file in route.scripts)]
    return _steps(tables, parts, tuple(Phase))


def _steps(tables: Iterable[Table], parts: Parts, phases: tuple[Phase, ...]) -> list[Step]:
    """A slot of each script in each of `phases`: empty ones stay, for functions that a changed file may have there."""
    steps = []
    for table in tables:
        script = script_at(table, parts)
        for phase in phases:
            names = [name for where, name in script.functions if where is phase]
            if phase is Phase.EDIT:
                names += [f"{name} (messages)" for name in script.message_functions]
            detail = f"{table.file}: {', '.join(names)}" if names else ""
            steps.append(Step(phase, "script", detail, partial(script.slot, phase)))
    return steps


# --- messages --------------------------------------------------------------------------------------------------------


def message_steps(config: Config, listener: Listener, parts: Parts) -> list[tuple[str, str, str]]:
    """The functions that a relay asks about messages, for people."""
    asked = [(table.file, script_at(table, parts).message_functions) for table in _naming(config, listener)]
    return [("MESSAGES", "script", f"{file}: {', '.join(names)}") for file, names in asked if names]


def _naming(config: Config, listener: Listener) -> list[Table]:
    """The tables that name a relay. One that was meant for HTTP must not look into everything else."""
    return [table for table in tables_for(config, listener) if listener.name in table.listeners]


class AskedMessages:
    """A `MessageFilter` of a relay: its scripts, then the desk. Which functions there are is looked up each time."""

    def __init__(self, scripts: list[Script], hold: HoldMessages | None) -> None:
        self._scripts = scripts
        self._hold = hold

    def means(self, *, inbound: bool) -> bool:
        """Whether anything would be asked about messages of this direction."""
        held = self._hold is not None and self._hold.means(inbound=inbound)
        return held or any(script.has_messages for script in self._scripts)

    @property
    def means_any(self) -> bool:
        """Whether anything would be asked."""
        return self.means(inbound=True) or self.means(inbound=False)

    async def __call__(self, exchange: Exchange, message: Message, forward: Pass) -> None:
        """See the class."""
        asked = [script.message for script in self._scripts if script.has_messages]
        if self._hold is not None:
            await together([*asked, self._hold])(exchange, message, forward)
        elif asked:
            await together(asked)(exchange, message, forward)
        else:
            await forward(message)


def asked_messages(config: Config, listener: Listener, parts: Parts) -> AskedMessages | None:
    """What a relay asks before it passes something on; None where nothing could be asked."""
    hold = pieces_held(config, listener, parts)
    scripts = [script_at(table, parts) for table in _naming(config, listener)]
    if hold is None and not scripts:
        return None
    return parts.get(AskedMessages, (listener.name, hold, tuple(scripts)), lambda: AskedMessages(scripts, hold))


# --- what is told of them --------------------------------------------------------------------------------------------


async def start(parts: Parts) -> None:
    """Have those that have not started do so, before anybody needs them."""
    for script in parts.every(Script):
        await script.start()


def counters(parts: Parts) -> dict[str, float]:
    """Counts for the status."""
    scripts = parts.every(Script)
    return {
        "script_errors_total": float(sum(script.errors for script in scripts)),
        "scripts_broken": float(sum(bool(script.broken) for script in scripts)),
        "script_functions_off": float(sum(script.off for script in scripts)),
    }


def told(parts: Parts) -> bytes:
    """(in a worker) What its scripts have to say."""
    return msgspec.json.encode([script.told() for script in parts.serving(Script)])
