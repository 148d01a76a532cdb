"""Texts of a configuration with places that each exchange fills in: `/app/{id}`, `{client}`, `{query.page}`.

A value is a client's, and so anything. How it is spelled depends on where it goes, and only on that: here is the one
place where it is decided. What comes out of `in_path`, `in_query` and `in_field` has no control character, no space
where none may stand, and nothing that ends the part it stands in (THREATS A10, A13).

A place is a name in braces. Other braces are text, so that JSON and style sheets may be written as they are; `{{name}}`
is the text `{name}`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import escape
from urllib.parse import quote, unquote

from interpose.core.exchange import Exchange
from interpose.core.facts import AS_IN_THE_PATH, fact, is_fact
from interpose.core.message import Request

_PLACE = re.compile(r"\{\{([a-z][a-z0-9_]*(?:\.[A-Za-z0-9_-]+)?)\}\}|\{([a-z][a-z0-9_]*(?:\.[A-Za-z0-9_-]+)?)\}")
_NOT_IN_A_FIELD = re.compile(r"[^\x20-\x7e]+")

Spell = Callable[[str, bool], str]
"""(value, whether it is spelled as in a path already): how it stands where it goes."""


def in_path(value: str, is_of_a_path: bool) -> str:
    """A value as a part of a path: what came from one stays as it is, anything else is encoded, slashes too."""
    return value if is_of_a_path else quote(value, safe="", errors="replace")


def in_query(value: str, is_of_a_path: bool) -> str:
    """A value as a part of a parameter in a query."""
    return quote(unquote(value) if is_of_a_path else value, safe="", errors="replace")


def in_field(value: str, is_of_a_path: bool) -> str:
    """A value as a part of a field: printable ASCII, everything else encoded as in a URL."""
    return _NOT_IN_A_FIELD.sub(_encoded, value)


def in_text(media_type: str) -> Spell:
    """How values stand in a content of this type: decoded, and harmless in HTML, XML and JSON."""
    kind = media_type.partition(";")[0].strip(" \t").lower()
    if kind.endswith("json"):
        spell: Callable[[str], str] = _in_json
    elif kind.endswith(("html", "xml")):
        spell = escape
    else:
        spell = str
    return lambda value, is_of_a_path: spell(unquote(value) if is_of_a_path else value)


def _in_json(value: str) -> str:
    return json.dumps(value)[1:-1]


def _encoded(match: re.Match[str]) -> str:
    return quote(match[0], safe="", errors="replace")


class Substitution:
    """A text with places. `names` are those of the places, in their order."""

    __slots__ = ("_literals", "names", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.names: tuple[str, ...] = ()
        literals = [""]
        end = 0
        for match in _PLACE.finditer(text):
            literals[-1] += text[end : match.start()]
            end = match.end()
            if match[1] is not None:
                literals[-1] += f"{{{match[1]}}}"
            else:
                self.names += (match[2],)
                literals.append("")
        literals[-1] += text[end:]
        self._literals = tuple(literals)

    @property
    def literals(self) -> tuple[str, ...]:
        """The text before each place, and after the last."""
        return self._literals

    def spelled(self, spell: Spell) -> Substitution:
        """The same with its own text spelled as values are."""
        other = Substitution("")
        other.text, other.names = self.text, self.names
        other._literals = tuple(spell(literal, False) for literal in self._literals)
        return other

    def fill(self, exchange: Exchange, request: Request, spell: Spell) -> str:
        """The text for this exchange."""
        if not self.names:
            return self._literals[0]
        captured = exchange.captured or {}
        parts = [self._literals[0]]
        for name, literal in zip(self.names, self._literals[1:], strict=True):
            is_of_a_path = name in captured or name in AS_IN_THE_PATH
            parts += (spell(fact(name, exchange, request), is_of_a_path), literal)
        return "".join(parts)

    def unknown(self, captured: tuple[str, ...]) -> list[str]:
        """The names that nothing is known by; `captured` are those of the route's path."""
        return [name for name in self.names if name not in captured and not is_fact(name)]
