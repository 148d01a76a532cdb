"""What a server says of its own addresses, spelled for clients again where a gateway asks it for others.

A server that is asked for `/login` when a client asked for `/shop/login` sends it to `/welcome` and means
`/shop/welcome`. This is the way back of a prefix that was taken off, of one that was put before, and of another host.
"""

from __future__ import annotations

import re

from interpose.core.path_pattern import is_below

_REFERENCE = re.compile(r"(?:(https?)://([^/?#\\@]+))?(/(?![/\\])[^?#]*)?([?#].*)?", re.IGNORECASE | re.DOTALL)
_COOKIE_PATH = re.compile(r"(;[ \t]*path[ \t]*=[ \t]*)(/[^;]*)", re.IGNORECASE)


class Restoring:
    """The way back: `outside` is the prefix that clients see, `inside` the one that the server does, "" for none. With
    `keeps_path` the path stays as it is, and only the host is looked at."""

    def __init__(self, outside: str, inside: str, *, keeps_path: bool = False) -> None:
        self._outside = outside
        self._inside = inside
        self._keeps_path = keeps_path

    def path(self, path: str) -> str:
        """A path as clients know it. One that is outside of what the server was asked for stays, and one that clients
        know already."""
        if self._keeps_path:
            return path
        if self._inside:
            if not is_below(path, self._inside):
                return path
            return self._outside + (path[len(self._inside) :] or "/")
        return path if is_below(path, self._outside) else self._outside + path

    def location(self, value: str, server: str, client: tuple[str, str]) -> str:
        """A Location as the client may follow it: `server` is the authority that the server was asked for, `client` the
        scheme and authority that the client asked. One that leads to another host stays."""
        match = _REFERENCE.fullmatch(value)
        if match is None:
            return value
        scheme, authority, path, rest = match.groups()
        if authority is None:
            return value if path is None else f"{self.path(path)}{rest or ''}"
        asked = authority.lower()
        if asked not in (server, client[1]):
            return value
        where = f"{scheme}://{authority}" if asked == client[1] else f"{client[0]}://{client[1]}"
        return f"{where}{self.path(path or '/')}{rest or ''}"

    def cookie(self, value: str) -> str:
        """A Set-Cookie with the Path that the client's requests will have."""
        match = _COOKIE_PATH.search(value)
        if match is None:
            return value
        path = match[2].rstrip(" \t")
        known = self.path(path)
        if path in ("/", self._inside) and known != path:  # for all that is below, and not for what has a slash there
            known = known.rstrip("/") or "/"
        return f"{value[: match.start(2)]}{known}{value[match.end(2) :]}"
