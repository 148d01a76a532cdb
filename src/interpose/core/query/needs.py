"""What has to be known before a query can be answered, and whether a rule may ask it where it stands."""

from __future__ import annotations

from functools import reduce
from operator import or_

from interpose.core.query.error import QueryError
from interpose.core.query.tree import And, Not, Or, Phrase, Query, Term
from interpose.core.query.words import BOTH_BODIES, BOTH_HEADS, WHEN, WORDS, Need


def terms(query: Query) -> list[Term | Phrase]:
    """The leaves of a tree, in the order of the text."""
    found: list[Term | Phrase] = []
    waiting = [query]
    while waiting:
        match waiting.pop():
            case And(parts) | Or(parts):
                waiting.extend(reversed(parts))
            case Not(part):
                waiting.append(part)
            case leaf:
                found.append(leaf)
    return found


def needs(query: Query) -> Need:
    """What has to be known before every word of the query is."""
    return reduce(or_, map(_need, terms(query)))


def demand(query: Query, known: Need, text: str) -> None:
    """Nothing, when `known` is enough for the query; QueryError at the first word that is not known by then.

    `text` is what the query was read from.
    """
    for leaf in terms(query):
        missing = _need(leaf) & ~known
        if missing:
            raise QueryError(_too_early(leaf, known, missing), leaf.position, leaf.length, text)


def _need(leaf: Term | Phrase) -> Need:
    return BOTH_HEADS | BOTH_BODIES if isinstance(leaf, Phrase) else WORDS[leaf.word].needs


def _too_early(leaf: Term | Phrase, known: Need, missing: Need) -> str:
    when = WHEN[max(missing, key=lambda need: need.value)]
    if isinstance(leaf, Phrase):
        return "a text is looked for in all of an exchange, which this rule cannot see: write a word before it"
    for word in WORDS[leaf.word].split:
        if not WORDS[word].needs & ~known:
            rest = f".{leaf.name}" if leaf.name else ""
            return f"`{leaf.word}` means the other message too, which this rule cannot see: write `{word}{rest}`"
    return f"`{leaf.word}` is known {when}, and not where this rule is asked: leave it out"
