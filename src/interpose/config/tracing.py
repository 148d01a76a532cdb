"""The filters that traces take, as configured."""

from __future__ import annotations

from interpose.config.metrics_model import Traces
from interpose.config.model import Config
from interpose.config.outgoing import service_at
from interpose.config.parts import Parts
from interpose.config.step import Step
from interpose.config.urls import page_of
from interpose.core.handler import Phase
from interpose.core.version import __version__
from interpose.engine.span_exporter import Counts, SpanExporter
from interpose.filters.spans import Spans
from interpose.filters.trace import Trace
from interpose.protocol.otlp import PATH


def trace_step(config: Config, traces: Traces, parts: Parts) -> Step:
    """What notes traces, or makes exchanges spans of them."""
    if not traces.otlp:
        detail = "begins those that are missing" if traces.start else "noted"
        return Step(Phase.OBSERVE, "trace", detail, lambda: Trace(start=traces.start))
    target = page_of(traces.otlp).target
    detail = f"spans to {target.origin}"
    return Step(
        Phase.OBSERVE, "trace", detail, lambda: Spans(exporter(config, traces, parts).tell, share=traces.otlp_share)
    )


def exporter(config: Config, traces: Traces, parts: Parts) -> SpanExporter:
    """What sends spans to the collector; one for all listeners."""
    target = page_of(traces.otlp).target
    url = str(target if target.path not in ("", "/") else target._replace(path=PATH))
    client = service_at(config, parts, url, timeout_s=traces.otlp_timeout_s)
    resource = {
        "service.name": traces.service,
        "service.version": __version__,
        "service.instance.id": config.process.name,
    }
    counts = parts.get(Counts, None, Counts)
    return parts.get(SpanExporter, (client, tuple(resource.items())), lambda: SpanExporter(client, resource, counts))


def counters(parts: Parts) -> dict[str, float]:
    """Counts for the status; none without a collector."""
    made = parts.every(Counts)
    if not made:
        return {}
    return {
        "spans_total": float(sum(counts.sent for counts in made)),
        "spans_dropped_total": float(sum(counts.dropped for counts in made)),
    }
