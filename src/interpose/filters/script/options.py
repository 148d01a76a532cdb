"""The table of a script."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Name = Annotated[str, Meta(extra={"kind": "name"})]
File = Annotated[str, Meta(extra={"kind": "file"})]


class ScriptOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of your own functions. It is read again when it changes."""

    file: File
    """Python, with functions marked `@interpose.filter`, `@interpose.messages` or another of the marks."""

    listeners: tuple[Name, ...] = ()
    """The listeners it applies to, by name. Empty: all that speak HTTP. Relays have to be named."""

    routes: tuple[Name, ...] = ()
    """The routes it applies to, by name. Empty: everything on those listeners."""

    options: dict[str, Any] = {}
    """What the file's own `interpose.options` gets: a table `[script.options]` with the keys that the file knows."""

    on_error: Literal["refuse", "pass"] = "refuse"
    """What becomes of an exchange for which a function raises an error. `refuse`: it is answered 500. `pass`: it goes
    on as if the function were not there, unless the function has read the content already."""

    max_errors_per_minute: Annotated[int, Meta(ge=0)] = 60
    """A function that raises more often is not called for a minute: `on_error` says what becomes of exchanges then.
    0: it is always called."""
