"""A span of a trace: what one exchange, or one try upstream, took, and what is said of it."""

from __future__ import annotations

from typing import Final, NamedTuple

SERVER: Final = 2
CLIENT: Final = 3

Value = str | int


class Span(NamedTuple):
    """One span. Ids are hexadecimal digits, times nanoseconds since 1970. `attributes` have the names of the semantic
    conventions for HTTP (OpenTelemetry, stable since 1.23)."""

    trace: str
    span: str
    parent: str
    name: str
    kind: int
    began_ns: int
    ended_ns: int
    attributes: dict[str, Value]
    is_error: bool = False
    state: str = ""
    """The `tracestate` of the trace."""
