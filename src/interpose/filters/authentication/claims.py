"""What a verified token says: values of claims, some of them inside others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interpose.filters.authentication.options import RequiredClaim

Claims = Mapping[str, Any]


def claim(claims: Claims, name: str) -> object:
    """The claim `name`; else, for `a.b`, the claim b inside a. None where there is none."""
    if name in claims:
        return claims[name]
    outer, dot, inner = name.partition(".")
    inside = claims.get(outer) if dot else None
    return claim(inside, inner) if isinstance(inside, dict) else None


def words(value: object) -> tuple[str, ...]:
    """The texts of a list, or the words of a text, as `scope` has them (RFC 8693, 4.2)."""
    if isinstance(value, str):
        return tuple(word for word in value.split(" ") if word)
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def is_met(claims: Claims, required: RequiredClaim) -> bool:
    """Whether the claim is there, with one of the values that are asked for."""
    value = claim(claims, required.claim)
    if not required.values:
        return value is not None
    return any(one == value or one in words(value) for one in required.values)
