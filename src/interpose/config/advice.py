"""What to write instead: sentences about a wrong value, an unknown key, a wrong unit."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import inspect

from interpose.config.problem import shown

# Endings of keys that name a unit, and what people write in its place.
_UNITS: dict[str, tuple[str, dict[str, float]]] = {
    "_bytes_per_s": ("bytes per second", {}),
    "_s": ("seconds", {"ms": 0.001, "s": 1.0, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}),
    "_bytes": (
        "bytes",
        {"b": 1.0, "k": 1 << 10, "kb": 1 << 10, "kib": 1 << 10, "m": 1 << 20, "mb": 1 << 20, "mib": 1 << 20}
        | {"g": 1 << 30, "gb": 1 << 30, "gib": 1 << 30},
    ),
}
_QUANTITY = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*([A-Za-z]*)\s*")
_UNIT_ENDING = re.compile(r"_(?:ms|s|secs?|seconds|min|minutes|h|hours|b|bytes|kb|kib|mb|mib|gb|gib|size)\Z")


def wanted(type_: inspect.Type, key: str) -> str:
    """What a value of this type is, in words: `a number of seconds from 0 to 3600`."""
    match type_:
        case inspect.Metadata(type=inner, extra=extra):
            return _KINDS.get((extra or {}).get("kind", ""), "") or wanted(inner, key)
        case inspect.UnionType(types=types):
            return wanted(next(t for t in types if not isinstance(t, inspect.NoneType)), key)
        case inspect.VarTupleType(item_type=item_type):
            return f"a list, each {wanted(item_type, key)}"
        case inspect.DictType():
            return "a table of keys that the file knows"
        case inspect.StructType(fields=fields):
            return f"a table with {', '.join(field.encode_name for field in fields)}"
        case inspect.LiteralType(values=values):
            texts = [shown(value) for value in values]
            return " or ".join(texts) if len(texts) < 3 else f"one of {', '.join(texts)}"
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType() | inspect.FloatType():
            unit, _ = _unit_of(key)
            noun = "a whole number" if isinstance(type_, inspect.IntType) else "a number"
            return f"{noun}{unit and f' of {unit}'}{_bounds(type_)}"
        case _:
            return "a text in quotes"


_KINDS = {
    "name": "a name of letters, digits, '.', '-' and '_'",
    "file": "the path of a file",
    "later_file": "the path of a file",
    "folder": "the path of a directory",
    "network": 'an address or network such as "10.0.0.0/8"',
    "address": 'an address such as "127.0.0.1:8080", ":8080", "[::1]:8080" or "unix:/run/web.sock"',
    "server": 'a server such as "http://127.0.0.1:9000", "https://example.com" or "unix:/run/app.sock"',
    "dns": 'a name server such as "192.0.2.1" or "127.0.0.1:5353"',
    "host": 'a host such as "example.com" or "*.example.com"',
    "path": 'a path such as "/api"',
    "route_path": 'a path such as "/api" or "/users/{id}"',
    "filled_path": 'a path such as "/app/{id}"',
    "location": 'a path such as "/new" or a URL such as "https://shop.example{path}"',
    "field": 'the name of a field such as "X-Frame-Options"',
    "filled_line": 'a field such as "Cache-Control: no-store"',
    "parameter": 'a parameter such as "page=1"',
    "origin": 'a site such as "https://app.example"',
    "site": "the path of a directory",
    "condition": 'a query such as "cookie.beta:1"',
    "pattern": "a regular expression of RE2",
    "selector": 'a selector such as "div.advert"',
    "method": 'a method such as "GET"',
    "media": 'a media type such as "text/html" or "text/*"',
    "log": 'a file, "-" or "off"',
}


def _bounds(type_: inspect.IntType | inspect.FloatType) -> str:
    low = f" above {type_.gt:g}" if type_.gt is not None else f" from {type_.ge}" if type_.ge is not None else ""
    high = f" to {type_.le}" if type_.le is not None and type_.le <= 1 << 40 else ""
    return low + high


def wrong_value(raw: Any, type_: inspect.Type, key: str) -> str:
    """Why a value does not do, and what does."""
    sentence = f"must be {wanted(type_, key)}"
    if isinstance(raw, str):
        match type_:
            case inspect.LiteralType(values=values):
                return sentence + _did_you_mean(raw, map(str, values))
            case inspect.IntType() | inspect.FloatType():
                number = _quantity(raw, key)
                return sentence if number is None else f"{sentence}; write {number}"
            case inspect.BoolType() if raw.lower() in ("true", "yes", "on", "1"):
                return "must be true or false, without quotes; write true"
            case inspect.BoolType() if raw.lower() in ("false", "no", "off", "0"):
                return "must be true or false, without quotes; write false"
    elif isinstance(type_, inspect.StrType) and not isinstance(raw, dict | list):
        return f'{sentence}; write "{shown(raw)}"'
    elif isinstance(raw, list) and len(raw) == 1:
        return f"{sentence}, not a list; write {shown(raw[0])}"
    return sentence


def _quantity(text: str, key: str) -> str | None:
    """The number in the key's unit that a text such as "30s" or "10MB" stands for."""
    found = _QUANTITY.fullmatch(text)
    if found is None:
        return None
    if not found[2]:
        return f"{found[1]}, without quotes"
    unit, factors = _unit_of(key)
    factor = factors.get(found[2].lower())
    if factor is None:
        return None
    number = float(found[1]) * factor
    return f"{int(number) if number.is_integer() else number}: {key} is in {unit}"


def _unit_of(key: str) -> tuple[str, dict[str, float]]:
    return next((unit for ending, unit in _UNITS.items() if key.endswith(ending)), ("", {}))


def unknown_key(key: str, where: str, table: inspect.StructType, tables: Mapping[str, inspect.StructType]) -> str:
    """What may have been meant by a key that a table does not have. `tables` are the top-level ones by name."""
    known = [field.encode_name for field in table.fields]
    stem = _UNIT_ENDING.sub("", key.lower().replace("-", "_"))
    same_stem = [name for name in known if _UNIT_ENDING.sub("", name) == stem]
    if same_stem:
        unit, _ = _unit_of(same_stem[0])
        return f'is not known here; write "{same_stem[0]}"{unit and f", in {unit}"}'
    guess = difflib.get_close_matches(key.lower().replace("-", "_"), known, 1, 0.7)
    if guess:
        return f'is not known here; did you mean "{guess[0]}"?'
    homes = [name for name, other in tables.items() if name != where and key in (f.encode_name for f in other.fields)]
    if homes:
        return f"is not known here; it belongs in {' or '.join(f'[{home}]' for home in homes)}"
    return f"is not known here; known are {', '.join(known)}"


def no_such(noun: str, name: str, known: Iterable[str]) -> str:
    """That a reference leads nowhere, and where it might have led."""
    names = sorted(known)
    guess = _did_you_mean(name, names)
    if guess or not names:
        return f"there is no {noun} of that name{guess or f'; add a [[{noun}]] table with it'}"
    return f"there is no {noun} of that name; there {'is' if len(names) == 1 else 'are'} {', '.join(names)}"


def _did_you_mean(text: str, known: Iterable[str]) -> str:
    guess = difflib.get_close_matches(text.lower(), list(known), 1, 0.6)
    return f'; did you mean "{guess[0]}"?' if guess else ""
