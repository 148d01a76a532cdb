"""A tree made into a function, built once and asked for every exchange.

Not everything is known at once: a rule that is asked before the server has answered knows no status. So a part of a
query is true, false or unknown, and unknown stays so: in a negation, beside truth in an AND, beside falsehood in an OR
(the logic of SQL's NULL). A query whose answer is unknown does not match. What is known to be absent is something
else: `-user:alice` holds for an exchange without a user, and `-status:200` for one that ended without an answer.

Which words are known when, the module `needs` says, so that whoever reads a rule refuses one that could never match.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from interpose.core.networks import Networks
from interpose.core.query.needs import needs
from interpose.core.query.tree import And, Not, Or, Phrase, Query, Term
from interpose.core.query.values import Contained, Exact, Glob, Network, Present, Span, Template, Value, Window, folded
from interpose.core.query.words import WORDS, Kind, Word

TEXT = "text"
"""The word under which a subject is asked for all that phrases are searched in: heads and texts of both messages."""


class Subject(Protocol):
    """What an exchange, or a record of one, says of itself. None: not known, or not yet. Words are those of the table,
    without those that are split (`words.Word.split`): a subject is asked for each message by itself."""

    def text(self, word: str) -> str | None:
        """The one text that a word means, "" when there is none. `host` is in lower case."""
        ...

    def texts(self, word: str, name: str) -> Sequence[str] | None:
        """All texts of a word that has a name (fields' in lower case) or may be there several times; empty: none."""
        ...

    def number(self, word: str) -> float | None:
        """Octets, seconds, a port, a status; `math.nan` when there is none. `time` in seconds since the epoch."""
        ...


Test = Callable[[Subject], bool | None]


class Matcher:
    """A query, ready to be asked. `needs` is what has to be known before every one of its words is."""

    __slots__ = ("_test", "needs", "query")

    def __init__(self, query: Query) -> None:
        self.query = query
        self.needs = needs(query)
        self._test = _test(query)

    def matches(self, subject: Subject) -> bool:
        """Whether the query holds, as far as it can be known."""
        return self._test(subject) is True

    def decide(self, subject: Subject) -> bool | None:
        """Whether the query holds; None when too little is known to say."""
        return self._test(subject)

    def __str__(self) -> str:
        return str(self.query)


def compile_query(query: Query) -> Matcher:
    """The query as something that can be asked."""
    return Matcher(query)


def narrowed(term: Term) -> tuple[Term, ...]:
    """The terms for one message each when the word means either (one of them has to hold), else the term alone."""
    split = WORDS[term.word].split
    return tuple(Term(word, term.name, term.values, term.position, term.length) for word in split) or (term,)


def _test(query: Query) -> Test:
    match query:
        case And(parts):
            return _all([_test(part) for part in _cheap_first(parts)])
        case Or(parts):
            return _any([_test(part) for part in _cheap_first(parts)])
        case Not(part):
            return _not(_test(part))
        case Phrase(text):
            return _of_texts(TEXT, "", (Contained(folded(text)),), folds=False)
        case Term():
            return _any([_leaf(term) for term in narrowed(query)])


def _cheap_first(parts: tuple[Query, ...]) -> list[Query]:
    """Words of the head before those that read contents; the result is the same in any order."""
    return sorted(parts, key=lambda part: needs(part).value)


def _all(tests: list[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]
    if len(tests) == 2:
        return _both(*tests)

    def all_hold(subject: Subject) -> bool | None:
        answer: bool | None = True
        for test in tests:
            one = test(subject)
            if not one:
                if one is not None:
                    return False
                answer = None
        return answer

    return all_hold


def _both(first: Test, second: Test) -> Test:
    def both_hold(subject: Subject) -> bool | None:
        one = first(subject)
        if one is False:
            return False
        other = second(subject)
        return other if one or other is False else None

    return both_hold


def _any(tests: list[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]

    def one_holds(subject: Subject) -> bool | None:
        answer: bool | None = False
        for test in tests:
            one = test(subject)
            if one:
                return True
            if one is None:
                answer = None
        return answer

    return one_holds


def _not(test: Test) -> Test:
    def does_not_hold(subject: Subject) -> bool | None:
        one = test(subject)
        return None if one is None else not one

    return does_not_hold


def _leaf(term: Term) -> Test:
    word = WORDS[term.word]
    match word.kind:
        case Kind.INTEGER | Kind.STATUS | Kind.SIZE | Kind.DURATION:
            return _of_number(term.word, term.values)
        case Kind.WINDOW:
            return _of_time(term.values)
        case Kind.ADDRESS:
            return _of_address(term.word, term.values)
    if word.many:
        return _of_texts(term.word, term.name, term.values, folds=_must_fold(word))
    return _of_text(term.word, term.values, folds=_must_fold(word))


def _must_fold(word: Word) -> bool:
    """Whether a subject's text has to be folded: hosts are, and what is contained is folded where it is looked for."""
    return word.folds and word.word != "host" and word.kind is not Kind.CONTAINED


def _of_text(word: str, values: tuple[Value, ...], *, folds: bool) -> Test:
    holds = _judge(values)
    match values:
        case (Glob((prefix, "")),) if not folds:
            return lambda subject: None if (text := subject.text(word)) is None else text.startswith(prefix)
        case (Glob(("", suffix)),) if not folds:
            return lambda subject: None if (text := subject.text(word)) is None else text.endswith(suffix)
    if not folds:
        return lambda subject: None if (text := subject.text(word)) is None else holds(text)
    if word == "method":
        # Nearly always in upper case; those in question are spelled so once, instead of the method for each exchange.
        plain = [value.text for value in values if isinstance(value, Exact) and value.text.isascii()]
        as_usual = frozenset(map(str.upper, plain)).__contains__
        return lambda subject: None if (text := subject.text(word)) is None else as_usual(text) or holds(folded(text))
    return lambda subject: None if (text := subject.text(word)) is None else holds(folded(text))


def _of_texts(word: str, name: str, values: tuple[Value, ...], *, folds: bool) -> Test:
    holds = _judge(values)
    wants_any = any(isinstance(value, Present) for value in values)

    def texts_have(subject: Subject) -> bool | None:
        texts = subject.texts(word, name)
        if not texts:
            return None if texts is None else holds("")
        return wants_any or any(holds(folded(text) if folds else text) for text in texts)

    return texts_have


def _judge(values: tuple[Value, ...]) -> Callable[[str], bool]:
    """Whether a text, folded where it has to be, is one of the values."""
    exact = frozenset(value.text for value in values if isinstance(value, Exact))
    if len(exact) == len(values):
        return exact.__contains__
    others = [_judge_one(value) for value in values if not isinstance(value, Exact)]
    if len(values) == 1:
        return others[0]
    return lambda text: text in exact or any(holds(text) for holds in others)


def _judge_one(value: Value) -> Callable[[str], bool]:
    match value:
        case Present():
            return bool
        case Glob(("", suffix)):
            return lambda text: text.endswith(suffix)
        case Glob((prefix, "")):
            return lambda text: text.startswith(prefix)
        case Glob() | Template() | Contained():
            return value.matches
    raise AssertionError(value)


def _of_number(word: str, values: tuple[Value, ...]) -> Test:
    spans = [value for value in values if isinstance(value, Span)]
    exact = frozenset(span.low for span in spans if span.low == span.high)
    wants_any = len(spans) < len(values)

    def is_exact(subject: Subject) -> bool | None:
        number = subject.number(word)
        return None if number is None else number in exact

    def is_within(subject: Subject) -> bool | None:
        number = subject.number(word)
        if number is None:
            return None
        if number != number:  # there is none
            return False
        return wants_any or any(number in span for span in spans)

    return is_exact if len(exact) == len(values) else is_within


def _of_time(values: tuple[Value, ...]) -> Test:
    windows = [value for value in values if isinstance(value, Window)]
    wants_any = len(windows) < len(values)

    def is_inside(subject: Subject) -> bool | None:
        seconds = subject.number("time")
        if seconds is None:
            return None
        if seconds != seconds:
            return False
        at = time.localtime(seconds)
        minute = 60 * at.tm_hour + at.tm_min
        return wants_any or any(window.contains(at.tm_wday, minute) for window in windows)

    return is_inside


def _of_address(word: str, values: tuple[Value, ...]) -> Test:
    networks = Networks(value.text for value in values if isinstance(value, Network))
    wants_any = any(isinstance(value, Present) for value in values)

    def is_in(subject: Subject) -> bool | None:
        address = subject.text(word)
        if address is None:
            return None
        return address in networks or (wants_any and address != "")

    return is_in
