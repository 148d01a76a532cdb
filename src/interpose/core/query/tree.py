"""A query as a tree: frozen, comparable, printed as it may be written again.

    Query  = And | Or | Not | Term | Phrase
    Term   = word, name, values: what the word says is one of the values
    Phrase = text: it stands somewhere in the head or the text of the exchange

Where a term stood in the text is not part of what it is: two trees of one meaning are equal. And and Or have two parts
or more, and none of their own kind among them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from interpose.core.query.values import PLAIN_NAME, Value, escape
from interpose.core.query.words import WORDS

_PLAIN_PHRASE = re.compile(r"[^\s()\":\\-][^\s()\":\\]*")
_SPECIAL = ("and", "or", "not", "*")


@dataclass(frozen=True, slots=True)
class Term:
    """What `word` says of the exchange is one of `values`.

    `name` is that of a field, a cookie, a parameter of the query, a note or a factor (names of fields in lower case);
    it is "" for words without one. Comparisons and ranges are values too (`Span`).
    """

    word: str
    name: str
    values: tuple[Value, ...]
    position: int = field(default=0, compare=False)
    length: int = field(default=0, compare=False)

    def __str__(self) -> str:
        word = f"{self.word}.{self.name}" if self.name else self.word
        if self.name and (PLAIN_NAME.fullmatch(self.name) is None or word in WORDS):
            word = f'{self.word}."{escape(self.name)}"'
        return f"{word}:{','.join(map(str, self.values))}"


@dataclass(frozen=True, slots=True)
class Phrase:
    """Text that stands somewhere in the heads or the texts of the contents, compared without case."""

    text: str
    position: int = field(default=0, compare=False)
    length: int = field(default=0, compare=False)

    def __str__(self) -> str:
        is_plain = _PLAIN_PHRASE.fullmatch(self.text) is not None and self.text.lower() not in _SPECIAL
        return self.text if is_plain else f'"{escape(self.text)}"'


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold. What is not known yet is not known in its negation either."""

    part: Query

    def __str__(self) -> str:
        return f"-({self.part})" if isinstance(self.part, And | Or) else f"-{self.part}"


@dataclass(frozen=True, slots=True)
class And:
    """All parts hold."""

    parts: tuple[Query, ...]

    def __str__(self) -> str:
        return " ".join(f"({part})" if isinstance(part, Or) else str(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Or:
    """One part holds, or several do."""

    parts: tuple[Query, ...]

    def __str__(self) -> str:
        return " OR ".join(map(str, self.parts))


Query = And | Or | Not | Term | Phrase
