"""Edits can be made."""

from __future__ import annotations

from collections.abc import Iterator

from interpose.config.edits import ROLES, field_edits
from interpose.config.model import Config
from interpose.config.rules.breach import Breach, Rule, numbered
from interpose.core.query import QueryError, demand, parse
from interpose.core.query.words import INBOUND, OUTBOUND, Need
from interpose.filters.content.options import Replacement

_REQUEST = INBOUND & ~Need.REQUEST_BODY
_RESPONSE = OUTBOUND & ~Need.RESPONSE_BODY


def _edits_can_be_made(config: Config) -> Iterator[Breach]:
    """Conditions are known when they are asked, and each replacement says what it replaces."""
    for where, edit in numbered("edit", config.edits):
        if edit.replace or edit.remove or edit.insert:
            yield from _asks(f"{where}.when", edit.when, edit.message == "request", (f"{where}.message",))
        elif not edit.fields and not edit.set_query and not edit.remove_query:
            message = "changes nothing; give it replace, remove, insert, set_query or [[edit.field]]"
            yield Breach(f"{where}.replace", (), message, (where,))
        if edit.set_query or edit.remove_query:
            yield from _asks(f"{where}.when", edit.when, True, ())
        changes = zip(numbered(f"{where}.field", edit.fields), field_edits(edit), strict=True)
        for (place, _), change in changes:
            yield from _asks(f"{place}.when", change.when, change.message == "request", (f"{place}.message", where))
        for place, one in numbered(f"{where}.replace", edit.replace):
            if bool(one.text) == bool(one.pattern):
                yield Breach(f"{place}.text", one.text, "must stand alone: write either text or pattern", (place,))
                continue
            if wrong := _wrong_with(one):
                yield Breach(f"{place}.with", one.with_, wrong, (place,))
        if edit.message == "request" and (edit.remove or edit.insert):
            key = "remove" if edit.remove else "insert"
            message = 'is for pages, which requests have none of; leave it out, or write message = "response"'
            yield Breach(f"{where}.{key}", getattr(edit, key), message, (f"{where}.message",))


def _wrong_with(one: Replacement) -> str:
    """What is wrong with what a pattern becomes, in words; "" for nothing."""
    from interpose.filters.content.rules import replacement_of

    try:
        replacement_of(one)
    except ValueError as error:
        return str(error)
    return ""


def _edits_have_a_place(config: Config) -> Iterator[Breach]:
    routes = {route.name: where for where, route in numbered("route", config.routes)}
    roles = {listener.name: listener.role for listener in config.listeners}
    for where, edit in numbered("edit", config.edits):
        for number, name in enumerate(edit.routes, 1):
            if name not in routes:
                there = ", ".join(routes) or "none"
                yield Breach(f"{where}.routes[{number}]", name, f"is no route's name; there are: {there}", ("route",))
        for number, name in enumerate(edit.listeners, 1):
            if roles.get(name, "proxy") not in ROLES:
                message = "speaks no HTTP; name a gateway or a proxy"
                yield Breach(f"{where}.listeners[{number}]", name, message, ("listener",))


def _asks(where: str, query: str, is_request: bool, needs: tuple[str, ...]) -> Iterator[Breach]:
    if not query:
        return
    try:
        demand(parse(query), _REQUEST if is_request else _RESPONSE, query)
    except QueryError as error:
        yield Breach(where, query, str(error), needs)


RULES: tuple[Rule, ...] = (_edits_can_be_made, _edits_have_a_place)
