"""Holds as people are shown them: plain values, ready to be JSON."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from interpose.core.hold import HeldMessage, Mode, Verdict, What
from interpose.storage.desk.audit import Entry
from interpose.storage.desk.contents import Damaged
from interpose.storage.desk.editing import pairs_of, shown
from interpose.storage.desk.kept import Kept, State
from interpose.storage.desk.messages import ORIGINAL, Messages


class HoldRow(msgspec.Struct, frozen=True, kw_only=True):
    """A hold in a list. Times are seconds since 1970."""

    id: str
    what: What
    state: State
    mode: Mode
    client_waits: bool
    method: str
    url: str
    status: int
    rule: str
    client: str
    user: str
    at: float
    deadline: float | None
    on_timeout: Verdict
    size: int
    type: str
    version: int
    reviewers: list[str]
    verdict: Verdict | None
    by: str
    outcome: str | None
    attempts: int
    next_try: float | None


class ContentView(msgspec.Struct, frozen=True, kw_only=True):
    """Content to look at: `text`, or `hex` of its first octets. `size` is that of the decoded content when it is all
    here, else of what is stored; `why_not` says why it cannot be edited."""

    kind: str
    text: str | None
    hex: str | None
    coding: str
    charset: str
    size: int
    stored_size: int
    sha256: str
    editable: bool
    why_not: str


class MessageView(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a message."""

    what: What
    method: str
    url: str
    status: int
    reason: str
    fields: list[tuple[str, str]]
    content: ContentView
    digest: str


class HoldView(HoldRow, frozen=True, kw_only=True):
    """All of a hold. `original` is the message as it came, until it is settled; None when nobody edited it."""

    digest: str
    reason: str
    why: str
    fields: list[tuple[str, str]]
    content: ContentView
    request: MessageView | None
    original: MessageView | None
    audit: list[Entry]


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """Some holds, the newest first, and how many wait in all."""

    holds: list[HoldRow]
    waiting: int


class AuditPage(msgspec.Struct, frozen=True, kw_only=True):
    """Entries, oldest first. `sound`: every entry of the audit is the one that was made."""

    entries: list[Entry]
    sound: bool


def row_of(hold: Kept, client_waits: bool, reviewers: Sequence[str]) -> HoldRow:
    """A hold as a list has it."""
    host, port = hold.client
    client = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return HoldRow(
        id=hold.id, what=hold.what, state=hold.state, mode=hold.mode, client_waits=client_waits, method=hold.method,
        url=hold.target, status=hold.status, rule=hold.rule, client=client,
        user=hold.user, at=hold.at, deadline=hold.deadline, on_timeout=hold.on_timeout, size=hold.size, type=hold.type,
        version=hold.version, reviewers=list(reviewers), verdict=hold.verdict, by=hold.by, outcome=hold.outcome,
        attempts=hold.attempts, next_try=hold.next_try,
    )  # fmt: skip


def hold_of(
    hold: Kept, messages: Messages, request: HeldMessage | None, entries: list[Entry], row: HoldRow
) -> HoldView:
    """All of a hold; what of it is damaged is said where its content would be."""
    original = None
    try:
        message = message_of(messages.current(hold), messages)
        if hold.version != ORIGINAL and (before := messages.get(hold, ORIGINAL)) is not None:
            original = message_of(before, messages)
    except Damaged as damage:
        message = _damaged(hold, str(damage))
    return HoldView(
        **{name: getattr(row, name) for name in HoldRow.__struct_fields__},
        digest=hold.digest.hex(),
        reason=message.reason,
        why=hold.why,
        fields=message.fields,
        content=message.content,
        request=None if request is None else message_of(request, messages),
        original=original,
        audit=entries,
    )


def message_of(message: HeldMessage, messages: Messages) -> MessageView:
    """A message, its content as far as it can be shown. Damaged."""
    content = message.content
    seen = shown(message, lambda: messages.contents.pieces(content))
    view = ContentView(
        kind=seen.kind,
        text=seen.text,
        hex=seen.begin.hex() if seen.text is None else None,
        coding=seen.coding,
        charset=seen.charset,
        size=content.size if seen.octets is None else len(seen.octets),
        stored_size=content.size,
        sha256=content.sha256.hex(),
        editable=not seen.why_not,
        why_not=seen.why_not,
    )
    return MessageView(
        what=message.what, method=message.method, url=message.target, status=message.status, reason=message.reason,
        fields=pairs_of(message.fields), content=view, digest=message.digest.hex(),
    )  # fmt: skip


def _damaged(hold: Kept, why: str) -> MessageView:
    content = ContentView(
        kind="hex", text=None, hex="", coding="", charset="", size=hold.size, stored_size=hold.size, sha256="",
        editable=False, why_not=why,
    )  # fmt: skip
    return MessageView(
        what=hold.what, method=hold.method, url=hold.target, status=hold.status, reason="", fields=[], content=content,
        digest=hold.digest.hex(),
    )  # fmt: skip
