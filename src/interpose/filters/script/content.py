"""Contents as scripts want them: whole, and with no coding."""

from __future__ import annotations

from typing import Final

from interpose.core.body import Body, too_large
from interpose.core.failure import Failure, bad_request, bad_response
from interpose.core.message import Request, Response
from interpose.protocol.content_coding import Bounds, CodingError, coding_of, decoded

LIMIT: Final = 1 << 20

_OF_THE_OLD: Final = ("Content-MD5", "Content-Digest", "Repr-Digest", "ETag", "Accept-Ranges")
"""Fields that speak of the octets that were there before."""


async def read(message: Request | Response, limit: int = LIMIT) -> bytes:
    """The whole content, its coding undone (gzip, br, zstd, deflate); the message goes on with exactly that content.

    `Failure` when it is longer than `limit` octets, coded or not, when it breaks off, and when it is not what its
    coding says.
    """
    is_request = isinstance(message, Request)
    trailers = message.body.trailers
    try:
        data = await message.body.read(limit)
        trailers = message.body.trailers
        coding = coding_of(message.fields.every(b"content-encoding")) if data else ""
        plain = decoded(data, coding, Bounds(max_bytes=limit))
    except CodingError as error:
        if error.is_too_much:
            raise _too_long(limit, is_request=is_request) from None
        raise bad_request(str(error)) if is_request else bad_response(str(error)) from None
    except Failure as failure:
        if failure.status == 413:
            raise _too_long(limit, is_request=is_request) from None
        raise
    if coding:
        replace(message, plain)
    else:
        message.body = Body(plain)
    message.body.trailers = trailers
    return plain


def _too_long(limit: int, *, is_request: bool) -> Failure:
    if is_request:
        return too_large(limit)
    return bad_response(f"The content is larger than {limit} bytes.", "http_response_body_size")


def replace(message: Request | Response, content: bytes | str) -> None:
    """Give a message this content, with no coding; text becomes UTF-8. Fields that speak of the old one go."""
    message.body = Body(content.encode() if isinstance(content, str) else content)
    message.fields.remove("Content-Encoding", *_OF_THE_OLD)
