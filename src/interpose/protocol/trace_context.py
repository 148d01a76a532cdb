"""The `traceparent` field of W3C Trace Context: which trace a request belongs to, and which span asked for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

SAMPLED: Final = 1
_FORM: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[\x21-\x7e]*)?")
_NO_VERSION: Final = b"ff"
_NO_TRACE: Final = b"0" * 32
_NO_SPAN: Final = b"0" * 16


class Parent(NamedTuple):
    """A trace and the span in it that a request comes from, as hexadecimal digits; whether the trace is recorded."""

    trace: str
    span: str
    is_sampled: bool = True

    def field(self) -> str:
        """The value of the field, of version 00."""
        return f"00-{self.trace}-{self.span}-{'01' if self.is_sampled else '00'}"


def parent_of(values: Sequence[bytes]) -> Parent | None:
    """What the `traceparent` lines of one request say; None when there is none, or several, or one that is not valid.

    What follows the flags is for later versions, of which these parts are kept (Trace Context, 4.3); version 00 has
    nothing there.
    """
    if len(values) != 1 or (match := _FORM.fullmatch(values[0])) is None:
        return None
    version, trace, span, flags, rest = match.groups()
    if version == _NO_VERSION or trace == _NO_TRACE or span == _NO_SPAN or (version == b"00" and rest is not None):
        return None
    return Parent(trace.decode("ascii"), span.decode("ascii"), bool(bytes.fromhex(flags.decode("ascii"))[0] & SAMPLED))


def begun(random: Callable[[int], bytes]) -> Parent:
    """A trace that begins here. `random` gives so many random octets."""
    while True:
        digits = random(24).hex()
        parent = Parent(digits[:32], digits[32:])
        if parent_of([parent.field().encode("ascii")]) is not None:  # all zeros mean none
            return parent
