"""The primary key of a stored response (RFC 9111, 2), as text: for comparing, for people, and for purging.

`GET https://host/path?query`, then a space and a word for each addition. No target has a space in it (THREATS A13), so
nothing in one can look like an addition. HEAD shares the key of GET.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from interpose.core.fields import FieldLine
from interpose.core.target import DEFAULT_PORTS, Target

_NOT_WORD = re.compile(r"[^!-~]|[%\"]")


def key_of(target: Target, additions: Sequence[tuple[str, str]] = (), ignored: frozenset[str] = frozenset()) -> bytes:
    """The key of what a GET for `target` gets. `additions` are names and values that choose a representation;
    `ignored` are query parameters that do not, by name, or by the beginning of it with a final `*`."""
    _, scheme, (host, port), path, query = target
    if ":" in host:
        host = f"[{host}]"
    where = host if port is None or port == DEFAULT_PORTS.get(scheme) else f"{host}:{port}"
    if query is not None:
        if ignored:
            query = without_parameters(query, ignored)
        if query is not None:
            path = f"{path}?{query}"
    text = f"GET {scheme}://{where}{path}"
    if additions:
        text += "".join([f" {_word(name)}={_word(value)}" for name, value in additions])
    return text.encode("utf-8", "surrogateescape")


def without_parameters(query: str, ignored: frozenset[str]) -> str | None:
    """The query without the parameters of these names; None when nothing is left."""
    beginnings = tuple([name[:-1] for name in ignored if name.endswith("*")])
    kept = [
        part
        for part in query.split("&")
        if (name := part.partition("=")[0]) not in ignored and not (beginnings and name.startswith(beginnings))
    ]
    return "&".join(kept) if kept else None


def cookie(request_lines: Sequence[FieldLine], name: bytes) -> bytes | None:
    """The value of one cookie of a request, for an addition to the key (RFC 6265, 4.2.1). None without it."""
    for key, _, value, _ in request_lines:
        if key == b"cookie":
            for pair in value.split(b";"):
                found, equals, content = pair.strip(b" \t").partition(b"=")
                if equals and found == name:
                    return content
    return None


def _word(text: str) -> str:
    """The text without spaces, unambiguously."""
    return _NOT_WORD.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    return "".join([f"%{octet:02X}" for octet in match[0].encode("utf-8", "surrogateescape")])
