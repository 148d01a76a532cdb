"""Why a query does not match: what of it does not hold, and what there is instead."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

from interpose.core.printable import printable
from interpose.core.query.matching import Subject, compile_query, narrowed
from interpose.core.query.tree import And, Not, Or, Phrase, Query, Term
from interpose.core.query.words import WORDS, Kind

_SHOWN = 200
_NUMBERS = (Kind.INTEGER, Kind.STATUS, Kind.SIZE, Kind.DURATION)


class Reason(NamedTuple):
    """A part of a query that does not hold, as it is written. `found` is what there is, None where nobody knows."""

    part: str
    found: str | None


def why_not(query: Query, subject: Subject) -> list[Reason]:
    """The parts that keep `query` from matching `subject`, in the order of the text; none when it matches."""
    return list(_reasons(query, subject))


def _reasons(query: Query, subject: Subject) -> Iterator[Reason]:
    if compile_query(query).matches(subject):
        return
    match query:
        case And(parts) | Or(parts):
            for part in parts:
                yield from _reasons(part, subject)
        case Not(Term() as term):
            yield Reason(str(query), said_of(term, subject))
        case Term():
            yield Reason(str(query), said_of(query, subject))
        case Not() | Phrase():
            yield Reason(str(query), None)


def said_of(term: Term, subject: Subject) -> str | None:
    """What `subject` says of the word of a term, for people; None when it is not known."""
    found = [text for one in narrowed(term) if (text := _said(one, subject)) is not None]
    return ", ".join(found)[:_SHOWN] if found else None


def _said(term: Term, subject: Subject) -> str | None:
    word = WORDS[term.word]
    if word.kind is Kind.WINDOW or word.kind in _NUMBERS:
        number = subject.number(term.word)
        if number is None or number != number:
            return None if number is None else ""
        return f"{number:g}" if word.kind is not Kind.WINDOW else time.strftime("%a %H:%M", time.localtime(number))
    if word.many:
        texts = subject.texts(term.word, term.name)
        return None if texts is None else ", ".join(printable(text.encode()) for text in texts)
    text = subject.text(term.word)
    return None if text is None else printable(text.encode())
