"""How content is shown: by what it is, whole or cut, and whatever is wrong with it."""

from __future__ import annotations

import gzip
import time
import tracemalloc
import zlib

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from interpose.console.json_text import indented as json_indented
from interpose.console.markup import indented as markup_indented
from interpose.console.previews import MAX_HEX_BYTES, MAX_TEXT, preview_of

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 20


def typed(media_type: str, coding: str = "") -> bytes:
    """The fields of a content."""
    section = f"Content-Type: {media_type}\r\n" if media_type else ""
    return (section + (f"Content-Encoding: {coding}\r\n" if coding else "")).encode()


@pytest.mark.parametrize(
    ("content", "media_type", "kind", "text"),
    [
        (b"", "text/html", "empty", None),
        (b'{"a":[1,2.50,{"b":null}],"c":{}}', "application/json", "json",
         '{\n  "a": [\n    1,\n    2.50,\n    {\n      "b": null\n    }\n  ],\n  "c": {}\n}'),
        (b'{"a": 1, "a": 1e400}', "application/vnd.api+json; charset=utf-8", "json", '{\n  "a": 1,\n  "a": 1e400\n}'),
        (b'"a \\" b: {[,"', "application/json", "json", '"a \\" b: {[,"'),
        (b"[1, 2]", "", "json", "[\n  1,\n  2\n]"),
        (b"[not json]", "", "text", "[not json]"),
        (b"{broken", "application/json", "text", "{broken"),
        (b"<!DOCTYPE html><p>Hi <b>you</b></p><br><p>x</p>", "text/html", "html",
         "<!DOCTYPE html>\n<p>Hi\n  <b>you</b>\n</p>\n<br>\n<p>x</p>"),
        (b"<html><body>x</body></html>", "", "html", "<html>\n  <body>x</body>\n</html>"),
        (b"<pre> a\n  b</pre>", "text/html", "html", "<pre>\n a\n  b\n</pre>"),
        (b"<a><b x='1'/><c>t</c></a>", "application/xml", "xml", "<a>\n  <b x='1'/>\n  <c>t</c>\n</a>"),
        (b"<svg onload='x()'/>", "image/svg+xml", "xml", "<svg onload='x()'/>"),
        (b"a{b:c}", "text/css", "css", "a{b:c}"),
        (b"f()", "text/javascript", "script", "f()"),
        (b"f()", "application/javascript", "script", "f()"),
        (b"data: x\n\n", "text/event-stream", "event-stream", "data: x\n\n"),
        (b"plain", "text/plain", "text", "plain"),
        (b"plain", "", "text", "plain"),
        ("h\u00e9".encode("latin-1"), "text/plain; charset=iso-8859-1", "text", "h\u00e9"),
        ("h\u00e9".encode("utf-16-le"), 'text/plain; charset="utf-16-le"', "text", "h\u00e9"),
        (b"\xff\xfe\xfd", "text/plain", "hex",
         f"00000000  {'ff fe fd':48}  |...|"),
        (b"x\x00y", "text/plain; charset=punycode", "hex",
         f"00000000  {'78 00 79':48}  |x.y|"),
        (b"\x08\x96\x01\x12\x07testing", "application/x-protobuf", "protobuf", '1: 150\n2: "testing"'),
        (b"\x00\x00\x00\x00\x03\x08\x96\x01", "application/grpc", "protobuf", "message 1 (3 octets)\n1: 150"),
        (b"\x0a\x03\x08\xff\x01", "application/protobuf", "protobuf", "1 {\n  1: 255\n}"),
    ],
)  # fmt: skip
def test_content_is_shown_by_what_it_is(content: bytes, media_type: str, kind: str, text: str | None) -> None:
    preview = preview_of(content, typed(media_type))
    assert (preview.kind, preview.text, preview.cut) == (kind, text, False)
    assert preview.media_type == media_type.partition(";")[0]


def test_a_form_is_a_table() -> None:
    preview = preview_of(b"a=1&b=x+y%21&c&=&%ff=%00", typed("application/x-www-form-urlencoded"))
    assert preview.kind == "form"
    assert preview.rows == [("a", "1"), ("b", "x y!"), ("c", ""), ("", ""), ("\\xff", "\x00")]
    many = preview_of(b"&".join([b"a=b"] * 5000), typed("application/x-www-form-urlencoded"))
    assert (len(many.rows or ()), many.cut) == (1000, True)


def test_parts_of_a_form_with_files_are_told_apart() -> None:
    content = (
        b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\none\r\n'
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\n\x00\x01\x02\r\n--b--\r\n'
    )
    preview = preview_of(content, typed('multipart/form-data; boundary="b"'))
    assert preview.kind == "multipart"
    assert preview.text == (
        'Content-Disposition: form-data; name="a"\n\none\n\n'
        'Content-Disposition: form-data; name="f"; filename="x"\n\n(3 octets)'
    )
    assert preview_of(content, typed("multipart/form-data")).kind == "hex"


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a..", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
    ],
)
def test_a35_a_picture_is_one_of_four_formats_by_its_octets_alone(content: bytes, media_type: str) -> None:
    for said in (media_type, "image/svg+xml", "text/html", ""):
        preview = preview_of(content, typed(said))
        assert preview.kind == "image"
        assert (preview.image or "").startswith(f"data:{media_type};base64,")
    for fake in (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", b"<script>alert(1)</script>"):
        assert preview_of(fake, typed(media_type)).image is None


@pytest.mark.parametrize(
    ("coding", "encode"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("br", brotli.compress), ("zstd", zstandard.compress)],
)
def test_codings_are_undone(coding: str, encode) -> None:  # type: ignore[no-untyped-def]
    preview = preview_of(encode(b'{"a": 1}'), typed("application/json", coding))
    assert (preview.kind, preview.text, preview.coding) == ("json", '{\n  "a": 1\n}', coding)
    broken = preview_of(b"not " + coding.encode(), typed("application/json", coding))
    assert (broken.kind, broken.coding) == ("hex", "")
    assert broken.problem


def test_what_was_cut_off_is_shown_as_far_as_it_goes() -> None:
    numbers = b"[" + b",".join(b"%d" % number for number in range(1000)) + b"]"
    data = gzip.compress(numbers)
    preview = preview_of(data[: len(data) // 2], typed("application/json", "gzip"), is_cut=True)
    assert (preview.kind, preview.cut) == ("json", True)
    assert (preview.text or "").startswith("[\n  0,\n  1,\n  2,")
    euro = preview_of("\u20ac".encode() * 10 + b"\xe2\x82", typed("text/plain"), is_cut=True)
    assert (euro.kind, euro.text) == ("text", "\u20ac" * 10)


def test_two_codings_are_octets_with_a_reason() -> None:
    preview = preview_of(gzip.compress(gzip.compress(b"x")), typed("text/plain", "gzip, gzip"))
    assert preview.kind == "hex"
    assert "is not one of" in preview.problem


@pytest.mark.parametrize(
    ("coding", "bomb"),
    [
        ("gzip", gzip.compress(bytes(64 << 20))),
        ("br", brotli.compress(bytes(64 << 20), quality=5)),
        ("zstd", zstandard.compress(bytes(64 << 20))),
    ],
)
def test_a29_a_bomb_costs_little(coding: str, bomb: bytes) -> None:
    began = time.perf_counter()
    tracemalloc.start()
    try:
        preview = preview_of(bomb, typed("text/html", coding))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert preview.kind == "hex"
    assert peak < 16 << 20
    assert time.perf_counter() - began < 5


HARD = {
    "deep json": (b"[" * (1 << 20), "application/json"),
    "deep valid json": (b"[" * 30_000 + b"]" * 30_000, "application/json"),
    "many deep": (b"[" + b",".join([b"[" * 900 + b"]" * 900] * 500) + b"]", "application/json"),
    "open string": (b'"' + b"\\" * (1 << 20), "application/json"),
    "open comments": (b"<!--" * (1 << 18), "text/html"),
    "open tags": (b"<" * (1 << 20), "text/html"),
    "open scripts": (b"<script>" * (1 << 17), "text/html"),
    "deep tags": (b"<a>" * (1 << 18), "application/xml"),
    "one long name": (b"<" + b"a" * (1 << 20), "text/html"),
    "spaces": (b"<p>" + b" " * (1 << 20), "text/html"),
    "form": (b"&" * (1 << 20), "application/x-www-form-urlencoded"),
    "multipart": (b"--b" * (1 << 18), "multipart/mixed; boundary=b"),
    "protobuf": (b"\x0a\x02" * (1 << 15), "application/x-protobuf"),
    "nested protobuf": (b"".join(bytes([0x0A, n]) for n in range(120, 0, -2)), "application/x-protobuf"),
    "one line": (b"x" * (2 << 20), "text/plain"),
}


@pytest.mark.parametrize("name", HARD)
def test_hostile_content_is_shown_soon_and_shortly(name: str) -> None:
    content, media_type = HARD[name]
    began = time.perf_counter()
    preview = preview_of(content, typed(media_type))
    assert time.perf_counter() - began < 5
    assert len(preview.text or "") <= MAX_TEXT
    assert sum(map(len, (row for rows in preview.rows or () for row in rows))) <= MAX_TEXT


def test_octets_are_shown_from_the_beginning() -> None:
    preview = preview_of(bytes(range(256)) * 1000, typed("application/zip"))
    assert (preview.kind, preview.cut) == ("hex", True)
    assert (preview.text or "").count("\n") + 1 == MAX_HEX_BYTES // 16


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=400),
    st.sampled_from(["", "text/html", "application/json", "application/xml", "multipart/x; boundary=a",
                     "application/grpc", "application/x-www-form-urlencoded", "text/plain; charset=utf-16",
                     "application/protobuf"]),
    st.sampled_from(["", "gzip", "br", "zstd", "deflate", "x, y"]),
    st.booleans(),
)  # fmt: skip
def test_nothing_raises(content: bytes, media_type: str, coding: str, is_cut: bool) -> None:
    preview_of(content, typed(media_type, coding), is_cut=is_cut)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet='<>!-/ab "\n\t[]{},:\\pre', max_size=200))
def test_laying_out_loses_nothing_but_spaces(text: str) -> None:
    def bare(one: str) -> str:
        return "".join(one.split())

    for is_html in (True, False):
        assert bare(markup_indented(text, 10_000, is_html=is_html)[0]) == bare(text)
    if '"' not in text:
        assert bare(json_indented(text, 10_000)[0]) == bare(text)
