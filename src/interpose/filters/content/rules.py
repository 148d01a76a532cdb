"""Rules that can be asked, and what each does to a content."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

import re2  # type: ignore[import-untyped]

from interpose.core.exchange import Exchange
from interpose.core.query import Matcher, compile_query, parse
from interpose.core.query.live import Live
from interpose.filters.content.options import Insertion, Replacement
from interpose.filters.content.page import PageEdits
from interpose.filters.content.replacing import CompiledPattern, PatternReplacer, Step, TextReplacer
from interpose.filters.content.selector import Selector, selector_of

Chunk = Callable[[Exchange, bytes], bytes]
"""A function of a script: each chunk of a content, undone of its coding, and b"" once at its end."""
Whole = Callable[[Exchange, bytes], "bytes | Awaitable[bytes]"]
"""The same, for all of a content at once."""


class Rule(NamedTuple):
    """What is done to which contents."""

    name: str
    matcher: Matcher | None
    """None: every content."""
    is_outbound: bool
    said: str = ""
    """What tells it from others, in the same words in every process."""
    replacements: tuple[tuple[bytes, bytes] | CompiledPattern, ...] = ()
    selectors: tuple[Selector, ...] = ()
    insertions: tuple[Insertion, ...] = ()
    chunk: Chunk | None = None
    whole: Whole | None = None
    max_bytes: int = 0
    """The most that `whole` is given, and the most that is changed where a coding had to be undone."""
    forces: bool = False
    blocks: bool = False

    @property
    def wants_text(self) -> bool:
        """Whether it is for text. Functions of scripts take anything."""
        return self.chunk is None and self.whole is None

    def means(self, live: Live) -> bool:
        """Whether the rule is about this."""
        return self.matcher is None or self.matcher.matches(live)

    def may_mean(self, live: Live) -> bool:
        """The same, as far as it is known yet."""
        return self.matcher is None or self.matcher.decide(live) is not False

    def steps(self, exchange: Exchange, *, is_html: bool) -> list[Step]:
        """What it does, ready for one content. What is for pages is left out of other text."""
        steps: list[Step] = []
        for one in self.replacements:
            steps.append(PatternReplacer(one) if isinstance(one, CompiledPattern) else TextReplacer(*one))
        if is_html and (self.selectors or self.insertions):
            steps.append(PageEdits(self.selectors, self.insertions))
        if self.chunk is not None:
            steps.append(_Function(self.chunk, exchange))
        return steps


class _Function:
    """A function that is called with each chunk. A `Step`."""

    __slots__ = ("_exchange", "_function")

    def __init__(self, function: Chunk, exchange: Exchange) -> None:
        self._function = function
        self._exchange = exchange

    def feed(self, data: bytes) -> bytes:
        """See `Step`."""
        return octets(self._function(self._exchange, data))

    def finish(self) -> bytes:
        """See `Step`."""
        return octets(self._function(self._exchange, b""))


def octets(made: object) -> bytes:
    """What a function of a script returned; TypeError for what is no content."""
    if not isinstance(made, bytes):
        raise TypeError(f"returned {made!r:.100} instead of bytes")
    return made


def replacement_of(options: Replacement) -> tuple[bytes, bytes] | CompiledPattern:
    """What is replaced, ready to be made a step of. ValueError, a sentence."""
    if options.pattern:
        return CompiledPattern(options.pattern, options.with_, options.max_match_bytes, ignore_case=options.ignore_case)
    if options.ignore_case:
        escaped = re2.escape(options.text)
        # Capitals may take more octets than small letters, and the other way round.
        most = 4 * len(options.text.encode())
        return CompiledPattern(escaped, options.with_.replace("\\", "\\\\"), most, ignore_case=True)
    return options.text.encode(), options.with_.encode()


def condition_of(when: str) -> Matcher | None:
    """What a query means; None for an empty one."""
    return compile_query(parse(when)) if when else None


def selectors_of(texts: tuple[str, ...]) -> tuple[Selector, ...]:
    """What elements are meant. ValueError, a sentence."""
    return tuple([selector_of(text) for text in texts])
