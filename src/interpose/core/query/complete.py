"""What may be written next, for who is typing a query: words and values of the table."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from interpose.core.query.values import folded
from interpose.core.query.words import WORDS, Word

MAX_PROPOSED = 20

# What is whole before the cursor (the last quote may be open), and the token that is being written.
_WHOLE = re.compile(r"[ \t\r\n()]+|\"(?:[^\"\\]|\\.)*\"|(?:[^ \t\r\n()\"\\]|\\.)+(?=[ \t\r\n()\"])", re.DOTALL)
_FIELDS = (
    "accept", "authorization", "cache-control", "content-encoding", "content-type", "etag", "host", "location",
    "origin", "referer", "server", "set-cookie", "user-agent",
)  # fmt: skip


class Completion(NamedTuple):
    """`text` may take the place of what stands from `start` to `end`; `meaning` is a line about it, perhaps empty."""

    text: str
    start: int
    end: int
    meaning: str


def complete(text: str, cursor: int) -> list[Completion]:
    """What the word or the value left of the cursor may become, at most MAX_PROPOSED, best first.

    Empty inside of quotes, and where any text may stand.
    """
    text = text[: max(0, cursor)]
    start = 0
    while (found := _WHOLE.match(text, start)) is not None:
        touches = found.end() == len(text) and found[0][-1] not in " \t\r\n("
        if touches:
            return []
        start = found.end()
    token = text[start:]
    if '"' in token:
        return []
    start += len(token) - len(token.lstrip("-"))
    token = text[start:]
    written, colon, values = token.partition(":")
    if not colon:
        return _proposed(_words(folded(written)), start, len(text))
    word = WORDS.get(folded(written))
    if word is None or word.named:
        return []
    last = values.rpartition(",")[2]
    return _proposed(_values(word, folded(last)), len(text) - len(last), len(text))


def _proposed(found: Iterable[tuple[str, str]], start: int, end: int) -> list[Completion]:
    return [Completion(text, start, end, meaning) for text, meaning in found][:MAX_PROPOSED]


def _words(begun: str) -> list[tuple[str, str]]:
    """Words that begin so, each with its colon or dot; names of fields behind the dot; then words that contain it."""
    spelled = {f"{word.word}{'.' if word.named else ':'}": word.meaning for word in WORDS.values()}
    first = [(text, meaning) for text, meaning in spelled.items() if text.startswith(begun) and text != begun]
    word, dot, name = begun.partition(".")
    if dot and word in ("field", "request", "response"):
        first += [(f"{word}.{field}:", "") for field in _FIELDS if field.startswith(name)]
    if len(begun) < 2:
        return first
    return first + [
        (text, meaning) for text, meaning in spelled.items() if begun in text and not text.startswith(begun)
    ]


def _values(word: Word, begun: str) -> list[tuple[str, str]]:
    return [(value, "") for value in word.values if folded(value).startswith(begun) and folded(value) != begun]
