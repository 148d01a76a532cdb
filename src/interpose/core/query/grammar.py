r"""From text to a tree.

    query  = or
    or     = and { "OR" and }
    and    = not { ["AND"] not }              terms beside each other must all hold
    not    = { "NOT" | "-" } ( "(" or ")" | term | phrase )
    term   = word [ "." name ] ":" value { "," value }        one of the values
    value  = [ ">=" | "<=" | ">" | "<" ] ( bare | quoted )    * is a wildcard, \* a star
    name   = bare | quoted
    phrase = bare | quoted                                     * alone is everything: kind:*

AND, OR and NOT may be in lower case. One pass from left to right, each character looked at a bounded number of times;
the depth, the number of terms and the length of the text are bounded, so nothing that is typed can take long.
"""

from __future__ import annotations

import re

from interpose.core.query.error import QueryError, meant
from interpose.core.query.reading import Item, value_of
from interpose.core.query.tree import And, Not, Or, Phrase, Query, Term
from interpose.core.query.values import Present, Value, folded
from interpose.core.query.words import WORDS, Word

MAX_CHARACTERS = 8192
MAX_DEPTH = 64
MAX_TERMS = 200

_BLANKS = re.compile(r"[ \t\r\n]*")
_NOT = re.compile(r"(?i:not)(?=[ \t\r\n()\"]|\Z)")
_OR = re.compile(r"(?i:or)(?=[ \t\r\n()\"]|\Z)")
_AND = re.compile(r"(?i:and)(?=[ \t\r\n()\"]|\Z)")
_WORD = re.compile(r"[^ \t\r\n()\":]*:")
_NAMED = re.compile(r"([a-z]+)\.\"")
_OPERATOR = re.compile(r">=|<=|>|<|")
_BARE_PHRASE = re.compile(r"[^ \t\r\n()\"]+")
_BARE_VALUE = re.compile(r"(?:[^ \t\r\n()\",\\]|\\.)*")
_QUOTED = re.compile(r"\"((?:[^\"\\]|\\.)*)\"", re.DOTALL)
_PIECE = re.compile(r"\\(.)|(\*)|([^\\*]+)", re.DOTALL)
_ESCAPABLE = frozenset('"\\*,() <>=~:{}-')
_UNTYPED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def parse(text: str) -> Query:
    """The tree of a query. QueryError for what is none, with the place in `text`."""
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0
        self._depth = 0
        self._terms = 0

    def whole(self) -> Query:
        if len(self._text) > MAX_CHARACTERS:
            raise self._error(
                f"a query has at most {MAX_CHARACTERS} characters, and this one {len(self._text)}: shorten it",
                MAX_CHARACTERS,
            )
        if found := _UNTYPED.search(self._text):
            raise self._error("here is a control character, which no text has: take it out", found.start(), found.end())
        query = self._or()
        if self._place < len(self._text):
            raise self._error("this parenthesis closes nothing: take it out, or open one before", self._place)
        return query

    def _or(self) -> Query:
        parts = [self._and()]
        while self._took(_OR):
            parts.append(self._and())
        return _joined(Or, parts)

    def _and(self) -> Query:
        parts = [self._not()]
        while True:
            self._took(_BLANKS)
            start = self._place
            if self._took(_AND):
                parts.append(self._not())
            elif start == len(self._text) or self._text[start] == ")" or _OR.match(self._text, start):
                return _joined(And, parts)
            else:
                parts.append(self._not())

    def _not(self) -> Query:
        self._took(_BLANKS)
        start = self._place
        if not self._took(_NOT):
            if not self._text.startswith("-", start):
                return self._one()
            self._place += 1
        self._enter(start)
        part = self._not()
        self._depth -= 1
        return Not(part)

    def _one(self) -> Query:
        start = self._place
        text = self._text
        if text.startswith("(", start):
            return self._group(start)
        if start == len(text) or text[start] == ")" or _OR.match(text, start) or _AND.match(text, start):
            raise self._nothing(start)
        self._terms += 1
        if self._terms > MAX_TERMS:
            raise self._error(f"a query has at most {MAX_TERMS} terms: split it, or use lists such as host:a,b", start)
        if text.startswith('"', start):
            return Phrase(self._searched(self._quoted(), start), start, self._place - start)
        if (named := _NAMED.match(text, start)) is not None:
            self._place = named.end() - 1
            return self._term(start, named[1], self._quoted())
        if (word := _WORD.match(text, start)) is not None:
            self._place = word.end() - 1
            return self._term(start, text[start : self._place], None)
        bare = _BARE_PHRASE.match(text, start)
        assert bare is not None
        self._place = bare.end()
        self._ends_here()
        if bare[0] == "*":
            return Term(WORDS["kind"].word, "", (Present(),), start, 1)
        return Phrase(bare[0], start, len(bare[0]))

    def _group(self, start: int) -> Query:
        self._enter(start)
        self._place = start + 1
        query = self._or()
        if self._place == len(self._text):
            raise self._error("this parenthesis is never closed: write ) behind what belongs into it", start)
        self._place += 1
        self._depth -= 1
        return query

    def _enter(self, start: int) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(f"parentheses and negations may be {MAX_DEPTH} deep: take some out", start)

    def _term(self, start: int, written: str, quoted: str | None) -> Term:
        end = self._place
        if not self._text.startswith(":", end):
            raise self._error("a word needs a colon and a value behind it, as in host:example.com", start, end)
        word, name = self._word(start, end, written, quoted)
        self._place = end + 1
        values = [self._value(word)]
        while self._text.startswith(",", self._place):
            self._place += 1
            values.append(self._value(word))
        self._ends_here()
        return Term(word.word, name, tuple(values), start, self._place - start)

    def _word(self, start: int, end: int, written: str, quoted: str | None) -> tuple[Word, str]:
        """The word of a term, and its name ("" where it has none)."""
        if quoted is None and (word := WORDS.get(folded(written))) is not None and not word.named:
            return word, ""
        first, _, name = (written, "", quoted) if quoted is not None else written.partition(".")
        first = folded(first)
        word = WORDS.get(first)
        if word is None:
            known = [each.word for each in WORDS.values() if not each.named or "." not in written]
            hint = meant(written, known) or ': put "quotes" around it to look for the text'
            raise self._error(f"there is no word `{written[:40]}`{hint}", start, end)
        if not word.named:
            raise self._error(f"`{first}` stands without a name: write it as in {word.example}", start, end)
        if not name:
            raise self._error(f"`{first}` needs a name: write it as in {word.example}", start, end)
        return word, folded(name) if word.folds else name

    def _value(self, word: Word) -> Value:
        start = self._place
        text = self._text
        if text.startswith("~", start):
            raise self._error("there are no regular expressions: write * for any text", start)
        operator = _OPERATOR.match(text, start)
        assert operator is not None
        self._place = operator.end()
        if text.startswith('"', self._place):
            raw = self._quoted_raw()
        else:
            bare = _BARE_VALUE.match(text, self._place)
            assert bare is not None
            raw = bare[0]
            if not raw:
                raise self._error(f'`{word.word}` has no value here: write one, or "" for none', start, self._place)
            self._place = bare.end()
        item = Item(operator[0], self._parts(raw, self._place - len(raw)))
        try:
            return value_of(word, item)
        except ValueError as error:
            raise self._error(str(error), start, self._place) from None

    def _quoted_raw(self) -> str:
        found = _QUOTED.match(self._text, self._place)
        if found is None:
            raise self._error('this quote is never closed: write " behind the text', self._place)
        self._place = found.end()
        return found[1]

    def _quoted(self) -> str:
        """The text in quotes at this place, in which * is a star."""
        start = self._place + 1
        return "*".join(self._parts(self._quoted_raw(), start))

    def _parts(self, raw: str, start: int) -> tuple[str, ...]:
        """What stands between the wildcards of `raw`, which begins at `start`."""
        parts: list[list[str]] = [[]]
        for piece in _PIECE.finditer(raw):
            escaped, star, plain = piece.groups()
            if escaped is not None and escaped not in _ESCAPABLE:
                place = start + piece.start()
                raise self._error("a backslash makes a sign literal: write \\\\ for itself", place, place + 2)
            if star is None:
                parts[-1].append(plain if escaped is None else escaped)
            else:
                parts.append([])
        return tuple("".join(part) for part in parts)

    def _searched(self, text: str, start: int) -> str:
        if not text:
            raise self._error("every text contains the empty one: write what is looked for", start, self._place)
        return text

    def _ends_here(self) -> None:
        """What stands here may not touch the next thing."""
        if self._place < len(self._text) and self._text[self._place] not in " \t\r\n)":
            raise self._error('a blank is missing here, or "quotes" around the text before', self._place)

    def _took(self, pattern: re.Pattern[str]) -> bool:
        found = pattern.match(self._text, self._place)
        if found is None:
            return False
        self._place = found.end()
        return True

    def _nothing(self, place: int) -> QueryError:
        if not self._text.strip(" \t\r\n"):
            return self._error("the query is empty: write at least one term, as in host:example.com", 0)
        if place == len(self._text):
            return self._error("the query ends where a term is missing: write one, as in host:example.com", place)
        return self._error("a term is missing before this: write one, as in host:example.com", place)

    def _error(self, message: str, start: int, end: int | None = None) -> QueryError:
        return QueryError(message, start, 1 if end is None else max(1, end - start), self._text)


def _joined(join: type[And] | type[Or], parts: list[Query]) -> Query:
    """One node of the parts, those of its own kind among them dissolved."""
    if len(parts) == 1:
        return parts[0]
    flat: list[Query] = []
    for part in parts:
        if isinstance(part, join):
            flat.extend(part.parts)
        else:
            flat.append(part)
    return join(tuple(flat))
