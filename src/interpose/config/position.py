"""On which line of a TOML file a key path stands.

tomllib tells no positions. This reads just enough of the text to find headers and keys; it is used for messages only,
about text that tomllib has read without complaint, and says None rather than guess.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]#]+?)\s*\]\]?\s*(?:#.*)?")
_KEY = re.compile(
    r"\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'))*)\s*=(.*)"
)
_STRING_OR_COMMENT = re.compile(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'|#.*')


def line_of(places: Mapping[str, int], where: str) -> int | None:
    """The line (from 1) of the value at `where`, or of the nearest table around it, of those in `places`."""
    while where:
        if where in places:
            return places[where]
        if f"{where}[1]" in places:
            return places[f"{where}[1]"]
        # listener[1].tls.key -> listener[1].tls -> listener[1] -> listener
        where = where[: max(where.rfind("."), where.rfind("["), 0)]
    return None


def positions(text: str) -> dict[str, int]:
    """The line of each header and each key, by key path as in a `Problem`."""
    places: dict[str, int] = {}
    counts: dict[str, int] = {}
    table = ""
    ending = ""  # what ends the string of several lines that we are in
    depth = 0  # open brackets of an array of several lines
    for number, line in enumerate(text.split("\n"), 1):
        if ending:
            ending = "" if ending in line else ending
            continue
        if depth == 0:
            if header := _HEADER.fullmatch(line.rstrip("\r")):
                table = _current(header[2], counts)
                if header[1] == "[[":
                    counts[table] = counts.get(table, 0) + 1
                    table = f"{table}[{counts[table]}]"
                places.setdefault(table, number)
                continue
            found = _KEY.fullmatch(line.rstrip("\r"))
            if found is None:
                continue
            place = _plain(found[1])
            places.setdefault(f"{table}.{place}" if table else place, number)
            line = found[2]
        for quotes in ('"""', "'''"):
            if line.count(quotes) == 1:
                ending = quotes
        bare = _STRING_OR_COMMENT.sub("", line)
        depth = 0 if ending else max(0, depth + bare.count("[") + bare.count("{") - bare.count("]") - bare.count("}"))
    return places


def _plain(dotted: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in dotted.split("."))


def _current(dotted: str, counts: dict[str, int]) -> str:
    """The key path of a header: a table inside a list of tables belongs to its last one."""
    path = ""
    parts = _plain(dotted).split(".")
    for number, part in enumerate(parts, 1):
        path = f"{path}.{part}" if path else part
        if number < len(parts) and path in counts:
            path = f"{path}[{counts[path]}]"
    return path
