"""A file, or plain values, to a `Config`; everything that is wrong with it at once.

    file -> text -> tables (tomllib) -> structs (convert, kinds) -> names and overrides filled in
         -> contents of other files, rules -> Config

`ConfigError` carries every problem with its key path, value and fix, and the line where the file has it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from interpose.config.contents import unusable_files
from interpose.config.convert import convert
from interpose.config.journal_model import Journal
from interpose.config.kinds import kinds
from interpose.config.model import Config, Listener, Route
from interpose.config.position import line_of, positions
from interpose.config.problem import ABSENT, ConfigError, Problem
from interpose.config.rules import broken_rules
from interpose.config.state import state_dir as state_dir

MAX_FILE_BYTES = 1 << 20
_SYNTAX_PLACE = re.compile(r" \(at line ([0-9]+), column ([0-9]+)\)\Z")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


def load(path: str | Path) -> Config:
    """The configuration that a TOML file describes. Relative paths in it start at its directory."""
    source = str(path)
    text = _read(Path(path), source)
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_syntax_problem(str(error), text, source)]) from None
    except RecursionError:
        raise ConfigError([Problem("", ABSENT, "is nested too deeply to be read", source)]) from None
    except ValueError:  # Python's limit of 4300 digits, which tomllib does not know
        raise ConfigError([Problem("", ABSENT, "holds a number of thousands of digits", source)]) from None
    try:
        return config_of(raw, base=Path(path).absolute().parent, name=_NOT_IN_NAMES.sub("-", Path(path).stem))
    except ConfigError as error:
        places = positions(text)
        located = [p._replace(source=source, line=line_of(places, p.where)) for p in error.problems]
        raise ConfigError(sorted(located, key=lambda p: p.line or 0)) from None


def config_of(raw: dict[str, Any], *, base: Path | None = None, name: str = "") -> Config:
    """The configuration that tables as in a file describe; `name` is for an instance that has none."""
    problems: list[Problem] = []
    config: Config = convert(raw, Config, kinds(base or Path.cwd()), problems)
    config = with_names(with_overrides(config, raw), name)
    if config.console is not None and config.journal is None:  # a console without flows is none
        config = msgspec.structs.replace(config, journal=Journal())
    problems += [*unusable_files(config), *broken_rules(config, problems)]
    if problems:
        raise ConfigError(problems)
    routes = tuple(msgspec.structs.replace(route, name=route.name or name_of(route)) for route in config.routes)
    return msgspec.structs.replace(config, routes=routes)


def verified(config: Config) -> Config:
    """The same configuration, names filled in, when it keeps every rule that holds for a file; ConfigError
    otherwise."""
    raw = msgspec.to_builtins(config)
    return config_of(raw, name=config.process.name)


def with_overrides(config: Config, raw: dict[str, Any]) -> Config:
    """Tables of a listener or an upstream say only what differs: the rest is filled in from the file's own tables."""
    return msgspec.structs.replace(
        config,
        listeners=_overridden(config, config.listeners, raw.get("listener"), ("limits", "timeouts", "datagrams")),
        upstreams=_overridden(config, config.upstreams, raw.get("upstream"), ("connections",)),
    )


def _overridden(config: Config, tables: Sequence[Any], raw_tables: Any, keys: Sequence[str]) -> tuple[Any, ...]:
    result = []
    for number, table in enumerate(tables):
        changes = {}
        for key in keys:
            own = getattr(table, key)
            if own is not None:
                raw = raw_tables[number] if isinstance(raw_tables, list | tuple) else raw_tables
                given = {name: getattr(own, name) for name in raw[key] if name in own.__struct_fields__}
                changes[key] = msgspec.structs.replace(getattr(config, key), **given)
        result.append(msgspec.structs.replace(table, **changes) if changes else table)
    return tuple(result)


def with_names(config: Config, name: str = "") -> Config:
    """The configuration with names for its listeners, and for itself, where they were left to be chosen."""
    listeners: list[Listener] = []
    taken = {listener.name for listener in config.listeners}
    for listener in config.listeners:
        chosen = listener.name or _free_name(listener.role, taken)
        taken.add(chosen)
        listeners.append(msgspec.structs.replace(listener, name=chosen))
    own_name = config.process.name or name or (listeners[0].role if listeners else "")
    process = msgspec.structs.replace(config.process, name=own_name)
    return msgspec.structs.replace(config, process=process, listeners=tuple(listeners))


def name_of(route: Route) -> str:
    """What a route without a name is called: what it matches."""
    methods = "|".join(route.methods)
    path = route.path
    if not route.exact and "{" not in path:
        path = f"{path}*" if path.endswith("/") else f"{path}/*"
    when = f" when {route.when}" if route.when else ""
    return f"{methods} {'|'.join(route.hosts)}{path}{when}".strip()


def _free_name(role: str, taken: set[str]) -> str:
    names = (role if number == 1 else f"{role}-{number}" for number in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)


def _read(path: Path, source: str) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        problem = "there is no such file"
    except IsADirectoryError:
        problem = "is a directory; name a file in it"
    except OSError as error:
        problem = f"cannot be read: {(error.strerror or str(error)).lower()}"
    else:
        if len(data) > MAX_FILE_BYTES:
            problem = f"is larger than {MAX_FILE_BYTES} bytes, the limit for a configuration"
        elif not data.strip():
            problem = "is empty; see examples/gateway.toml for a beginning"
        else:
            try:
                return data.decode()
            except UnicodeDecodeError as error:
                line = data.count(b"\n", 0, error.start) + 1
                problem = f"holds a byte in line {line} that is not UTF-8: 0x{data[error.start]:02x}"
    raise ConfigError([Problem("", ABSENT, problem, source)])


def _syntax_problem(message: str, text: str, source: str) -> Problem:
    found = _SYNTAX_PLACE.search(message)
    if found is None:
        sentence, line = message.removesuffix(" (at end of document)"), text.count("\n") + 1
        return Problem("", ABSENT, f"{sentence}, at the end of the file", source, line)
    return Problem("", ABSENT, f"column {found[2]}: {message[: found.start()]}", source, int(found[1]))
