"""Spans in the JSON of OTLP ("JSON Protobuf Encoding" of the OpenTelemetry Protocol 1: ids in hexadecimal, 64-bit
numbers as text)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from interpose.core.span import Span, Value
from interpose.core.version import __version__

MEDIA_TYPE = "application/json"
PATH = "/v1/traces"

_ERROR = {"code": 2}


def encoded(spans: Sequence[Span], resource: Mapping[str, Value]) -> bytes:
    """The content of a request that delivers `spans`; `resource` says who made them."""
    return msgspec.json.encode(
        {
            "resourceSpans": [
                {
                    "resource": {"attributes": _attributes(resource)},
                    "scopeSpans": [
                        {"scope": {"name": "interpose", "version": __version__}, "spans": [_span(one) for one in spans]}
                    ],
                }
            ]
        }
    )


def _span(span: Span) -> dict[str, Any]:
    told: dict[str, Any] = {
        "traceId": span.trace,
        "spanId": span.span,
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": str(span.began_ns),
        "endTimeUnixNano": str(span.ended_ns),
        "attributes": _attributes(span.attributes),
    }
    if span.parent:
        told["parentSpanId"] = span.parent
    if span.state:
        told["traceState"] = span.state
    if span.is_error:
        told["status"] = _ERROR
    return told


def _attributes(values: Mapping[str, Value]) -> list[dict[str, Any]]:
    return [
        {"key": name, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}
        for name, value in values.items()
    ]
