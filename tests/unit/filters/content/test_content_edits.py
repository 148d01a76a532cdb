"""The filter of contents, over a handler that stands for all behind it."""

from __future__ import annotations

import asyncio
import gzip
import time
import tomllib
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import brotli
import msgspec
import pytest
import zstandard

from interpose.config.edit_model import Edit
from interpose.config.edits import content_filter, rule_of
from interpose.core.body import EMPTY, Body
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.handler import Answered, chain
from interpose.core.message import Request, Response
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Target
from interpose.filters.content.options import Insertion, Replacement

ROOT = Path(__file__).resolve().parents[4]
HTML = ("Content-Type", "text/html; charset=UTF-8")
MASK = Edit(name="mask", when="response.type:text/html", replace=(Replacement(text="secret", with_="***"),))
CODED: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "gzip": (gzip.compress, gzip.decompress),
    "br": (lambda data: brotli.compress(data, quality=4), brotli.decompress),
    "zstd": (
        zstandard.ZstdCompressor().compress,
        lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
    ),
    "deflate": (zlib.compress, zlib.decompress),
}


class Source:
    def __init__(self) -> None:
        self.told: list[str] = []

    def pause(self) -> None:
        self.told.append("pause")

    def resume(self) -> None:
        self.told.append("resume")

    def cancel(self) -> None:
        self.told.append("cancel")


def exchange() -> Exchange:
    return Exchange(1, 0, "web", Address("10.0.0.7", 1), 0.0)


def request(*fields: tuple[str, str], method: str = "GET", body: Body = EMPTY) -> Request:
    return Request(method, Target(Form.ABSOLUTE, "http", Authority("a.example"), "/"), Fields(fields), body)


def response(content: bytes | Body, *fields: tuple[str, str], status: int = 200) -> Response:
    return Response(status, Fields(fields), Body(content) if isinstance(content, bytes) else content)


class Server:
    """Answers with what it is given, in turn, and remembers what it was asked."""

    def __init__(self, *answers: Response) -> None:
        self._answers = list(answers)
        self.asked: list[Fields] = []
        self.contents: list[bytes] = []

    async def __call__(self, exchange: Exchange, request: Request) -> Response:
        self.asked.append(request.fields)
        self.contents.append(await request.body.read(1 << 20))
        return self._answers.pop(0)


async def edited(edit: Edit, answer: Response, asked: Request | None = None, on: Exchange | None = None) -> Response:
    return await content_filter((edit,))(on or exchange(), asked or request(), Server(answer))


async def content(answer: Response) -> bytes:
    return await answer.body.read(1 << 26)


async def test_a42_a_short_answer_is_edited_at_once_and_says_what_holds_of_it_now() -> None:
    about = [
        HTML,
        ("ETag", '"v1"'),
        ("Last-Modified", "Fri, 01 Aug 2025 08:00:00 GMT"),
        ("Content-Digest", "sha-256=:AAAA:"),
        ("Digest", "md5=x"),
        ("Accept-Ranges", "bytes"),
        ("Cache-Control", "max-age=60"),
    ]
    on = exchange()
    answer = await edited(MASK, response(b"a secret", *about), on=on)
    assert answer.body.length == len(b"a ***")
    assert await content(answer) == b"a ***"
    tag = answer.fields["etag"]
    assert tag.startswith('W/"v1+e')
    assert list(answer.fields) == [HTML, ("ETag", tag), ("Cache-Control", "max-age=60")]
    assert on.notes["edited"] == "mask"


@pytest.mark.parametrize(
    "fields",
    [
        [("Content-Type", "image/png")],
        [("Content-Type", "text/plain")],
        [],
    ],
    ids=str,
)
async def test_what_the_rule_does_not_mean_is_the_same_object_as_before(fields: list[tuple[str, str]]) -> None:
    before = response(b"secret", *fields, ("ETag", '"v1"'))
    body = before.body
    answer = await edited(MASK, before)
    assert answer.body is body
    assert list(answer.fields) == [*fields, ("ETag", '"v1"')]


async def test_what_no_rule_can_mean_costs_no_coroutine() -> None:
    answered = Answered(response(b"secret", HTML))
    filter_ = content_filter((Edit(when="host:b.example", replace=(Replacement(text="secret"),)),))
    assert filter_(exchange(), request(), lambda exchange, request: answered) is answered


@pytest.mark.parametrize("coding", [*CODED])
@pytest.mark.parametrize("size", [1, 8000, 30_000])
async def test_a_coding_is_undone_and_made_again(coding: str, size: int) -> None:
    make, undo = CODED[coding]
    random = Random(size)
    plain = b"".join([b"%d my secret\n" % random.randrange(1000) for _ in range(size)])
    for streams in (False, True):
        body = Body(make(plain))
        if streams:
            body = Body.streaming(Source(), None)
            data = make(plain)
            for start in range(0, len(data), 5000):
                body.feed(data[start : start + 5000])
            body.finish()
        answer = await edited(MASK, response(body, HTML, ("Content-Encoding", coding)))
        assert answer.fields["content-encoding"] == coding
        assert undo(await content(answer)) == plain.replace(b"secret", b"***")


async def test_what_streams_flows_on_and_is_held_back_no_longer_than_needed() -> None:
    source = Source()
    body = Body.streaming(source, 1000)
    answer = await edited(MASK, response(body, HTML))
    assert answer.body.length is None
    read = asyncio.create_task(answer.body.next_chunk())
    await asyncio.sleep(0)
    body.feed(b"first sec")
    assert await read == b"first "
    body.feed(b"ret, then")
    assert await answer.body.next_chunk() == b"***, then"
    body.finish(Fields([("Content-Digest", "sha-256=:AAAA:"), ("X-Took", "1")]))
    assert await answer.body.next_chunk() == b""
    assert answer.body.trailers is not None
    assert list(answer.body.trailers) == [("X-Took", "1")]


async def test_who_does_not_read_makes_nobody_work_and_the_server_wait() -> None:
    source = Source()
    body = Body.streaming(source, None)
    answer = await edited(MASK, response(body, HTML))

    class Slow:
        on_drain: Callable[[], None] | None = None
        taken = b""

        def write(self, chunk: bytes) -> bool:
            self.taken += chunk
            return False

        def end(self, trailers: Fields | None) -> None:
            self.taken += b"|"

        def abort(self, failure: Failure) -> None:
            raise AssertionError

    slow = Slow()
    body.feed(bytes(8 << 20))
    answer.body.pipe(slow)
    assert len(slow.taken) <= 8 << 20
    assert source.told[-1] == "pause"
    body.finish()
    while not slow.taken.endswith(b"|"):
        assert slow.on_drain is not None
        slow.on_drain()
        await asyncio.sleep(0)
    assert slow.taken == bytes(8 << 20) + b"|"


async def test_what_breaks_off_breaks_off_and_who_leaves_ends_it() -> None:
    source = Source()
    body = Body.streaming(source, None)
    answer = await edited(MASK, response(body, HTML))
    body.feed(b"some")
    assert await answer.body.next_chunk() == b"some"
    answer.body.close()
    assert source.told[-1] == "cancel"
    body = Body.streaming(Source(), None)
    answer = await edited(MASK, response(body, HTML))
    body.feed(b"some")
    body.fail(Failure("http_response_incomplete", Side.UPSTREAM, "It broke off."))
    with pytest.raises(Failure, match="It broke off"):
        await content(answer)


HOSTILE = [
    (b"\x1f\x8bno gzip", "gzip"),
    (gzip.compress(b"secret")[:-4], "gzip"),
    (gzip.compress(gzip.compress(b"secret")), "gzip, gzip"),
    (b"secret", "compress"),
]


@pytest.mark.parametrize(("data", "coding"), HOSTILE, ids=[coding for _, coding in HOSTILE])
async def test_a29_what_cannot_be_undone_goes_on_as_it_is_and_is_noted_or_is_refused(data: bytes, coding: str) -> None:
    """(THREATS A29)"""
    on = exchange()
    answer = await edited(MASK, response(data, HTML, ("Content-Encoding", coding), ("ETag", '"v1"')), on=on)
    assert await content(answer) == data
    assert answer.fields["etag"] == '"v1"'
    assert on.notes["not_edited"]
    blocking = Edit(when=MASK.when, replace=MASK.replace, on_failure="block")
    with pytest.raises(Failure) as raised:
        await edited(blocking, response(data, HTML, ("Content-Encoding", coding)), on=on)
    assert raised.value.status == 403
    assert on.notes["filter"] == "edit"


def bomb(coding: str, size: int = 64 << 20) -> bytes:
    piece = bytes(1 << 20)
    match coding:
        case "gzip" | "deflate":
            packer = zlib.compressobj(9, zlib.DEFLATED, 31 if coding == "gzip" else 15)
            return b"".join([packer.compress(piece) for _ in range(size >> 20)]) + packer.flush()
        case "br":
            return bytes(brotli.compress(bytes(size), quality=5))
    packed = zstandard.ZstdCompressor().compressobj()
    return b"".join([packed.compress(piece) for _ in range(size >> 20)]) + packed.flush()


@pytest.mark.parametrize("coding", [*CODED])
async def test_a29_a_bomb_is_seen_in_its_first_octets(coding: str) -> None:
    """(THREATS A29) It goes on as it came, whole, or not at all; little of it is ever undone."""
    data = bomb(coding)
    for policy in ("pass", "block"):
        source = Source()
        body = Body.streaming(source, len(data))
        for start in range(0, len(data), 65536):
            body.feed(data[start : start + 65536])
        body.finish()
        edit = Edit(when=MASK.when, replace=MASK.replace, on_failure=policy)
        on = exchange()
        answer = response(body, HTML, ("Content-Encoding", coding))
        if policy == "block":
            with pytest.raises(Failure):
                await edited(edit, answer, on=on)
        else:
            assert await content(await edited(edit, answer, on=on)) == data
        assert "when its coding is undone" in on.notes["not_edited"]


async def test_a29_a_bomb_behind_an_honest_beginning_is_broken_off() -> None:
    """(THREATS A29) What has begun cannot be taken back: its end is missing, and the client can see that."""
    honest = gzip.compress(bytes(range(256)) * 40)
    source = Source()
    body = Body.streaming(source, None)
    body.feed(honest)
    answer = await edited(MASK, response(body, HTML, ("Content-Encoding", "gzip")))
    reading = asyncio.create_task(answer.body.read(1 << 30))
    await asyncio.sleep(0)
    body.feed(bomb("gzip"))
    with pytest.raises(Failure, match="when its coding is undone"):
        await reading
    assert source.told[-1] == "cancel"


@pytest.mark.parametrize("policy", ["pass", "block"])
async def test_of_a_large_content_the_rest_goes_on_unedited_or_is_broken_off(policy: Any) -> None:
    plain = b"".join([b"%d secret\n" % number for number in range(20_000)])
    edit = Edit(when=MASK.when, replace=MASK.replace, max_bytes=100_000, on_failure=policy)
    body = Body.streaming(Source(), None)
    data = gzip.compress(plain)
    body.feed(data[:2000])
    on = exchange()
    answer = await edited(edit, response(body, HTML, ("Content-Encoding", "gzip")), on=on)
    reading = asyncio.create_task(answer.body.read(1 << 30))
    await asyncio.sleep(0)
    body.feed(data[2000:])
    body.finish()
    if policy == "block":
        with pytest.raises(Failure):
            await reading
    else:
        changed = gzip.decompress(await reading)
        assert changed.startswith(b"0 ***\n1 ***\n")
        assert changed.endswith(b"19999 secret\n")
    assert "more than 100000 bytes" in on.notes["not_edited"]


@pytest.mark.parametrize("charset", ["iso-8859-1", "UTF-16", '"shift_jis"'])
async def test_other_charsets_stay(charset: str) -> None:
    on = exchange()
    answer = await edited(MASK, response(b"secret", ("Content-Type", f"text/html; charset={charset}")), on=on)
    assert await content(answer) == b"secret"
    assert "charset" in on.notes["not_edited"]


@pytest.mark.parametrize("side", ["request", "response"])
async def test_no_transform_is_respected_unless_forced(side: str) -> None:
    lines = [("Cache-Control", "no-transform")]
    asked = request(*(lines if side == "request" else []))
    said = lines if side == "response" else []
    assert await content(await edited(MASK, response(b"secret", HTML, *said), asked)) == b"secret"
    forced = Edit(when=MASK.when, replace=MASK.replace, force=True)
    assert await content(await edited(forced, response(b"secret", HTML, *said), asked)) == b"***"


async def test_pages_are_edited_and_other_text_only_where_text_is_replaced() -> None:
    edit = Edit(remove=("div",), insert=(Insertion(html="!"),), replace=(Replacement(text="a", with_="b"),))
    page = b"<html><body>a<div>x</div></body></html>"
    assert await content(await edited(edit, response(page, HTML))) == b"<html><body>b!</body></html>"
    assert await content(await edited(edit, response(b"<div>a", ("Content-Type", "text/css")))) == b"<div>b"
    only_pages = Edit(remove=("div",))
    before = response(b"<div>", ("Content-Type", "application/json"), ("ETag", '"1"'))
    assert (await edited(only_pages, before)).fields["etag"] == '"1"'


async def test_the_answer_to_head_says_what_that_to_get_would() -> None:
    before = response(b"", HTML, ("ETag", '"v1"'), ("Accept-Ranges", "bytes"))
    before.declared_length = 1000
    answer = await edited(MASK, before, request(method="HEAD"))
    assert answer.declared_length is None
    assert answer.fields["etag"].startswith('W/"v1+e')
    assert "accept-ranges" not in answer.fields


async def test_contents_of_requests_are_edited_and_their_digests_taken_off() -> None:
    edit = Edit(message="request", when="method:POST", replace=(Replacement(text="secret", with_="***"),))
    server = Server(response(b""))
    asked = request(
        ("Content-Type", "application/json"),
        ("Content-Digest", "sha-256=:AAAA:"),
        ("If-Match", '"v1"'),
        method="POST",
        body=Body(b'{"a": "secret"}'),
    )
    await content_filter((edit,))(exchange(), asked, server)
    assert server.contents == [b'{"a": "***"}']
    assert list(server.asked[0]) == [("Content-Type", "application/json"), ("If-Match", '"v1"')]


async def test_a42_a_tag_comes_back_without_its_mark_and_a_304_has_it() -> None:
    server = Server(
        response(b"secret", HTML, ("ETag", '"v1"')),
        response(b"", ("ETag", '"v1"'), status=304),
        response(b"", ("ETag", '"v1"'), status=304),
    )
    filter_ = content_filter((MASK,))
    first = await filter_(exchange(), request(), server)
    tag = first.fields["etag"]
    again = await filter_(exchange(), request(("If-None-Match", f'{tag}, "other"')), server)
    assert server.asked[1]["if-none-match"] == 'W/"v1", "other"'
    assert (again.status, again.fields["etag"]) == (304, tag)
    plain = await filter_(exchange(), request(("If-None-Match", '"v1"')), server)
    assert plain.fields["etag"] == '"v1"', "what was not edited is not edited now"


async def test_a42_a_tag_with_the_mark_of_other_rules_is_of_no_use() -> None:
    other = Edit(when=MASK.when, replace=(Replacement(text="secret", with_="xxx"),))
    tag = (await edited(other, response(b"secret", HTML, ("ETag", '"v1"')))).fields["etag"]
    server = Server(response(b"secret", HTML, ("ETag", '"v1"')))
    answer = await content_filter((MASK,))(exchange(), request(("If-None-Match", tag)), server)
    assert server.asked[0]["if-none-match"] == tag, "which no server knows"
    assert await content(answer) == b"***"


async def test_a42_two_filters_each_know_their_own_mark() -> None:
    outer, inner = content_filter((MASK,)), content_filter((Edit(replace=(Replacement(text="a", with_="b"),)),))
    server = Server(response(b"a secret", HTML, ("ETag", '"1"')), response(b"", ("ETag", '"1"'), status=304))
    both = chain([outer, inner], server)
    tag = (await both(exchange(), request())).fields["etag"]
    assert tag.count("+e") == 2
    again = await both(exchange(), request(("If-None-Match", tag)))
    assert server.asked[1]["if-none-match"] == 'W/"1"'
    assert again.fields["etag"] == tag


async def test_a_part_of_what_would_be_edited_is_asked_for_again_whole() -> None:
    part = response(b"ret", HTML, ("Content-Range", "bytes 3-5/8"), status=206)
    server = Server(part, response(b"a secret", HTML, ("ETag", '"v1"')))
    answer = await content_filter((MASK,))(exchange(), request(("Range", "bytes=2-3")), server)
    assert "range" in server.asked[0]
    assert "range" not in server.asked[1]
    assert (answer.status, answer.fields["content-range"]) == (206, "bytes 2-3/5")
    assert await content(answer) == b"**"


@pytest.mark.parametrize(
    ("wanted", "status", "said", "data"),
    [
        ("bytes=-2", 206, "bytes 3-4/5", b"**"),
        ("bytes=9-", 416, "bytes */5", b""),
        ("bytes=0-1,3-4", 200, None, b"a ***"),
        ("pages=1", 200, None, b"a ***"),
    ],
)
async def test_parts_are_made_of_what_was_edited(wanted: str, status: int, said: str | None, data: bytes) -> None:
    answer = await edited(MASK, response(b"a secret", HTML), request(("Range", wanted)))
    assert (answer.status, answer.fields.get("content-range")) == (status, said)
    assert await content(answer) == data


async def test_parts_of_other_things_stay_parts_and_many_of_them_are_no_way_around() -> None:
    image = response(b"x", ("Content-Type", "image/png"), ("Content-Range", "bytes 0-0/8"), status=206)
    assert (await edited(MASK, image, request(("Range", "bytes=0-0")))).status == 206
    parts = response(b"--x", ("Content-Type", "multipart/byteranges; boundary=x"), status=206)
    server = Server(parts, response(b"a secret", HTML))
    answer = await content_filter((MASK,))(exchange(), request(("Range", "bytes=0-1,3-4")), server)
    assert (answer.status, await content(answer)) == (200, b"a ***")


async def test_a_date_beside_a_range_means_what_was_not_edited() -> None:
    server = Server(response(b"a secret", HTML))
    asked = request(("Range", "bytes=0-1"), ("If-Range", '"v1"'))
    answer = await content_filter((MASK,))(exchange(), asked, server)
    assert (answer.status, await content(answer)) == (200, b"a ***")


async def test_only_codings_that_can_be_undone_are_asked_for() -> None:
    for said, asked in (
        ("gzip, deflate, br, zstd", "gzip, deflate, br, zstd"),
        ("gzip;q=0.5, dcb, *", "gzip;q=0.5"),
        ("compress", "identity"),
    ):
        server = Server(response(b"x", HTML))
        await content_filter((MASK,))(exchange(), request(("Accept-Encoding", said)), server)
        assert server.asked[0]["accept-encoding"] == asked


async def test_rules_follow_one_another_and_each_asks_for_itself() -> None:
    rules = (
        Edit(name="one", replace=(Replacement(text="a", with_="b"), Replacement(text="b", with_="c"))),
        Edit(name="two", when="status:404", replace=(Replacement(text="c", with_="d"),)),
        Edit(name="three", when="request.x:1", replace=(Replacement(text="c", with_="e"),)),
    )
    for status, x, expected in ((200, "0", b"cc"), (404, "0", b"dd"), (200, "1", b"ee")):
        on = exchange()
        answer = await content_filter(rules)(on, request(("X", x)), Server(response(b"ab", HTML, status=status)))
        assert await content(answer) == expected


SHIPPED = [
    Edit(
        **{key: edit[key] for key in ("name", "when") if key in edit},
        replace=msgspec.convert(edit.get("replace", []), tuple[Replacement, ...]),
        remove=tuple(edit.get("remove", ())),
    )
    for edit in tomllib.loads((ROOT / "examples" / "filter.toml").read_text("utf-8"))["edit"]
    if "replace" in edit or "remove" in edit
]
HOSTILE_TEXTS = [
    b"4111 1111 1111 " * 4369,
    b"1" * 65536,
    b'<iframe src="' + b"ads" * 21841,
    b"<div class=" * 5957,
    b"<div data-a" * 5957,
    b"</script>" * 7281,
    b"<script>" * 8192,
]  # fmt: skip


@pytest.mark.parametrize("edit", SHIPPED, ids=[edit.name for edit in SHIPPED])
def test_a30_no_text_makes_a_rule_of_the_examples_slow(edit: Edit) -> None:
    """(THREATS A30) 64 KiB that are made to take long."""
    rule = rule_of(edit)
    for text in HOSTILE_TEXTS:
        costs = []
        for _ in range(3):
            steps = rule.steps(exchange(), is_html=True)
            began = time.process_time()
            for step in steps:
                for start in range(0, len(text), 8192):
                    step.feed(text[start : start + 8192])
                step.finish()
            costs.append(time.process_time() - began)
        assert min(costs) < 0.05, text[:12]
