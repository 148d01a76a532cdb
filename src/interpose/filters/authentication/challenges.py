"""What the client is asked for: challenges and their parameters (RFC 9110, 11.6.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable

_UNQUOTABLE = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")


def quoted(text: str) -> str:
    """`text` as a quoted string, without what would need an escape: clients seldom undo those."""
    return f'"{_UNQUOTABLE.sub("", text)}"'


def challenge(scheme: str, parameters: Iterable[tuple[str, str]]) -> str:
    """One challenge; parameters that are empty are left out."""
    given = ", ".join(f"{name}={quoted(value)}" for name, value in parameters if value)
    return f"{scheme} {given}".rstrip(" ")
