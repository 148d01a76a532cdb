"""Ways to know who somebody is: whole, each by its kind, and named where they can be asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import msgspec

from interpose.config.advice import no_such
from interpose.config.authentication_tables import Options, named
from interpose.config.model import Config, Listener
from interpose.config.problem import ABSENT, shown
from interpose.config.rules.breach import Breach, Rule, either, numbered
from interpose.core.fields import HOP_BY_HOP

KINDS_OF = {
    "file": ("passwords",),
    "groups_file": ("passwords",),
    "remember_s": ("passwords", "jwt"),
    **dict.fromkeys(("jwks_file", "jwks_url", "issuer", "audience", "algorithms", "token_type"), ("jwt",)),
    **dict.fromkeys(("user_claim", "groups_claim", "required", "leeway_s"), ("jwt",)),
    **dict.fromkeys(("refresh_s", "least_refresh_s", "stale_s"), ("jwt",)),
    **dict.fromkeys(("url", "request_fields", "response_fields", "user_field", "groups_field"), ("forward",)),
    **dict.fromkeys(("on_failure", "cache_s", "cache_by"), ("forward",)),
    "timeout_s": ("jwt", "forward"),
    "ca_file": ("jwt", "forward"),
    "script": ("script",),
}
"""The keys that only some kinds have."""

_OURS = HOP_BY_HOP | {b"host", b"proxy-authorization", b"via", b"forwarded", b"x-real-ip"}
_OURS |= {b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"}
NEEDED = {"passwords": "file", "forward": "url", "script": "script"}


def _keys_suit_the_kind(config: Config) -> Iterator[Breach]:
    defaults = {field.name: field.default for field in msgspec.structs.fields(Options)}
    for where, table in numbered("authentication", config.authentication):
        for key, kinds in KINDS_OF.items():
            value = getattr(table, key)
            if table.kind not in kinds and value != defaults[key]:
                message = f"has no meaning for kind {shown(table.kind)}; take it away, or make this {either(kinds)}"
                shown_value = ABSENT if isinstance(value, tuple) else value
                yield Breach(f"{where}.{key}", shown_value, message, (f"{where}.kind",))


def _each_has_what_it_needs(config: Config) -> Iterator[Breach]:
    for where, table in numbered("authentication", config.authentication):
        needed = NEEDED.get(table.kind)
        if needed is not None and not getattr(table, needed):
            message = f"is missing, and kind {shown(table.kind)} needs it"
            yield Breach(f"{where}.{needed}", ABSENT, message, (f"{where}.kind",))
        if table.kind == "jwt" and bool(table.jwks_file) == bool(table.jwks_url):
            message = "needs jwks_file or jwks_url, and not both"
            yield Breach(where, ABSENT, message, [f"{where}.{key}" for key in ("kind", "jwks_file", "jwks_url")])
        if table.jwks_url and all(name.startswith("HS") for name in table.algorithms):
            message = "has only algorithms with a secret, and what stands at a URL is none; use jwks_file"
            yield Breach(f"{where}.algorithms", ABSENT, message, (f"{where}.jwks_url",))
        for key in ("jwks_url", "url"):
            if "@" in getattr(table, key).partition("//")[2].partition("/")[0]:
                message = "must not hold a user or a password, which would stand wherever it is shown"
                yield Breach(f"{where}.{key}", ABSENT, message)
        for number, name in enumerate(table.response_fields, 1):
            if name.lower().encode() in _OURS:
                message = "is a field of the connection or of the request's way, which Interpose writes itself"
                yield Breach(f"{where}.response_fields[{number}]", name, message)


def _names_differ_and_lead_somewhere(config: Config) -> Iterator[Breach]:
    seen: dict[str, str] = {}
    for where, table in numbered("authentication", config.authentication):
        if not table.name:
            yield Breach(f"{where}.name", "", "must not be empty: listeners and routes call it by its name")
        elif (first := seen.setdefault(table.name, where)) != where:
            yield Breach(f"{where}.name", table.name, f"is the name of {first} already; give each its own")
    needs = [f"{where}.name" for where, _ in numbered("authentication", config.authentication)]
    for where, names in _lists(config):
        for number, name in enumerate(names, 1):
            if name not in seen:
                message = no_such("authentication", name, seen)
                yield Breach(f"{where}.authentication[{number}]", name, message, [*needs, "authentication"])


def _each_of_a_list_can_be_asked(config: Config) -> Iterator[Breach]:
    for where, names in _lists(config):
        tables = named(config, names)
        place, needs = f"{where}.authentication", ("authentication",)
        if any(table.kind == "forward" for table in tables[:-1]):
            message = "names a service before others, who are never asked: it decides about everything; name it last"
            yield Breach(place, list(names), message, needs)
        if sum(table.kind == "passwords" for table in tables) > 1:
            message = "names several files of users, of which only the first is asked; make them one file"
            yield Breach(place, list(names), message, needs)


def _listeners_can_ask_them(config: Config) -> Iterator[Breach]:
    for where, listener in numbered("listener", config.listeners):
        place, needs = f"{where}.authentication", (f"{where}.role", "authentication")
        kinds = [table.kind for table in named(config, listener.authentication)]
        if listener.auth and listener.authentication:
            message = "stands beside auth; name the file in an [[authentication]] of kind passwords, and keep this"
            yield Breach(place, list(listener.authentication), message, (f"{where}.auth",))
        if listener.role == "socks" and any(kind != "passwords" for kind in kinds):
            message = "names what SOCKS cannot do: its clients have names and passwords; keep those of kind passwords"
            yield Breach(place, list(listener.authentication), message, needs)
        if listener.role == "auto" and kinds and "passwords" not in kinds:
            message = "names nobody whom clients of SOCKS can log in to; add one of kind passwords"
            yield Breach(place, list(listener.authentication), message, needs)


def _lists(config: Config) -> Iterator[tuple[str, Sequence[str]]]:
    """Each list of names, with the table that has it."""
    tables: Iterator[tuple[str, Listener]] = chain(
        numbered("listener", config.listeners), numbered("route", config.routes)
    )
    return ((where, table.authentication) for where, table in tables if table.authentication)


RULES: tuple[Rule, ...] = (
    _keys_suit_the_kind,
    _each_has_what_it_needs,
    _names_differ_and_lead_somewhere,
    _each_of_a_list_can_be_asked,
    _listeners_can_ask_them,
)
