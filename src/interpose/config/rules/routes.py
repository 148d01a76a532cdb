"""Routes belong to gateways, lead somewhere, and can be told apart."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from interpose.config.model import NO_CACHE, Config
from interpose.config.problem import ABSENT, shown
from interpose.config.route_model import Route
from interpose.config.rules.breach import Breach, Rule, either, numbered
from interpose.core.facts import FACTS, NAMED_FACTS
from interpose.core.path_pattern import pattern_of
from interpose.core.query import QueryError, demand, parse
from interpose.core.query.words import Need
from interpose.core.substitution import Substitution
from interpose.engine.own_answers import REDIRECTS
from interpose.filters.cors import ANY
from interpose.filters.path import ENCODED_SLASHES
from interpose.protocol.target import hazard

KNOWN = Need.CLIENT | Need.REQUEST_HEAD | Need.USER
"""What is known when a route is chosen."""

KNOWN_INSIDE = KNOWN | Need.ROUTE
OUTBOUND_HEAD = KNOWN_INSIDE | Need.RESPONSE_HEAD


def _routes_belong_to_gateways(config: Config) -> Iterator[Breach]:
    others = {
        table.name: (f"{where}.role", table.role)
        for where, table in numbered("listener", config.listeners)
        if table.role != "gateway"
    }
    for where, route in numbered("route", config.routes):
        for number, name in enumerate(route.listeners, 1):
            if name in others:
                place, role = others[name]
                message = f"has the role {shown(role)}; routes belong to gateways"
                yield Breach(f"{where}.listeners[{number}]", name, message, (place,))


ENDS = ("upstream", "answer", "redirect", "files")


def _routes_have_one_end(config: Config) -> Iterator[Breach]:
    for where, route in numbered("route", config.routes):
        needs = [f"{where}.{key}" for key in ENDS]
        given = [key for key in ENDS if getattr(route, key)]
        if len(given) > 1:
            yield Breach(where, ABSENT, f"has both {given[0]} and {given[1]}; keep one", needs)
        elif given != ["upstream"] and route.cache not in ("", NO_CACHE):
            message = "keeps what servers answer, and this route asks none; take it away"
            yield Breach(f"{where}.cache", route.cache, message, needs)
        elif not given:
            yield Breach(where, ABSENT, f"leads nowhere; give {either(ENDS)}", needs)


def _answers_can_be_sent(config: Config) -> Iterator[Breach]:
    for where, route in numbered("route", config.routes):
        if (answer := route.answer) is not None:
            if answer.status in (204, 304) and (answer.text or answer.file):
                message = "is a status whose answer has no content; take the content away, or choose another"
                yield Breach(f"{where}.answer.status", answer.status, message)
            if answer.text and answer.file:
                yield Breach(f"{where}.answer", ABSENT, "has both text and file; keep one", (f"{where}.answer.file",))
        if (redirect := route.redirect) is not None and redirect.status not in REDIRECTS:
            message = f"sends nobody elsewhere; write {either([str(status) for status in REDIRECTS])}"
            yield Breach(f"{where}.redirect.status", redirect.status, message)


def _routes_can_be_told_apart(config: Config) -> Iterator[Breach]:
    seen: dict[tuple[object, ...], str] = {}
    keys = ("listeners", "hosts", "path", "exact", "methods", "when")
    for where, route in numbered("route", config.routes):
        pattern = pattern_of(route.path)
        path = (route.path, route.exact) if pattern is None else (pattern.anonymous, True)
        for case in product(route.listeners or ("",), route.hosts or ("",), route.methods or ("",)):
            first = seen.setdefault((*case, *path, route.when), where)
            if first != where:
                message = (
                    f"takes the same requests as {first}; let them differ in listeners, hosts, path, methods or when"
                )
                yield Breach(where, ABSENT, message, [f"{table}.{key}" for table in (where, first) for key in keys])
                break


def _routes_can_match(config: Config) -> Iterator[Breach]:
    """Conditions are known when a route is chosen, and what paths may not hold is not asked for."""
    for where, route in numbered("route", config.routes):
        try:
            if route.when:
                demand(parse(route.when), KNOWN, route.when)
        except QueryError as error:
            yield Breach(f"{where}.when", route.when, str(error))
        found = hazard(route.path)
        if found is not None and not (route.encoded_slash == "keep" and found in ENCODED_SLASHES):
            message = f"can never match: a path with {found} is refused before"
            yield Breach(f"{where}.path", route.path, message, (f"{where}.encoded_slash",))


def _what_is_filled_in_is_known(config: Config) -> Iterator[Breach]:
    for where, route in numbered("route", config.routes):
        pattern = pattern_of(route.path)
        captured = () if pattern is None else (*pattern.names, pattern.rest)
        for key, text in _filled(route):
            for name in Substitution(text).unknown(captured)[:1]:
                message = f"fills in {{{name}}}, which nothing is known by; {_known(captured)}"
                yield Breach(f"{where}.{key}", text, message, (f"{where}.path",))


def _filled(route: Route) -> Iterator[tuple[str, str]]:
    """The texts of a route in which places are filled in, with their keys."""
    if (rewrite := route.rewrite) is not None:
        yield "rewrite.path", rewrite.path
        yield "rewrite.add_prefix", rewrite.add_prefix
        yield "rewrite.host", rewrite.host
        for number, pair in enumerate(rewrite.set_query, 1):
            yield f"rewrite.set_query[{number}]", pair.partition("=")[2]
    for number, edit in enumerate(route.fields, 1):
        yield f"field[{number}].value", edit.value
    if (redirect := route.redirect) is not None:
        yield "redirect.to", redirect.to
    if (answer := route.answer) is not None:
        yield "answer.text", answer.text
        for number, line in enumerate(answer.fields, 1):
            yield f"answer.fields[{number}]", line.partition(":")[2]


def _known(captured: tuple[str, ...]) -> str:
    names = [f"{{{name}}}" for name in (*filter(None, captured), *FACTS)]
    named = [f"{{{name}.NAME}}" for name in NAMED_FACTS]
    return f"write {either([*names, *named])}, or double braces for the text itself"


def _field_edits_say_what(config: Config) -> Iterator[Breach]:
    for where, route in numbered("route", config.routes):
        for number, edit in enumerate(route.fields, 1):
            place = f"{where}.field[{number}]"
            if edit.action != "remove" and not edit.value:
                message = f'is missing: {edit.action} needs one; action = "remove" takes the field off'
                yield Breach(f"{place}.value", ABSENT, message, (f"{place}.action",))
            elif edit.action == "remove" and edit.value:
                yield Breach(f"{place}.value", edit.value, "is of no use where a field is removed; take it away")
            elif edit.action != "remove" and "*" in edit.name:
                yield Breach(f"{place}.name", edit.name, "stands for many, of which only remove can do something")
            try:
                if edit.when:
                    demand(parse(edit.when), KNOWN_INSIDE if edit.message == "request" else OUTBOUND_HEAD, edit.when)
            except QueryError as error:
                yield Breach(f"{place}.when", edit.when, str(error), (f"{place}.message",))


def _cors_is_safe(config: Config) -> Iterator[Breach]:
    for where, route in numbered("route", config.routes):
        if (cors := route.cors) is None:
            continue
        if not cors.origins:
            yield Breach(f"{where}.cors.origins", ABSENT, 'is empty; name the sites, or write ["*"]')
        if cors.credentials and ANY in cors.origins:
            message = "lets scripts of any site act as the user; name the sites, or take credentials away"
            yield Breach(f"{where}.cors.credentials", True, message, (f"{where}.cors.origins",))
        if cors.credentials and ANY in (*cors.fields, *cors.expose, *cors.methods):
            message = "means no wildcard to browsers together with credentials; name fields and methods"
            yield Breach(f"{where}.cors", ABSENT, message, (f"{where}.cors.fields",))


RULES: tuple[Rule, ...] = (
    _routes_belong_to_gateways,
    _routes_have_one_end,
    _answers_can_be_sent,
    _routes_can_be_told_apart,
    _routes_can_match,
    _what_is_filled_in_is_known,
    _field_edits_say_what,
    _cors_is_safe,
)
