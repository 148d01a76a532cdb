from __future__ import annotations

import base64
import gzip
import io
import random
import zipfile
import zlib
from collections.abc import Iterator

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from interpose.core.hold import Content, HeldMessage, What
from interpose.storage.desk.editing import (
    CHARSETS,
    MAX_HEX_BYTES,
    MAX_TEXT_BYTES,
    EditedMessage,
    NotEditable,
    Read,
    Shown,
    edited,
    shown,
)


def message(content: bytes, *fields: str, what: What = What.REQUEST) -> HeldMessage:
    section = "".join(f"{line}\r\n" for line in fields).encode("latin-1")
    start = {"method": "POST", "target": "http://a.example/x?y"} if what is What.REQUEST else {}
    if what is What.RESPONSE:
        return HeldMessage(what, status=200, reason="OK", fields=section, content=Content.of(content))
    return HeldMessage(what, fields=section, content=Content.of(content), **start)


def reading(content: bytes) -> Read:
    """The content in small pieces, as a file gives it."""

    def read() -> Iterator[bytes]:
        return (content[at : at + 1000] for at in range(0, len(content), 1000))

    return read


def show(content: bytes, *fields: str) -> Shown:
    return shown(message(content, *fields), reading(content))


def edit(before: HeldMessage, **change: object) -> HeldMessage:
    return edited(before, EditedMessage(**change), reading(before.content.data))  # type: ignore[arg-type]


CODERS = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress, "zstd": zstandard.compress}
DECODERS = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "br": brotli.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}


@pytest.mark.parametrize(
    ("content", "type_", "kind", "text"),
    [
        (b"", "", "text", ""),
        (b"plain", "", "text", "plain"),
        (b'{"a":  1}', "application/json", "json", '{"a":  1}'),
        (b"[1]", "application/problem+json; charset=utf-8", "json", "[1]"),
        (b"a=1&b=2", "application/x-www-form-urlencoded", "form", "a=1&b=2"),
        (b"<a/>", "image/svg+xml", "text", "<a/>"),
        (b"\xef\xbb\xbfbom", "text/plain", "text", "\ufeffbom"),
        (b"caf\xe9", "text/plain; charset=ISO-8859-1", "text", "caf\xe9"),
        (b"caf\xe9", 'text/plain;charset="latin1"', "text", "caf\xe9"),
        (b"caf\xe9", "text/plain", "hex", None),
        ("żółw".encode("utf-16-le"), "text/plain; charset=utf-16le", "text", "żółw"),
        (b"\x83\x65", "text/plain; charset=shift_jis", "text", "テ"),
        (b"text", "text/plain; charset=rot13", "hex", None),
        (b"text", "text/plain; charset=idna", "hex", None),
        (b"text\x00", "text/plain", "hex", None),
        (b"text\x1b[2J", "text/plain", "hex", None),
        (b"tab\tand\r\nlines\n", "text/plain", "text", "tab\tand\r\nlines\n"),
        (b"looks like text", "image/png", "hex", None),
        (b"looks like text", "application/pdf", "hex", None),
        (b"looks like text", "application/octet-stream", "text", "looks like text"),
        (b"\x00\x01", "application/octet-stream", "hex", None),
    ],
)
def test_content_is_text_where_it_is_text(content: bytes, type_: str, kind: str, text: str | None) -> None:
    seen = show(content, *([f"Content-Type: {type_}"] if type_ else []))
    assert (seen.kind, seen.text, seen.octets, seen.why_not) == (kind, text, content, "")


@pytest.mark.parametrize("coding", list(CODERS))
def test_coded_content_is_shown_decoded_and_coded_again_when_it_was_edited(coding: str) -> None:
    before = message(CODERS[coding](b"some words"), f"Content-Encoding: {coding}")
    seen = shown(before, reading(before.content.data))
    assert (seen.text, seen.coding) == ("some words", coding)
    after = edit(before, text="other words")
    assert DECODERS[coding](after.content.data) == b"other words"
    assert after.fields == before.fields


@pytest.mark.parametrize("coding", list(CODERS))
def test_what_nobody_changed_stays_as_it_came_octet_for_octet(coding: str) -> None:
    content = CODERS[coding](b"some words" * 100)
    before = message(content, f"Content-Encoding: {coding}", "X-A:  two  spaces", "X-A: again", "x-lower: \xe9")
    seen = shown(before, reading(content))
    pairs = [("Content-Encoding", coding), ("X-A", " two  spaces"), ("X-A", "again"), ("x-lower", "\xe9")]
    assert edit(before, text=seen.text, fields=pairs, method="POST", url="http://a.example/x?y") == before
    after = edit(before, text=seen.text, method="PUT")
    assert after.content == before.content


def test_the_coding_is_that_of_the_fields_as_they_are_edited() -> None:
    before = message(gzip.compress(b"words"), "Content-Encoding: gzip")
    assert edit(before, text="words", fields=[("X", "y")]).content == Content.of(b"words")
    after = edit(before, text="words", fields=[("Content-Encoding", "br")])
    assert brotli.decompress(after.content.data) == b"words"
    untouched = edit(before, fields=[("X", "y")])
    assert untouched.content == before.content
    with pytest.raises(NotEditable, match="'rot13'"):
        edit(before, text="words", fields=[("Content-Encoding", "rot13")])


def test_text_is_written_in_the_charset_of_the_fields_as_they_are_edited() -> None:
    before = message(b"caf\xe9", "Content-Type: text/plain; charset=iso-8859-1")
    assert edit(before, text="cafés").content.data == b"caf\xe9s"
    utf8 = [("Content-Type", "text/plain; charset=utf-8")]
    assert edit(before, text="café", fields=utf8).content.data == b"caf\xc3\xa9"
    with pytest.raises(NotEditable, match="cannot be written in its charset"):
        edit(before, text="€")
    with pytest.raises(NotEditable, match="charset in Content-Type is not one"):
        edit(before, text="x", fields=[("Content-Type", "text/plain; charset=rot13")])


@pytest.mark.parametrize(
    ("before", "given", "after"),
    [
        (b"one\r\ntwo\r\n", "one\ntwo\n", b"one\r\ntwo\r\n"),
        (b"one\r\ntwo\r\n", "one\nTWO\n", b"one\r\nTWO\r\n"),
        (b"one\ntwo\n", "one\nTWO\n", b"one\nTWO\n"),
        (b"one\r\ntwo\n", "one\ntwo\n", b"one\ntwo\n"),
        (b"one\r\ntwo\r\n", "one\r\ntwo\n", b"one\r\ntwo\n"),
        (b"one", "one\n", b"one\n"),
    ],
)
def test_lines_end_as_they_did_though_an_editor_knows_one_kind_of_end(before: bytes, given: str, after: bytes) -> None:
    assert edit(message(before), text=given).content.data == after


def test_octets_are_edited_as_base64() -> None:
    before = message(b"\x00\x01", "Content-Type: image/png")
    assert edit(before, base64=base64.b64encode(b"\x02").decode()).content == Content.of(b"\x02")
    assert edit(before, base64="AAE=") == before
    for wrong in ("AAE", "A*E=", "AAE=\n"):
        with pytest.raises(NotEditable, match="not base64"):
            edit(before, base64=wrong)
    with pytest.raises(NotEditable, match="not as both"):
        edit(before, base64="AAE=", text="x")


def test_parts_of_the_head_are_held_to_the_grammar() -> None:
    before = message(b"", "A: b")
    after = edit(before, method="PATCH", url="HTTPS://B.example:444/%7efoo?a", fields=[("C", "d"), ("C", "e")])
    assert (after.method, after.target, after.fields) == ("PATCH", "https://b.example:444/~foo?a", b"C: d\r\nC: e\r\n")
    response = message(b"", what=What.RESPONSE)
    answer = edit(response, status=404, reason="Gone Fishing")
    assert (answer.status, answer.reason) == (404, "Gone Fishing")


@pytest.mark.parametrize(
    ("what", "change", "says"),
    [
        (What.REQUEST, {"method": "GE T"}, "is not a method"),
        (What.REQUEST, {"method": ""}, "is not a method"),
        (What.REQUEST, {"url": "/path"}, "not a whole URL"),
        (What.REQUEST, {"url": "ftp://a.example/"}, "scheme ftp"),
        (What.REQUEST, {"url": "http://a.example/a b"}, "space"),
        (What.REQUEST, {"url": "http://a.example/\r\nX: y"}, "control character"),
        (What.REQUEST, {"url": "http://a.example/ż"}, "beyond ASCII"),
        (What.REQUEST, {"fields": [("A b", "c")]}, "not a field name"),
        (What.REQUEST, {"fields": [("A", "b\r\nC: d")]}, "control characters"),
        (What.REQUEST, {"fields": [("A", "ż")]}, "outside Latin-1"),
        (What.REQUEST, {"status": 404}, "A request has no status"),
        (What.RESPONSE, {"status": 99}, "cannot be the status"),
        (What.RESPONSE, {"status": 101}, "cannot be the status"),
        (What.RESPONSE, {"status": 204}, "has no content"),
        (What.RESPONSE, {"reason": "a\nb"}, "control characters"),
        (What.RESPONSE, {"method": "GET"}, "A response has no method"),
        (What.RESPONSE, {"url": "http://a.example/"}, "A response has no URL"),
        (What.CHUNK, {"fields": [("A", "b")]}, "A chunk has no fields"),
        (What.DATAGRAM, {"method": "GET"}, "A datagram has no method"),
        (What.REQUEST, {"text": "x" * (MAX_TEXT_BYTES + 1)}, "the most that can be edited here"),
    ],
)
def test_an_edit_that_cannot_be_sent_is_refused_in_words(what: What, change: dict[str, object], says: str) -> None:
    with pytest.raises(NotEditable, match=says) as caught:
        edit(message(b"content", what=what), **change)
    assert str(caught.value).endswith(".")


def test_an_answer_without_content_may_have_none_taken_away() -> None:
    after = edit(message(b"content", what=What.RESPONSE), status=204, text="")
    assert (after.status, after.content) == (204, Content())


def test_framing_never_gets_into_the_fields() -> None:
    pairs = [("Content-Length", "7"), ("A", "b"), ("Transfer-Encoding", "chunked"), ("Connection", "close, A")]
    assert edit(message(b""), fields=pairs).fields == b"A: b\r\n"


@given(st.binary(max_size=300), st.sampled_from(sorted(CHARSETS)), st.sampled_from(["", *CODERS]))
@settings(max_examples=300, deadline=None)
def test_any_content_given_back_as_it_was_shown_is_the_same(content: bytes, charset: str, coding: str) -> None:
    data = CODERS[coding](content) if coding else content
    fields = [f"Content-Type: text/plain; charset={charset}", *([f"Content-Encoding: {coding}"] if coding else [])]
    before = message(data, *fields)
    seen = shown(before, reading(data))
    assert seen.octets == content
    if seen.text is None:
        assert edit(before, base64=base64.b64encode(seen.octets).decode()) == before
    else:
        assert edit(before, text=seen.text) == before


def zipped(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, content)
    return file.getvalue()


SCRIPT = b"<script>alert(1)</script>"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)
# Content that is more than one thing, or another thing than it says: (what it says it is, octets, what it is shown as).
POLYGLOTS = [
    ("image/png", PNG + SCRIPT, "hex"),
    ("image/png", SCRIPT, "hex"),
    ("image/gif", b"GIF89a/*" + SCRIPT + b"*/=1;", "hex"),
    ("image/jpeg", b"\xff\xd8\xff\xe0" + SCRIPT, "hex"),
    ("image/svg+xml", b"<svg onload='alert(1)' xmlns='http://www.w3.org/2000/svg'/>", "text"),
    ("text/html", b"<html>" + SCRIPT, "text"),
    ("text/html", PNG, "hex"),
    ("text/html", "<script>".encode("utf-7"), "text"),
    ("text/html; charset=utf-7", b"+ADw-script+AD4-", "hex"),
    ("text/html; charset=utf-16", SCRIPT + b"!", "hex"),
    ("text/html; charset=utf-16le", SCRIPT + b"!", "text"),
    ("text/html; charset=unicode_escape", b"\\x3cscript\\x3e", "hex"),
    ("application/json", b'{"a": "</script><script>alert(1)</script>"}', "json"),
    ("application/json", b"\xff\xfe{\x00}\x00", "hex"),
    ("application/json", b"[" * 100_000, "json"),
    ("application/json", zipped("a.json", b"{}"), "hex"),
    ("application/pdf", b"%PDF-1.7\n" + SCRIPT, "hex"),
    ("application/pdf", b"<html>" + SCRIPT, "hex"),
    ("application/zip", zipped("../../etc/passwd", b"x"), "hex"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", zipped("w.xml", b"<a/>"), "hex"),
    ("application/msword", b"{\\rtf1\\object}", "hex"),
    ("text/rtf", b"{\\rtf1\\object}", "text"),
    ("application/x-www-form-urlencoded", b"a=%3Cscript%3E", "form"),
    ("application/x-www-form-urlencoded", b"a=\x00", "hex"),
    ("multipart/form-data; boundary=b", b"--b\r\n\r\n" + PNG + b"\r\n--b--\r\n", "hex"),
    ("text/plain", b"\x1b]0;title\x07", "hex"),
    ("text/plain", b"a\x7fb", "hex"),
    ("text/plain", b"\xc0\xaf", "hex"),
    ("text/plain", b"\xed\xa0\x80", "hex"),
    ("text/plain", "\u202egnp.exe".encode(), "text"),
    ("", zipped("x", b"x"), "hex"),
    ("", b"MZ" + bytes(100), "hex"),
    ("application/octet-stream", SCRIPT, "text"),
    ("application/octet-stream", b"%!PS\n\xff", "hex"),
]


@pytest.mark.parametrize(("type_", "content", "kind"), POLYGLOTS)
def test_a39_what_is_not_only_text_is_shown_as_octets(type_: str, content: bytes, kind: str) -> None:
    before = message(content, *([f"Content-Type: {type_}"] if type_ else []))
    seen = shown(before, reading(content))
    assert seen.kind == kind
    assert (seen.text is None) == (kind == "hex")
    # Looked at again after an edit: what was made of it decides, and not what it was.
    after = edit(before, base64=base64.b64encode(b"\x00" + content).decode())
    assert shown(after, reading(after.content.data)).kind == "hex"


def test_a39_of_long_content_only_a_begin_is_read() -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 65536
            yield b"x" * 65536

    seen = shown(message(b"", "Content-Type: text/plain"), endless)
    assert (seen.kind, seen.text, seen.octets, len(seen.begin)) == ("file", None, None, MAX_HEX_BYTES)
    assert "longer than 2 MiB" in seen.why_not
    assert taken <= MAX_TEXT_BYTES + 65536


def test_a39_text_of_2_mib_is_edited_and_one_octet_more_is_not() -> None:
    assert show(b"x" * MAX_TEXT_BYTES).kind == "text"
    before = message(b"x" * (MAX_TEXT_BYTES + 1))
    assert shown(before, reading(before.content.data)).kind == "file"
    with pytest.raises(NotEditable, match="longer than 2 MiB"):
        edit(before, text="short")
    assert edit(before, method="PUT").content == before.content
    octets = random.Random(1).randbytes(MAX_HEX_BYTES + 1)
    assert show(octets).kind == "file"
    assert show(octets[:-1]).kind == "hex"


@pytest.mark.parametrize(
    ("coding", "content", "says"),
    [
        ("gzip", gzip.compress(bytes(10 << 20)), "100 times its size"),
        ("gzip", gzip.compress(random.Random(1).randbytes(3 << 20)), "longer than 2 MiB"),
        ("gzip", b"not gzip at all", "not what its coding says"),
        ("gzip", gzip.compress(b"cut")[:-3], "ends before its coding does"),
        ("br", b"\xff\xff", "not what its coding says"),
        ("gzip, gzip", gzip.compress(gzip.compress(b"twice")), "gzip, gzip"),
        ("exi", b"what is this", "'exi'"),
    ],
    ids=["bomb", "too long", "not gzip", "cut", "not br", "twice", "unknown"],
)
def test_a29_a39_what_cannot_be_decoded_is_shown_as_it_is_stored(coding: str, content: bytes, says: str) -> None:
    before = message(content, f"Content-Encoding: {coding}", "Content-Type: text/plain")
    seen = shown(before, reading(content))
    assert seen.text is None
    assert says in seen.why_not
    if seen.kind == "hex":
        assert seen.begin == content[:MAX_HEX_BYTES]
    with pytest.raises(NotEditable):
        edit(before, text="x")
    assert edit(before, method="PUT").content == before.content
