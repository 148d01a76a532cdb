"""Flows as people are shown them: plain values, ready to be JSON. Times of day are seconds since 1970."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import msgspec

from interpose.core.journal import TRAITS, Kept, Summary
from interpose.core.record import End, Part, Passage, Record, Try, field_pairs

MESSAGE_BYTES = 1 << 16
"""More of one message is not shown in a list of them."""

Pairs = list[tuple[str, str]]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A flow in a list."""

    id: int
    exchange: str
    kind: str
    started: float
    duration_ms: float
    listener: str
    client: str
    user: str
    method: str
    url: str
    host: str
    path: str
    status: int
    type: str
    """The media type of the response."""
    request_size: int
    response_size: int
    messages: int
    failure: str
    mark: str
    comment: str
    traits: list[str] = msgspec.field(name="is")


class AttemptTimes(msgspec.Struct, frozen=True, kw_only=True):
    """When things happened on the way upstream, counted from the flow's beginning; 0 for what did not."""

    started_ms: float
    connected_ms: float
    first_byte_ms: float


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the time went: until the request was there, until the answer began, until it was over."""

    request_ms: float
    waiting_ms: float
    response_ms: float
    total_ms: float
    attempts: list[AttemptTimes]


class PartView(msgspec.Struct, frozen=True, kw_only=True):
    """A request or a response; `redacted` names fields whose values were never written down."""

    fields: Pairs
    size: int
    kept: int
    redacted: list[str]


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    """What really went upstream once: `line` and `head` are the request as it was sent."""

    origin: str
    local: str
    peer: str
    reused: bool
    tls: str
    started_ms: float
    connected_ms: float
    first_byte_ms: float
    status: int
    failure: str
    line: str
    head: Pairs


class Flow(Row, frozen=True, kw_only=True):
    """All of a flow but its contents and messages."""

    local: str
    route: str
    tls: str
    version: int
    reason: str
    scheme: str
    port: int
    parent: str
    timings: Timings
    request: PartView
    response: PartView
    notes: dict[str, str]
    side: str
    detail: str
    attempts: list[AttemptView]
    messages_total: int
    held: str
    replay_of: int


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a conversation: `text` where it is text, else `base64`; `cut` when there was more of it."""

    n: int
    at_ms: float
    inbound: bool
    kind: str
    size: int
    cut: bool
    text: str | None
    base64: str


def row_of(summary: Summary) -> Row:
    """A flow as a list has it."""
    return Row(
        id=summary.id, exchange=summary.exchange, kind=summary.kind, started=summary.started,
        duration_ms=ms(summary.duration_s), listener=summary.listener,
        client=_end((summary.client, summary.client_port)), user=summary.user, method=summary.method,
        url=summary.target, host=_host(summary), path=path_of(summary.target), status=summary.status,
        type=summary.response_type, request_size=summary.request_size, response_size=summary.response_size,
        messages=summary.messages, failure=summary.failure, mark=summary.mark, comment=summary.comment,
        traits=[name for name, trait in TRAITS.items() if summary.traits & trait],
    )  # fmt: skip


def flow_of(kept: Kept) -> Flow:
    """A flow in full."""
    record, row = kept.record, row_of(kept.summary)
    return Flow(
        **{name: getattr(row, name) for name in Row.__struct_fields__},
        local=_end(record.local), route=record.route, tls=record.tls, version=record.version, reason=record.reason,
        scheme=record.scheme, port=record.port, parent=record.parent, timings=_timings(record),
        request=_part(record.request, kept.request_kept, kept.request_redacted),
        response=_part(record.response, kept.response_kept, kept.response_redacted),
        notes=record.notes, side=record.side, detail=record.detail,
        attempts=[_attempt(attempt) for attempt in record.attempts], messages_total=record.messages_total,
        held=record.held, replay_of=record.replay_of,
    )  # fmt: skip


def message_of(number: int, passage: Passage) -> Message:
    """A message of a conversation; the first has the number 0."""
    data = passage.data[:MESSAGE_BYTES]
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = None
    if text is not None and "\x00" in text:
        text = None
    return Message(
        n=number, at_ms=ms(passage.at_s), inbound=passage.inbound, kind=passage.kind, size=passage.size,
        cut=passage.size > len(data), text=text, base64="" if text is not None else base64.b64encode(data).decode(),
    )  # fmt: skip


def pairs_of(section: bytes) -> Pairs:
    """Name and value of each line of a field section, as text."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in field_pairs(section)]


def path_of(target: str) -> str:
    """The path and query of a URL; "" where the target is none."""
    _, scheme, rest = target.partition("://")
    _, slash, path = rest.partition("/")
    return f"/{path}" if scheme and slash else ""


def ms(seconds: float) -> float:
    """Seconds in milliseconds, to the microsecond."""
    return round(seconds * 1000, 3)


def _host(summary: Summary) -> str:
    """The host, with its port where that is not the scheme's own."""
    host = f"[{summary.host}]" if ":" in summary.host else summary.host
    usual = {"http": 80, "https": 443, "ws": 80, "wss": 443}.get(summary.scheme, 0)
    return host if summary.port in (0, usual) else f"{host}:{summary.port}"


def _end(end: End) -> str:
    host, port = end
    if not host:
        return ""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}" if port else host


def _part(part: Part, kept: int, redacted: Sequence[str]) -> PartView:
    return PartView(fields=pairs_of(part.fields), size=part.size, kept=kept, redacted=list(redacted))


def _timings(record: Record) -> Timings:
    request_s = record.request.ended_s
    response_s = record.response_s
    return Timings(
        request_ms=ms(request_s),
        waiting_ms=ms(max(0.0, (response_s or record.duration_s) - request_s)),
        response_ms=ms(max(0.0, (record.response.ended_s or record.duration_s) - response_s)) if response_s else 0.0,
        total_ms=ms(record.duration_s),
        attempts=[
            AttemptTimes(
                started_ms=ms(attempt.started_s), connected_ms=ms(attempt.connected_s),
                first_byte_ms=ms(attempt.first_byte_s),
            )
            for attempt in record.attempts
        ],
    )  # fmt: skip


def _attempt(attempt: Try) -> AttemptView:
    line, _, fields = attempt.head.partition(b"\r\n")
    return AttemptView(
        origin=attempt.origin, local=_end(attempt.local), peer=_end(attempt.peer), reused=attempt.reused,
        tls=attempt.tls, started_ms=ms(attempt.started_s), connected_ms=ms(attempt.connected_s),
        first_byte_ms=ms(attempt.first_byte_s), status=attempt.status, failure=attempt.failure,
        line=line.decode("latin-1"), head=pairs_of(fields),
    )  # fmt: skip
