"""A query's tree as a condition of SQL, and whether that condition says all that the query says.

A leaf becomes one of four things:
- of a column whose values are few and indexed (host, status, …): those of its values that the leaf's own matcher takes;
- of another column: a comparison that SQL and the matcher understand alike, or a call of the matcher for each row;
- of the record (fields, contents): which records have the trigrams of its text, as the index of a shelf tells;
- nothing at all, where neither helps.
The last two are not *exact*: records that they let through are read and asked. A negation of what is not exact lets
everything through.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from interpose.core.journal import TRAITS
from interpose.core.query.matching import Matcher, narrowed
from interpose.core.query.recorded import Recorded
from interpose.core.query.tree import And, Not, Or, Phrase, Query, Term
from interpose.core.query.values import Contained, Exact, Glob, Network, Present, Span, Template, Value, folded
from interpose.core.query.words import STATES, WORDS
from interpose.core.record import Kind, Part, Record
from interpose.storage.journal.rows import MOST_VALUES, SEEN
from interpose.storage.journal.shelves import match_expression

_MOST_LISTED: Final = 100
_MOST_WILDCARDS: Final = 2
_MOST_REMEMBERED: Final = 10_000
HAS_TEXT: Final = "id IN (SELECT rowid FROM @ WHERE @ MATCH ? AND rowid BETWEEN ?2 AND ?3)"
"""The condition that an index answers; `@` stands for its name."""


class Condition(NamedTuple):
    """SQL and its parameters. Every record that the query matches fulfils it; `exact`: no other does.

    It is asked of one block of numbers at a time: ?1 is the chunk that all of them are in, ?2 the first, ?3 the last.
    """

    sql: str
    parameters: tuple[Any, ...] = ()
    exact: bool = True


ANYTHING: Final = Condition("1", exact=False)
NOTHING: Final = Condition("0")

Judge = Callable[[Any], bool]


def _of(name: str) -> Callable[[Any], Recorded]:
    """A record of which nothing but one attribute is known."""
    return lambda value: _recorded(**{name: value})


def _recorded(**known: Any) -> Recorded:
    return Recorded(Record(**{"exchange": "", "started": 0.0, **known}), now=0.0)


def _typed(value: str) -> Part:
    return Part(b"Content-Type: " + value.encode("latin-1", "replace") + b"\r\n")


def _media_type(column: str) -> str:
    """A Content-Type without its parameters."""
    return f"rtrim(substr({column}, 1, instr({column} || ';', ';') - 1), ' ' || char(9))"


# Words whose values are few: the column with an index, and a record with such a value.
_FEW: Final[dict[str, tuple[str, Callable[[Any], Recorded]]]] = {
    "host": ("host", _of("host")),
    "method": ("method", _of("method")),
    "status": ("status", _of("status")),
    "kind": ("kind", _of("kind")),
    "from": ("client", lambda value: _recorded(client=(value, 0))),
    "mark": ("mark", lambda value: Recorded(Record(exchange="", started=0.0), now=0.0, mark=value)),
}
_TEXTS: Final[dict[str, tuple[str, Callable[[Any], Recorded]]]] = {
    "url": ("target", _of("target")),
    "path": ("target", _of("target")),
    "query": ("target", _of("target")),
    "scheme": ("scheme", _of("scheme")),
    "user": ("user", _of("user")),
    "listener": ("listener", _of("listener")),
    "route": ("route", _of("route")),
    "exchange": ("exchange", _of("exchange")),
    "failure": ("failure", _of("failure")),
    "request.type": (_media_type("request_type"), lambda value: _recorded(request=_typed(value))),
    "response.type": (_media_type("response_type"), lambda value: _recorded(response=_typed(value))),
    "comment": ("comment", lambda value: Recorded(Record(exchange="", started=0.0), now=0.0, comment=value)),
    "time": ("CAST(started AS INTEGER) / 60 * 60", _of("started")),  # windows begin and end with a minute
}
_ALWAYS_JUDGED: Final = ("path", "query", "time")
_NUMBERS: Final = {
    "size": "request_size + response_size",
    "request.size": "request_size",
    "response.size": "response_size",
    "took": "duration_s",
    "id": "id",
    "port": "nullif(port, 0)",
}


class Compiler:
    """Makes conditions for one query. `judges` are what SQL calls as `judge(place, value)`."""

    def __init__(self, database: sqlite3.Connection, now: float) -> None:
        self.judges: list[Judge] = []
        self._database = database
        self._now = now

    def condition(self, query: Query) -> Condition:
        """The condition for `query`."""
        match query:
            case And(parts):
                return _joined(" AND ", [self.condition(part) for part in parts])
            case Or(parts):
                return _joined(" OR ", [self.condition(part) for part in parts])
            case Not(part):
                inner = self.condition(part)
                return Condition(f"NOT {inner.sql}", inner.parameters) if inner.exact else ANYTHING
            case Phrase(text):
                return _contains(folded(text))
            case Term():
                return _joined(" OR ", [self._leaf(term) for term in narrowed(query)])

    def _leaf(self, term: Term) -> Condition:
        word = term.word
        if word in _FEW:
            return self._few(term)
        if word in _TEXTS:
            return self._text(term)
        if word in _NUMBERS:
            return _number(_NUMBERS[word], (), term.values)
        match word:
            case "to":
                return _joined(" OR ", [_address(value) for value in term.values])
            case "age":
                return _number("? - started", (self._now,), term.values)
            case "is":
                return _states(term)
            case "request.body" | "response.body":
                return _joined(" OR ", [_contains(one.text) for one in term.values if isinstance(one, Contained)])
            case "request" | "response" | "cookie" | "note" if (word, term.name) != ("request", "host"):
                return _joined(" OR ", [_named(term.name, value) for value in term.values])
        return ANYTHING

    # --- columns -----------------------------------------------------------------------------------------------------

    def _few(self, term: Term) -> Condition:
        column, record = _FEW[term.word]
        if term.word == "host" and all(isinstance(value, Exact) for value in term.values):
            return self._one_of(column, [value.text for value in term.values if isinstance(value, Exact)])
        judge = _judge(term, record)
        values = self._values(column)
        wanted = [value for value in values if judge(value)] if values is not None else None
        if wanted is not None and len(wanted) <= _MOST_LISTED:
            return self._one_of(column, wanted)
        judged = self._judged(column, judge)
        return judged._replace(sql=f"(chunk = ?1 AND {judged.sql})") if column in SEEN else judged

    def _one_of(self, column: str, values: list[Any]) -> Condition:
        """The column has one of the values. What an index leaves out may not be asked for through it."""
        if not values:
            return NOTHING
        has_one = f"{column} IN ({', '.join('?' * len(values))})"
        match column:
            case "kind" if "http" not in values:
                return Condition(f"({has_one} AND kind <> 'http')", tuple(values))
            case "mark" if "" not in values:
                return Condition(f"({has_one} AND mark <> '')", tuple(values))
            case "method" if (statuses := self._values("status")) is not None:
                any_status = ", ".join(str(one) for one in statuses if isinstance(one, int))  # first in the index
                return Condition(f"(chunk = ?1 AND status IN ({any_status}) AND {has_one})", tuple(values))
            case "host" | "client" | "status":
                return Condition(f"(chunk = ?1 AND {has_one})", tuple(values))
        return Condition(has_one, tuple(values))

    def _values(self, column: str) -> list[Any] | None:
        """All values of a column; None when they are too many."""
        match column:
            case "kind":
                return [kind.value for kind in Kind]
            case "mark":
                found = self._database.execute("SELECT DISTINCT mark FROM flow WHERE mark <> ''").fetchall()
                found.append(("",))
            case _:
                found = self._database.execute("SELECT value FROM seen WHERE word = ?", (column,)).fetchall()
        return None if len(found) > MOST_VALUES else [value for (value,) in found]

    def _text(self, term: Term) -> Condition:
        column, record = _TEXTS[term.word]
        word = WORDS[term.word]
        folds = word.folds and word.word != "host"
        conditions = [None] if word.word in _ALWAYS_JUDGED else [_compared(column, one, folds) for one in term.values]
        known = [condition for condition in conditions if condition is not None]
        if len(known) == len(conditions):
            return _joined(" OR ", known)
        judged = self._judged(column, _judge(term, record))
        return _narrowed(term, judged) if word.word == "path" else judged

    def _judged(self, column: str, judge: Judge) -> Condition:
        self.judges.append(_remembering(judge))
        return Condition(f"judge({len(self.judges) - 1}, {column})")


def _narrowed(term: Term, judged: Condition) -> Condition:
    """The condition, asked only of records that have the longest piece of the path somewhere, if that can be said."""
    pieces: list[str] = []
    for value in term.values:
        match value:
            case Exact(text):
                pieces.append(text)
            case Glob(parts):
                pieces.append(max(parts, key=len))
            case Template(segments):
                pieces.append(max((f"/{segment}" for segment in segments if segment), key=len, default=""))
            case _:
                return judged
    narrow = _joined(" OR ", [_contains(folded(piece)) for piece in pieces])
    if narrow is ANYTHING:
        return judged
    return Condition(f"({narrow.sql} AND {judged.sql})", (*narrow.parameters, *judged.parameters))


def _judge(term: Term, record: Callable[[Any], Recorded]) -> Judge:
    matches = Matcher(term).matches
    return lambda value: matches(record(value))


def _remembering(judge: Judge) -> Judge:
    """The same, asked once for each value."""
    verdicts: dict[Any, bool] = {}

    def remembered(value: Any) -> bool:
        verdict = verdicts.get(value)
        if verdict is None:
            if len(verdicts) >= _MOST_REMEMBERED:
                verdicts.clear()
            verdict = verdicts[value] = judge(value)
        return verdict

    return remembered


def _compared(column: str, value: Value, folds: bool) -> Condition | None:
    """What SQL can say about one value of a text."""
    text = f"lower({column})" if folds else column
    match value:
        case Present():
            return Condition(f"{column} <> ''")
        case Exact(wanted):
            return Condition(f"{text} = ?", (wanted,))
        case Contained(wanted):
            return Condition(f"instr(lower({column}), ?) > 0", (wanted,))
        case Glob(parts) if len(parts) <= _MOST_WILDCARDS + 1:
            return Condition(f"{text} GLOB ?", ("*".join(_literally(part) for part in parts),))
    return None


def _literally(part: str) -> str:
    """The text in a pattern of GLOB's in which it means itself."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in part)


def _number(expression: str, parameters: tuple[Any, ...], values: tuple[Value, ...]) -> Condition:
    found: list[Condition] = []
    for value in values:
        if not isinstance(value, Span):
            found.append(Condition(f"({expression}) IS NOT NULL", parameters))
            continue
        for bound, sign in (
            (value.low, ">=" if value.with_low else ">"),
            (value.high, "<=" if value.with_high else "<"),
        ):
            if bound is not None:
                found.append(Condition(f"coalesce(({expression}) {sign} ?, 0)", (*parameters, bound)))
        if value.low is not None and value.high is not None:
            found[-2:] = [_joined(" AND ", found[-2:])]
    return _joined(" OR ", found)


def _states(term: Term) -> Condition:
    """Traits are bits; a mark is a state too."""
    matches = Matcher(term).matches
    record = Record(exchange="", started=0.0)
    held = [state for state in ("", *STATES) if matches(Recorded(record, now=0.0, states=[state] if state else []))]
    mask = sum(TRAITS[state] for state in held if state in TRAITS)
    wanted = [str(traits) for traits in range(1, 2 * max(TRAITS.values())) if traits & mask]
    found = [Condition(f"(traits IN ({', '.join(wanted)}) AND traits <> 0)")] if mask else []
    if "marked" in held:
        found.append(Condition("mark <> ''"))
    if "" in held:
        found.append(Condition("(traits = 0 AND mark = '')"))
    return _joined(" OR ", found)


# --- texts -----------------------------------------------------------------------------------------------------------


def _contains(needle: str) -> Condition:
    expression = match_expression(needle)
    return Condition(HAS_TEXT, (expression,), exact=False) if expression else ANYTHING


def _address(value: Value) -> Condition:
    """One address of IPv4 is always written in the same way; of others it is not known how they stand in a record."""
    if isinstance(value, Network) and value.text.endswith("/32") and ":" not in value.text:
        return _contains(value.text.removesuffix("/32"))
    return ANYTHING


def _named(name: str, value: Value) -> Condition:
    """What has to stand in a record that has this value under that name."""
    match value:
        case Exact(text) if text:
            return _contains(folded(text))
        case Glob(parts) if any(parts):
            return _contains(folded(max(parts, key=len)))
        case Present():
            return _contains(folded(name))
    return ANYTHING


def _joined(sign: str, conditions: list[Condition]) -> Condition:
    """Conditions with AND or OR between them. Nothing under OR is never; anything beside OR is anything."""
    if not conditions:
        return NOTHING
    if len(conditions) == 1:
        return conditions[0]
    if sign == " OR " and ANYTHING in conditions:
        return ANYTHING
    sql = sign.join(condition.sql for condition in conditions)
    parameters = tuple(parameter for condition in conditions for parameter in condition.parameters)
    return Condition(f"({sql})", parameters, all(condition.exact for condition in conditions))
