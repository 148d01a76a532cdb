"""Held messages: what of a request or response waits for somebody, and what goes on afterwards.

Whoever looks may have changed anything, and their word is no more believed than a client's: a method, a target and
fields are checked again before they become a request. Framing is not theirs: it comes from the content.
"""

from __future__ import annotations

from interpose.core.failure import Failure
from interpose.core.fields import HOP_BY_HOP, FieldLine, Fields, field_line
from interpose.core.hold import Content, HeldMessage, What
from interpose.core.message import Request, Response
from interpose.core.record import field_pairs
from interpose.core.target import Form
from interpose.protocol.fitness import check_request
from interpose.protocol.target import parse_target

_FRAMING = (b"content-length", b"transfer-encoding")


def held_request(request: Request, content: Content = Content()) -> HeldMessage:  # noqa: B008 - it is frozen
    """What waits of a request whose content is `content`."""
    return HeldMessage(
        What.REQUEST, request.method, str(request.target), fields=_section(request.fields), content=content
    )


def held_response(response: Response, content: Content) -> HeldMessage:
    """What waits of a response whose content is `content`."""
    return HeldMessage(
        What.RESPONSE,
        status=response.status,
        reason=response.reason.decode("latin-1"),
        fields=_section(response.fields),
        content=content,
    )


def apply_to_request(message: HeldMessage, request: Request) -> None:
    """Let `request` be what `message` says, its body excepted. ValueError, a sentence, when that is no request."""
    if message.method != request.method or message.target != str(request.target):
        try:
            target = parse_target(message.method, message.target.encode("ascii"), merge_slashes=False)
        except (Failure, UnicodeEncodeError) as error:
            raise ValueError(f"the target {message.target!r} cannot be used: {error}") from None
        if target.form is Form.ABSOLUTE and request.target.form is Form.ORIGIN:
            target = target._replace(form=Form.ORIGIN)
        elif target.form is Form.ORIGIN:  # a path alone stays with its server
            target = target._replace(scheme=request.target.scheme, authority=request.target.authority)
        request.method, request.target = message.method, target
    request.fields = fields_of(message.fields)
    request.expects_continue = False  # its content is here
    check_request(request)


def response_of(message: HeldMessage) -> Response:
    """The response that `message` says, without its body. ValueError, a sentence, when that is none."""
    if not 200 <= message.status <= 599:
        raise ValueError(f"the status {message.status} is not between 200 and 599")
    reason = message.reason.encode("latin-1", "replace")
    if any(octet < 0x20 or octet == 0x7F for octet in reason):
        raise ValueError(f"the reason {message.reason!r} has control characters")
    return Response(message.status, fields_of(message.fields), reason=reason)


def fields_of(section: bytes) -> Fields:
    """The fields of a section of ours. ValueError where somebody wrote what is no field, or one of the connection."""
    lines: list[FieldLine] = []
    for name, value in field_pairs(section):
        line = field_line(name, value)
        if line.key in _FRAMING:
            continue
        if line.key in HOP_BY_HOP:
            raise ValueError(f"{name.decode('latin-1')} belongs to one connection and is written by Interpose itself")
        lines.append(line)
    return Fields.of(lines)


def _section(fields: Fields) -> bytes:
    return b"".join([line.wire for line in fields.lines])
