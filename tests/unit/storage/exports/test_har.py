"""Archives: held to what HAR 1.2 demands of each object, and taken in again."""

from __future__ import annotations

import base64
import gzip
import json
import re
from typing import Any

import pytest
from tests.support.journal_records import record

from interpose.core.record import Kind, Part, Passage, Record, Try
from interpose.storage.exports.har import archive
from interpose.storage.exports.har_reading import BadArchive, records_of

# What http://www.softwareishard.com/blog/har-12-spec/ says of each object: the fields it must have, those it may have,
# and their types. A field that begins with an underscore may be anywhere, and no other that is not named.
NUMBER = (int, float)
SCHEMA: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "har": ({"log": "log"}, {}),
    "log": ({"version": str, "creator": "creator", "entries": ["entry"]}, {"pages": list, "comment": str}),
    "creator": ({"name": str, "version": str}, {"comment": str}),
    "entry": (
        {"startedDateTime": "date", "time": NUMBER, "request": "request", "response": "response", "cache": dict,
         "timings": "timings"},
        {"serverIPAddress": str, "connection": str, "comment": str, "pageref": str},
    ),
    "request": (
        {"method": str, "url": str, "httpVersion": str, "cookies": ["cookie"], "headers": ["pair"],
         "queryString": ["pair"], "headersSize": int, "bodySize": int},
        {"postData": "post", "comment": str},
    ),
    "response": (
        {"status": int, "statusText": str, "httpVersion": str, "cookies": ["cookie"], "headers": ["pair"],
         "content": "content", "redirectURL": str, "headersSize": int, "bodySize": int},
        {"comment": str},
    ),
    "cookie": (
        {"name": str, "value": str},
        {"path": str, "domain": str, "expires": "date", "httpOnly": bool, "secure": bool, "comment": str},
    ),
    "pair": ({"name": str, "value": str}, {"comment": str}),
    "post": ({"mimeType": str, "params": list, "text": str}, {"comment": str}),
    "content": ({"size": int, "mimeType": str}, {"compression": int, "text": str, "encoding": str, "comment": str}),
    "timings": (
        {"send": NUMBER, "wait": NUMBER, "receive": NUMBER},
        {"blocked": NUMBER, "dns": NUMBER, "connect": NUMBER, "ssl": NUMBER, "comment": str},
    ),
}  # fmt: skip
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d)")


def check(value: Any, kind: Any, where: str) -> None:
    """Raise an AssertionError that says where `value` is not what the format demands."""
    if kind == "date":
        assert DATE.fullmatch(value), where
    elif isinstance(kind, list):
        assert isinstance(value, list), where
        for number, one in enumerate(value):
            check(one, kind[0], f"{where}[{number}]")
    elif isinstance(kind, str):
        required, optional = SCHEMA[kind]
        assert isinstance(value, dict), where
        assert required.keys() <= value.keys(), f"{where} lacks {required.keys() - value.keys()}"
        for name, one in value.items():
            if not name.startswith("_"):
                assert name in required or name in optional, f"{where}.{name} is no field"
                check(one, required.get(name) or optional[name], f"{where}.{name}")
    else:
        assert isinstance(value, kind), where
        assert kind is bool or not isinstance(value, bool), where


def entries_of(*records: Record) -> list[dict[str, Any]]:
    """The entries of an archive that is held to the format."""
    made = json.loads(b"".join(archive(enumerate(records, 1))))
    check(made, "har", "har")
    for entry in made["log"]["entries"]:
        spent = sum(value for value in entry["timings"].values() if value > 0)
        assert entry["time"] == pytest.approx(spent)
        assert min(entry["timings"][name] for name in ("send", "wait", "receive")) >= 0
    found: list[dict[str, Any]] = made["log"]["entries"]
    return found


def post(content: bytes, fields: bytes = b"Content-Type: text/plain\r\n") -> Record:
    return record(0, method="POST", request=Part(fields, content, len(content), 0.0))


def test_an_entry_says_who_was_asked_what_for_and_when() -> None:
    [entry] = entries_of(record(3))
    assert entry["startedDateTime"] == "2026-09-21T14:13:23.000+00:00"
    assert entry["request"]["url"] == "https://shop.example/item/3?page=3"
    assert entry["request"]["queryString"] == [{"name": "page", "value": "3"}]
    assert entry["request"]["headers"][0] == {"name": "Host", "value": "shop.example"}
    assert (entry["serverIPAddress"], entry["connection"]) == ("192.0.2.1", "5555")
    assert entry["response"]["content"] == {"size": 6, "mimeType": "text/plain", "text": "item 3"}
    rounded = {name: round(value) for name, value in entry["timings"].items()}
    assert rounded == {"blocked": 10, "dns": -1, "connect": 10, "ssl": -1, "send": 0, "wait": 80, "receive": 100}
    assert entry["_interpose"]["flow"] == 1


def test_content_is_plain_and_says_what_its_coding_saved() -> None:
    text = b"all work and no play " * 100
    coded = gzip.compress(text)
    fields = b"Content-Type: text/plain\r\nContent-Encoding: gzip\r\n"
    [entry] = entries_of(record(0, response=Part(fields, coded, len(coded), 0.2)))
    content = entry["response"]["content"]
    assert content["text"] == text.decode()
    assert content["size"] - content["compression"] == entry["response"]["bodySize"] == len(coded)


def test_octets_are_in_base64_also_those_that_were_posted() -> None:
    octets = bytes(range(256))
    exchange = post(octets, b"Content-Type: image/png\r\n")
    exchange.response = Part(b"", octets, 256, 0.2)
    [entry] = entries_of(exchange)
    assert base64.b64decode(entry["response"]["content"]["text"]) == octets
    assert entry["response"]["content"]["encoding"] == "base64"
    assert base64.b64decode(entry["request"]["postData"]["text"]) == octets


def test_cookies_are_read_where_they_were_kept() -> None:
    fields = b"Set-Cookie: id=1; Path=/a; HttpOnly; Secure\r\nSet-Cookie: [redacted]\r\n"
    [entry] = entries_of(record(0, request=Part(b"Cookie: a=1; b=2\r\n"), response=Part(fields)))
    assert entry["request"]["cookies"] == [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]
    assert entry["response"]["cookies"] == [
        {"name": "id", "value": "1", "path": "/a", "httpOnly": True, "secure": True}
    ]
    assert entry["comment"] == "Redacted in the response: Set-Cookie."


def test_what_was_cut_or_failed_is_said() -> None:
    [cut] = entries_of(record(0, response=Part(b"", b"begin", 4096, 0.2)))
    assert cut["comment"] == "Of the response's content 5 of 4096 octets were kept."
    assert cut["response"]["content"]["size"] == 4096
    [failed] = entries_of(record(0, status=0, failure="dns_error", detail="No such name.", response=Part()))
    assert (failed["response"]["status"], failed["comment"]) == (0, "dns_error: No such name.")


def test_a_damaged_coding_leaves_the_content_as_it_is() -> None:
    fields = b"Content-Encoding: gzip\r\n"
    exchange = record(0, response=Part(fields, b"no gzip", 7, 0.2))
    [entry] = entries_of(exchange)
    assert entry["response"]["content"]["text"] == "no gzip"
    [again] = records_of(b"".join(archive([(1, exchange)])))
    assert again.response == Part(fields, b"no gzip", 7)


def test_what_is_no_request_has_no_entry_and_is_counted() -> None:
    udp = record(0, kind=Kind.UDP, method="")
    tunnel = record(1, kind=Kind.TUNNEL, method="CONNECT", target="shop.example:443")
    made = json.loads(b"".join(archive([(1, udp), (2, tunnel), (3, record(2))])))
    check(made, "har", "har")
    assert len(made["log"]["entries"]) == 1
    assert made["log"]["comment"].endswith("2 tunnels and conversations.")
    check(json.loads(b"".join(archive([]))), "har", "har")


def test_an_archive_becomes_the_records_that_it_was_made_of() -> None:
    live = record(
        2, kind=Kind.WEBSOCKET, status=101, request=Part(b"Sec-WebSocket-Version: 13\r\n"), response=Part(),
        messages=[Passage(0.5, True, b"hi", 2, "text"), Passage(0.75, False, b"\x00\xff", 2, "binary")],
        messages_total=2,
    )  # fmt: skip
    plain = Part(b"Content-Type: text/plain\r\n", b"item 1", 6)
    posted = post(b"a=b")
    posted.response = plain
    given = [record(1, response=plain), posted, live]
    taken = list(records_of(b"".join(archive(enumerate(given)))))
    for was, now in zip(given, taken, strict=True):
        same = "kind started method scheme host port target request status reason response messages_total version"
        for name in same.split():
            assert getattr(now, name) == getattr(was, name), name
        assert now.duration_s == pytest.approx(was.duration_s)
        assert (now.listener, now.attempts[0].peer) == ("har", ("192.0.2.1", 443))
    assert [message.data for message in taken[2].messages] == [b"hi", b"\x00\xff"]


def chromium(**changes: Any) -> dict[str, Any]:
    """An entry as a browser writes it, with HTTP/2, nulls, and content that is said to have been compressed."""
    request = {
        "method": "GET", "url": "https://shop.example/a b?x=1#top", "httpVersion": "http/2.0", "cookies": [],
        "headers": [{"name": ":authority", "value": "shop.example"}, {"name": "accept", "value": "*/*"}],
        "queryString": [], "headersSize": -1, "bodySize": 0,
    }  # fmt: skip
    response = {
        "status": 200, "statusText": "", "httpVersion": "http/2.0", "cookies": [], "redirectURL": "",
        "headers": [{"name": "content-encoding", "value": "br"}, {"name": "x", "value": "a\r\nInjected: 1"}],
        "content": {"size": 5, "mimeType": "text/plain", "text": "hello"}, "headersSize": -1, "bodySize": -1,
    }  # fmt: skip
    known = {
        "startedDateTime": "2026-09-21T14:13:20.5Z", "time": 120.5, "request": request, "response": response,
        "cache": {}, "serverIPAddress": "[2001:db8::1]", "connection": None,
        "timings": {"blocked": 10, "dns": -1, "connect": 20, "send": 0, "wait": 70, "receive": 20.5, "ssl": None},
    }  # fmt: skip
    return {**known, **changes}


def taken(*entries: Any) -> list[Record]:
    return list(records_of(json.dumps({"log": {"version": "1.2", "entries": list(entries)}}).encode()))


def test_what_a_browser_wrote_is_read() -> None:
    [exchange] = taken(chromium())
    assert exchange.target == "https://shop.example/a%20b?x=1"
    assert exchange.request.fields == b"accept: */*\r\n"
    assert exchange.response == Part(b"x: a Injected: 1\r\n", b"hello", 5)
    assert (exchange.started, exchange.duration_s) == (1_790_000_000.5, 0.1205)
    assert exchange.response_s == pytest.approx(0.1)
    head = b"GET /a%20b?x=1 HTTP/1.1\r\nHost: shop.example\r\naccept: */*\r\n\r\n"
    assert exchange.attempts == [
        Try(
            "https://shop.example",
            0.03,
            0.03,
            exchange.response_s,
            ("", 0),
            ("2001:db8::1", 443),
            head=head,
            status=200,
        )
    ]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "it is no HAR file: "),
        (b'{"log": {"entries": [', "it is no HAR file: "),
        (b'{"log": {"entries": [5]}}', "entry 1 is none: "),
        (b'{"log": {"entries": ' + b"[" * 100_000, "it is no HAR file: "),
    ],
)
def test_what_is_no_archive_raises_a_sentence(data: bytes, sentence: str) -> None:
    with pytest.raises(BadArchive, match=sentence):
        list(records_of(data))


@pytest.mark.parametrize(
    "changes",
    [
        {"startedDateTime": "yesterday"},
        {"request": {"method": "GET", "url": "nowhere"}},
        {"request": {"method": "G ET", "url": "http://shop.example/"}},
        {"request": {"method": "GET", "url": "http://shop.example:99999/"}},
        {"response": {"status": "200"}},
        {"response": {"status": 200, "content": {"text": "not base64", "encoding": "base64"}}},
        {"response": {"status": 200, "content": {"size": 1e300}}},
    ],
)
def test_an_entry_that_is_none_is_named(changes: dict[str, Any]) -> None:
    with pytest.raises(BadArchive, match=r"^entry 2 is none: "):
        taken(chromium(), chromium(**changes))
