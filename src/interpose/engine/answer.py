"""How an answer goes out: its framing and what its connection does afterwards. Decided here, done by the connection."""

from __future__ import annotations

from interpose.core.message import Response
from interpose.protocol import writer
from interpose.protocol.framing import CHUNKED, UNTIL_CLOSE


class AnswerPlan:
    """`framing` is a length, a mark of `protocol.framing`, or None where no framing field is written.

    `content` goes out with the head; when `streams`, the body flows after it instead.
    """

    __slots__ = ("content", "framing", "keep_alive", "streams")

    def __init__(self, framing: int | None, content: bytes, streams: bool, keep_alive: bool) -> None:
        self.framing = framing
        self.content = content
        self.streams = streams
        self.keep_alive = keep_alive

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AnswerPlan) and (
            (self.framing, self.content, self.streams, self.keep_alive)
            == (other.framing, other.content, other.streams, other.keep_alive)
        )

    __hash__ = None  # type: ignore[assignment]  # only tests compare plans

    def __repr__(self) -> str:
        return f"AnswerPlan({self.framing}, {self.content!r}, {self.streams}, {self.keep_alive})"


def switches(method: str, status: int) -> bool:
    """Whether the connection is no longer HTTP after an answer with `status` to a `method` request."""
    return status == 101 or (method == "CONNECT" and 200 <= status < 300)


def plan_answer(method: str, minor: int, response: Response, keep_alive: bool) -> AnswerPlan:
    """The plan for `response`, whose body is closed or taken where possible, to a request of this method and minor
    version ("" and 1 when it could not be read). ValueError when its status is not one of a final answer."""
    status = response.status
    body = response.body
    if not 200 <= status <= 999:
        raise ValueError(f"{status} is not the status of a final answer (200 to 999)")
    if method == "CONNECT" and status < 300:  # to its client this is a tunnel already (RFC 9112, 6.3)
        return AnswerPlan(UNTIL_CLOSE, b"", True, False)
    if status == 204 or status == 304 or method == "HEAD":
        length = response.declared_length if status != 204 else None
        if length is None and status not in (204, 304) and (body.length or not body.ended):
            length = body.length
        body.close()
        return AnswerPlan(length, b"", False, keep_alive)
    if body.is_complete and (body.trailers is None or minor == 0):
        content = body.take()
        return AnswerPlan(len(content), content, False, keep_alive)
    if body.length is not None and body.trailers is None:
        return AnswerPlan(body.length, b"", True, keep_alive)
    if minor:
        return AnswerPlan(CHUNKED, b"", True, keep_alive)
    return AnswerPlan(UNTIL_CLOSE, b"", True, False)


def answer_head(minor: int, response: Response, plan: AnswerPlan, date_line: bytes) -> bytes:
    """The head of `response` to a request of this minor version; `date_line` where its origin wrote no Date (RFC 9110,
    6.6.1)."""
    lines = response.fields.lines
    for line in lines:
        if line[0] == b"date":
            date_line = b""
            break
    connection = b""
    if not plan.keep_alive:
        connection = b"close"
    elif minor == 0:
        connection = b"keep-alive"
    return writer.response_head(response.status, response.reason, lines, plan.framing, connection, date_line)
