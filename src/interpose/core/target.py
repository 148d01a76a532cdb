"""Where a request wants to go: authority, origin, target (RFC 9110, 4; RFC 9112, 3.2)."""

from __future__ import annotations

import enum
import re
from typing import NamedTuple

DEFAULT_PORTS = {"http": 80, "https": 443}

_PARAMETERS = re.compile(r";[^/]*")
_SLASHES = re.compile(r"//+")


class Authority(NamedTuple):
    """A host and the port that was written, if one was.

    `host` is lower case, without brackets; IPv6 addresses are recognised by their colon.
    """

    host: str
    port: int | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


class Origin(NamedTuple):
    """Scheme, host and port: what a connection belongs to. For `unix` the host is the socket's path, the port 0.

    `at` is the address to connect to, where the host has several that are told apart; else it is looked up.
    """

    scheme: str
    host: str
    port: int
    at: str = ""

    @property
    def authority(self) -> Authority:
        """The authority as it is written in a Host field: the port only when it is not the scheme's own."""
        return Authority(self.host, None if self.port == DEFAULT_PORTS.get(self.scheme) else self.port)

    def __str__(self) -> str:
        if self.scheme == "unix":
            return f"unix:{self.host}"
        return f"{self.scheme}://{self.authority}" + (f" ({self.at})" if self.at else "")


class Form(enum.Enum):
    """The four forms of a request target (RFC 9112, 3.2)."""

    ORIGIN = "origin"
    ABSOLUTE = "absolute"
    AUTHORITY = "authority"
    ASTERISK = "asterisk"


class Target(NamedTuple):
    """What a request asks for, canonical: one spelling for rules, router, cache key and the next hop.

    `path` begins with a slash (empty in authority- and asterisk-form, and for OPTIONS of a server as a whole in
    absolute-form); `query` is kept verbatim, None without "?".
    `form` is how the client wrote it. Immutable: filters `_replace` what they change.
    """

    form: Form
    scheme: str
    authority: Authority
    path: str
    query: str | None = None

    @property
    def origin(self) -> Origin:
        """The origin that answers for this target."""
        port = self.authority.port
        return Origin(self.scheme, self.authority.host, DEFAULT_PORTS.get(self.scheme, 0) if port is None else port)

    @property
    def path_and_query(self) -> str:
        """The origin-form."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    def __str__(self) -> str:
        match self.form:
            case Form.AUTHORITY:
                return str(self.authority)
            case Form.ASTERISK:
                return "*"
            case _:
                return f"{self.scheme}://{self.authority}{self.path_and_query}"


def without_parameters(path: str) -> str:
    """The path that servers see which take `;name=value` in a segment for its parameter and not for its name.

    Routes and rules are for both kinds of server: what `/admin` takes, `/admin;x=y/z` must not go round (THREATS A13).
    """
    return _SLASHES.sub("/", _PARAMETERS.sub("", path))
