"""Leaves the values of secret fields out of a record before anything of it is written."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from interpose.core.record import Record, Try

SECRET_FIELDS = ("authorization", "cookie", "proxy-authorization", "set-cookie")
MARKER = b"[redacted]"


class Redaction:
    """Takes the values of `names` (fields, in any case) out of records. Without names it leaves everything there."""

    __slots__ = ("_needles",)

    def __init__(self, names: Iterable[str] = SECRET_FIELDS) -> None:
        folded = dict.fromkeys(name.lower() for name in names)
        self._needles = tuple((name, b"\r\n" + name.encode() + b": ") for name in folded)

    def apply(self, record: Record) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Change `record`; the names that were found in the request and in the response."""
        if not self._needles:
            return (), ()
        request, response = record.request, record.response
        fields, in_request = self.section(request.fields)
        if in_request:
            record.request = replace(request, fields=fields)
        fields, in_response = self.section(response.fields)
        if in_response:
            record.response = replace(response, fields=fields)
        if record.attempts:
            record.attempts = [self._attempt(attempt) for attempt in record.attempts]
        return in_request, in_response

    def section(self, fields: bytes) -> tuple[bytes, tuple[str, ...]]:
        """The field section with MARKER for each secret value, and the names of those that were there."""
        folded = b"\r\n" + fields.lower()
        spans: list[tuple[int, int]] = []
        found: list[str] = []
        for name, needle in self._needles:
            place = folded.find(needle)
            if place >= 0:
                found.append(name)
            while place >= 0:  # `folded` is two octets ahead of `fields`
                start = place + len(needle) - 2
                end = fields.find(b"\r\n", start)
                spans.append((start, end if end >= 0 else len(fields)))
                place = folded.find(needle, start)
        return (_without(fields, spans) if spans else fields), tuple(found)

    def _attempt(self, attempt: Try) -> Try:
        head, found = self.section(attempt.head)
        return replace(attempt, head=head) if found else attempt


def _without(fields: bytes, spans: list[tuple[int, int]]) -> bytes:
    """The section with MARKER in place of each span."""
    pieces: list[bytes] = []
    place = 0
    for start, end in sorted(spans):
        pieces += fields[place:start], MARKER
        place = end
    return b"".join((*pieces, fields[place:]))
