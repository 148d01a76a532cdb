"""A recorded request, made ready to be sent again."""

from __future__ import annotations

from interpose.console.flow_views import pairs_of
from interpose.console.resource import Refusal
from interpose.core.hold import Content, HeldMessage, What
from interpose.core.journal import Kept
from interpose.core.record import Kind
from interpose.storage.desk.editing import EditedMessage, edited
from interpose.storage.journal.redaction import MARKER

_MARKER = MARKER.decode()


def message_to_replay(kept: Kept, content: bytes | None, change: EditedMessage | None) -> tuple[HeldMessage, list[str]]:
    """The request, and the names of fields that it had and that nobody knows any more.

    Refusal when it cannot be sent: what was no exchange, or content that was not kept whole and is not given anew.
    `edited` says what is wrong with a change (NotEditable).
    """
    record = kept.record
    if record.kind is not Kind.HTTP or record.method in ("", "CONNECT"):
        raise Refusal(409, "Only an exchange of HTTP can be sent again, not a conversation.")
    brings_content = change is not None and (change.text is not None or change.base64 is not None)
    if not brings_content and (content is None or record.request.size > len(content)):
        raise Refusal(
            409,
            f"Only {kept.request_kept} of the {record.request.size} octets of its content were kept; give the content.",
        )
    fields, missing = _without_secrets(record.request.fields, kept.request_redacted)
    whole = content if content is not None and record.request.size <= len(content) else b""
    message = HeldMessage(What.REQUEST, record.method, record.target, fields=fields, content=Content.of(whole))
    if change is None:
        return message, missing
    given = change.fields
    if given is not None:
        # What was shown in place of a secret is no value; whoever writes another one has brought the secret back.
        given = [(name, value) for name, value in given if not (name.lower() in missing and value == _MARKER)]
        missing = [name for name in missing if all(name != field.lower() for field, _ in given)]
    changed = EditedMessage(
        method=change.method, url=change.url, fields=given, text=change.text, base64=change.base64,
        status=change.status, reason=change.reason,
    )  # fmt: skip
    return edited(message, changed, lambda: (whole,)), missing


def _without_secrets(section: bytes, redacted: tuple[str, ...]) -> tuple[bytes, list[str]]:
    """The fields without those whose values are not there, and the names of these."""
    lines = [
        f"{name}: {value}\r\n".encode("latin-1") for name, value in pairs_of(section) if name.lower() not in redacted
    ]
    return b"".join(lines), list(redacted)
