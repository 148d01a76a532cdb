"""The `[console]` table of a configuration."""

from __future__ import annotations

from msgspec import Struct

from interpose.config.texts import HostPattern, ListenAddress

DEFAULT_CONSOLE = "127.0.0.1:8081"


class Console(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The page that shows what passes, and the API behind it. The supervisor serves it; it asks for a token, which is
    in the line that names its address. The proxy itself never leads to it."""

    address: ListenAddress = DEFAULT_CONSOLE
    """Where it listens: `host:port`, `:port` or `[v6]:port`."""

    else_any_port: bool = False
    """Whether any free port will do where that one is taken."""

    hosts: tuple[HostPattern, ...] = ()
    """Names, besides its address and `localhost`, under which browsers may open it."""
