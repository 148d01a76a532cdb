"""Contents as scripts read and replace them: `interpose.read`, `interpose.replace`."""

import gzip
import zlib

import brotli
import pytest
import zstandard
from tests.support.scripted import request

from interpose import read, replace
from interpose.core.body import Body
from interpose.core.failure import Failure
from interpose.core.fields import Fields
from interpose.core.message import Response

CODED = {
    "gzip": gzip.compress(b"hello"),
    "deflate": zlib.compress(b"hello"),
    "br": brotli.compress(b"hello"),
    "zstd": zstandard.compress(b"hello"),
}
OF_THE_OLD = {"ETag": '"a"', "Content-Digest": "sha-256=:x:", "Repr-Digest": "sha-256=:x:", "Content-MD5": "x",
              "Accept-Ranges": "bytes"}  # fmt: skip


def response(data: bytes, **fields: str) -> Response:
    return Response(200, Fields([(name.replace("_", "-"), value) for name, value in fields.items()]), Body(data))


@pytest.mark.parametrize("coding", CODED)
async def test_what_is_read_is_plain_and_so_is_what_goes_on(coding: str) -> None:
    message = response(CODED[coding], Content_Encoding=coding, **OF_THE_OLD)
    message.body.trailers = Fields([("X-Last", "1")])
    assert await read(message) == b"hello"
    assert list(message.fields) == []
    assert message.body.trailers == Fields([("X-Last", "1")])
    assert await message.body.read(10) == b"hello"


async def test_what_is_plain_already_keeps_its_fields() -> None:
    message = response(b"hello", **OF_THE_OLD)
    assert await read(message) == b"hello"
    assert dict(message.fields) == OF_THE_OLD
    assert await read(message) == b"hello"


async def test_no_content_stays_as_it_was_said_to_be() -> None:
    head = response(b"", Content_Encoding="gzip", ETag='"a"')
    assert await read(head) == b""
    assert dict(head.fields) == {"Content-Encoding": "gzip", "ETag": '"a"'}


async def test_the_content_of_a_request_is_read_in_the_same_way() -> None:
    message = request(Body(CODED["gzip"]))
    message.fields.set("Content-Encoding", "gzip")
    assert await read(message) == b"hello"
    assert list(message.fields) == []
    assert (await message.copy().body.read(10)) == b"hello"


@pytest.mark.parametrize("content", [b"x" * 101, gzip.compress(bytes(1 << 20)), gzip.compress(bytes(101))])
async def test_a29_what_is_too_long_is_a_failure_of_whose_it_is(content: bytes) -> None:
    coding = {"Content-Encoding": "gzip"} if content[:2] == b"\x1f\x8b" else {}
    asked = request(Body(content))
    asked.fields = Fields(list(coding.items()))
    limit = 100 if len(content) < 200 else 2000
    with pytest.raises(Failure) as of_request:
        await read(asked, limit)
    with pytest.raises(Failure) as of_response:
        await read(Response(200, Fields(list(coding.items())), Body(content)), limit)
    assert (of_request.value.status, of_request.value.kind) == (413, "http_request_error")
    assert (of_response.value.status, of_response.value.kind) == (502, "http_response_body_size")


@pytest.mark.parametrize(
    ("content", "coding"), [(b"no gzip", "gzip"), (CODED["gzip"][:-4], "gzip"), (b"x", "gzip, br"), (b"x", "rot13")]
)
async def test_what_is_not_what_its_coding_says_is_a_failure(content: bytes, coding: str) -> None:
    with pytest.raises(Failure) as failed:
        await read(response(content, Content_Encoding=coding))
    assert failed.value.status == 502
    asked = request(Body(content))
    asked.fields.set("Content-Encoding", coding)
    with pytest.raises(Failure) as failed:
        await read(asked)
    assert failed.value.status == 400


@pytest.mark.parametrize("content", ["héllo", "héllo".encode()])
async def test_another_content_has_no_field_of_the_old_one(content: str | bytes) -> None:
    message = response(CODED["br"], Content_Encoding="br", Content_Type="text/plain", **OF_THE_OLD)
    replace(message, content)
    assert dict(message.fields) == {"Content-Type": "text/plain"}
    assert message.body.length == 6
    assert await message.body.read(10) == "héllo".encode()
