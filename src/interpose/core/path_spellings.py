"""The ways in which servers may read one canonical path: rules that take away are asked about all (THREATS A13)."""

from __future__ import annotations

import re
from urllib.parse import unquote

from interpose.core.message import Request
from interpose.core.target import without_parameters

_SEVERAL = re.compile(r"[;%\\]|//")
_SLASHES = re.compile(r"//+")


def spelled(path: str) -> list[str]:
    """The other paths that servers may take a canonical path for; nearly always none.

    Some decode what is encoded, slashes and dots included, some take a backslash for a slash, some leave parameters
    (`;x=y`) away, some see one slash in several, some nothing behind a NUL. Who denies `/admin` denies all that.
    """
    if _SEVERAL.search(path) is None:
        return []
    found = [path]
    for base in (path, without_parameters(path)):
        decoded = unquote(base, "latin-1").replace("\\", "/")
        for text in (base, decoded, without_parameters(decoded), decoded.partition("\0")[0]):
            found += [_SLASHES.sub("/", text), _plain(text)]
    return list(dict.fromkeys(found))[1:]


def _plain(path: str) -> str:
    """With slashes merged and dot segments taken out."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            if kept:
                kept.pop()
        elif segment not in ("", "."):
            kept.append(segment)
    if kept and segments[-1] in ("", ".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def with_path(request: Request, path: str) -> Request:
    """The same request for another path, to ask about and not to send."""
    target = request.target._replace(path=path)
    return Request(request.method, target, request.fields, request.body, request.version, request.received)
