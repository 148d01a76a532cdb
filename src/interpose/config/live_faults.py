"""Faults that are set while an instance runs: kept by the supervisor, and applied by a reload in place.

What is set for a listener or a route stands in the place of the faults that its configuration gives it, until it is
cleared; `interpose reload` does not clear it, nor does a worker's end. Connections and exchanges that have begun keep
the faults that they began with.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from interpose.config.advice import no_such
from interpose.config.fault_text import fault_table
from interpose.config.load import config_of
from interpose.config.model import Config
from interpose.config.problem import ConfigError
from interpose.core.fault import spelled
from interpose.engine.plan import Plan
from interpose.engine.reload import Reload, Result

_ABOVE = re.compile(r"\A(?:listener|route)\[[0-9]+\]\.")

Tables = tuple[Mapping[str, Any], ...]


class Place(NamedTuple):
    """Something that may have faults: `of` is "listener" or "route"."""

    of: str
    name: str


class LiveFaults:
    """The live faults of one instance, which runs what `read` gives. `begin` comes first."""

    def __init__(self, read: Callable[[], Config], plan_of: Callable[[Config], Plan]) -> None:
        self._read = read
        self._plan_of = plan_of
        self._set: dict[Place, Tables] = {}
        self._reloading: Reload | None = None
        self._changing = asyncio.Lock()
        self._known: tuple[bytes, Config] | None = None

    def begin(self, reloading: Reload) -> None:
        """Change the instance by these reloads."""
        self._reloading = reloading

    def load(self) -> Plan:
        """The configuration as it is now, with what was set (a `engine.reload.Load`)."""
        config = self._read()
        try:
            return self._plan(config, self._set)
        except ConfigError as error:  # the file is sound by itself
            fix = "this was set live; `interpose faults clear` takes it away"
            raise ConfigError(one._replace(message=f"{one.message} ({fix})") for one in error.problems) from None

    def listed(self) -> list[dict[str, Any]]:
        """Every listener and route with its faults, and whether they are live ones; then what was set for others."""
        config = self._decoded(self._running.plan.config)
        tables = [("listener", one) for one in config.listeners] + [("route", one) for one in config.routes]
        rows = [
            {
                "of": of,
                "name": table.name,
                "faults": [spelled(fault) for fault in table.faults],
                "live": Place(of, table.name) in self._set,
            }
            for of, table in tables
        ]
        known = {(row["of"], row["name"]) for row in rows}
        gone = {place: tables for place, tables in self._set.items() if place not in known}
        return rows + [
            {"of": place.of, "name": place.name, "faults": [_in_words(table) for table in tables], "live": True}
            for place, tables in gone.items()
        ]

    async def set(self, name: str, faults: Sequence[str | Mapping[str, Any]]) -> Result:
        """Let a listener or route have exactly these, as texts or tables. What is wrong is in the result."""
        try:
            tables = tuple(fault_table(one) if isinstance(one, str) else one for one in faults)
            place = self._place(name)
        except ValueError as error:
            return self.refused(str(error))
        return await self._change({**self._set, place: tables})

    async def clear(self, name: str) -> Result:
        """Let a listener or route, or ("") all of them, have what their configuration says."""
        if not name:
            return await self._change({})
        wanted = {place for place in self._set if name in (place.name, f"{place.of}:{place.name}")}
        if not wanted:
            return self.refused(f"{name!r} has no live faults; `interpose faults list` shows what has")
        return await self._change({place: tables for place, tables in self._set.items() if place not in wanted})

    async def again(self) -> Result:
        """Change over to the same once more, because planning it comes to something else now."""
        return await self._change(dict(self._set))

    async def _change(self, wanted: dict[Place, Tables]) -> Result:
        async with self._changing:
            try:
                self._plan(self.written, wanted)
            except ConfigError as error:
                problems = (one._replace(where=_ABOVE.sub("", one.where)) for one in error.problems)
                return self.refused(*map(str, problems))
            before, self._set = self._set, wanted
            result = await self._running.apply(lambda: self._plan(self.written, wanted))
            if result.errors:
                self._set = before
            return result

    def _plan(self, config: Config, faults: Mapping[Place, Tables]) -> Plan:
        """The plan of `config` with `faults`. ConfigError when it cannot have them."""
        raw: dict[str, Any] = msgspec.to_builtins(config)
        for of in ("listener", "route"):
            for table in raw[of]:
                if (place := Place(of, table["name"])) in faults:
                    table["fault"] = list(faults[place])
        applied = config_of(raw, name=config.process.name) if faults else config
        return msgspec.structs.replace(self._plan_of(applied), written=msgspec.msgpack.encode(config))

    def _place(self, name: str) -> Place:
        """The listener or route of that name. ValueError when there is none, or one of each."""
        config = self.written
        places = [Place("listener", one.name) for one in config.listeners]
        places += [Place("route", one.name) for one in config.routes]
        found = [place for place in places if name in (place.name, f"{place.of}:{place.name}")]
        if len(found) > 1:
            raise ValueError(f"{name!r} is a listener and a route; say listener:{name} or route:{name}")
        if not found:
            message = no_such("listener or route", name, [place.name for place in places])
            raise ValueError(f"{name!r}: {message}")
        return found[0]

    @property
    def _running(self) -> Reload:
        assert self._reloading is not None
        return self._reloading

    @property
    def written(self) -> Config:
        """The configuration that runs, as it was written."""
        plan = self._running.plan
        encoded = plan.written or plan.config
        if self._known is None or self._known[0] is not encoded:  # asked for every other second
            self._known = encoded, self._decoded(encoded)
        return self._known[1]

    @staticmethod
    def _decoded(encoded: bytes) -> Config:
        return msgspec.msgpack.decode(encoded, type=Config)

    def refused(self, *sentences: str) -> Result:
        """That nothing has changed, and why."""
        errors = tuple(sentence if sentence.endswith(("?", ".")) else f"{sentence}." for sentence in sentences)
        return Result(generation=self._running.generation, errors=errors)


def _in_words(table: Mapping[str, Any]) -> str:
    """A table of a fault as one writes it in a line."""
    return " ".join([str(table["kind"]), *(f"{name}={value}" for name, value in table.items() if name != "kind")])
