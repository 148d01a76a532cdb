"""The one guarded way from wire bytes to numbers: exact grammar first, conversion second.

`int()` alone accepts `+1_0`, white space, and digits of other scripts; everywhere else in wire code it is forbidden.
"""

from __future__ import annotations

import re

_DECIMAL = re.compile(rb"[0-9]{1,18}")
_FRACTION = re.compile(rb"-?[0-9]{1,18}(?:\.[0-9]{1,18})?")
_HEXADECIMAL = re.compile(rb"[0-9A-Fa-f]{1,15}")


def decimal(raw: bytes) -> int | None:
    """The value of 1 to 18 ASCII digits, else None (RFC 9110, 8.6: Content-Length)."""
    return int(raw) if _DECIMAL.fullmatch(raw) else None


def fraction(raw: bytes) -> float | None:
    """The value of a decimal number, perhaps with a sign and a fraction: `-12.50`. None for anything else."""
    return float(raw) if _FRACTION.fullmatch(raw) else None


def hexadecimal(raw: bytes) -> int | None:
    """The value of 1 to 15 hexadecimal digits, else None (RFC 9112, 7.1: chunk-size)."""
    return int(raw, 16) if _HEXADECIMAL.fullmatch(raw) else None
