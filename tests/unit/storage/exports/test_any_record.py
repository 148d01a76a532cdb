"""Whatever is in a record (one that was taken in may say anything), it becomes packets and an entry."""

from __future__ import annotations

import json
import re
import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as some
from tests.support.examples import examples

from interpose.core.record import Kind, Part, Passage, Record, Try
from interpose.storage.exports.capture import LiveCapture, capture
from interpose.storage.exports.har import archive
from interpose.storage.exports.har_reading import BadArchive, records_of

numbers = some.integers(-(2**63), 2**63 - 1) | some.integers(0, 70_000)
moments = some.floats(allow_nan=False, allow_infinity=False) | some.floats(0, 2e9)
texts = some.text(some.characters(exclude_categories=["Cs"]), max_size=12)
octets = some.binary(max_size=40)
hosts = some.sampled_from(["", "10.0.0.1", "2001:db8::1", "fe80::1%eth0", "/run/socket", "name"]) | texts
ends = some.tuples(hosts, numbers)
sections = some.sampled_from([b"", b"A: b\r\n", b"Content-Encoding: gzip\r\n", b'Cookie: a="; b\r\n']) | octets
parts = some.builds(Part, sections, octets, numbers, moments)
heads = (
    some.sampled_from([b"GET / HTTP/1.1\r\nContent-Length: 9\r\n\r\n", b"P\r\nTransfer-Encoding: chunked\r\n\r\n"])
    | octets
)
tries = some.builds(Try, texts, moments, moments, moments, ends, ends, some.booleans(), texts, heads, numbers, texts)
passages = some.builds(
    Passage, moments, some.booleans(), octets, numbers, some.sampled_from(["", "text", "close", "?"])
)
records = some.builds(
    Record,
    kind=some.sampled_from(Kind),
    exchange=texts,
    parent=texts,
    started=moments,
    duration_s=moments,
    client=ends,
    local=ends,
    tls=texts,
    version=numbers,
    method=texts,
    port=numbers,
    target=texts | some.sampled_from(["http://a/b", "https://[::1]:8/?", "://", "http://"]),
    request=parts,
    status=numbers,
    reason=texts,
    response_s=moments,
    response=parts,
    failure=texts | some.just("connection_terminated"),
    side=some.sampled_from(["", "downstream", "upstream"]),
    attempts=some.lists(tries, max_size=3),
    messages=some.lists(passages, max_size=3),
    messages_total=numbers,
)


def blocks(data: bytes) -> list[int]:
    """The kinds of the blocks of a pcapng file, each as long as it says twice."""
    kinds: list[int] = []
    while data:
        kind, size = struct.unpack("<II", data[:8])
        assert size % 4 == 0
        assert size <= len(data)
        assert struct.unpack("<I", data[size - 4 : size]) == (size,)
        kinds.append(kind)
        data = data[size:]
    return kinds


@examples(60)
@given(some.lists(records, max_size=4))
def test_any_records_become_a_whole_capture(found: list[Record]) -> None:
    kinds = blocks(b"".join(capture(found)))
    assert kinds[:3] == [0x0A0D0D0A, 1, 1]
    assert set(kinds[3:]) <= {6}
    live = LiveCapture()
    assert set(blocks(b"".join(live.packets(record) for record in found) + live.end())) <= {6}


@examples(60)
@given(some.lists(records, max_size=4))
def test_any_records_become_an_archive(found: list[Record]) -> None:
    made = json.loads(b"".join(archive(enumerate(found))))
    requests = [record for record in found if record.method and record.kind is not Kind.TUNNEL]
    assert len(made["log"]["entries"]) == len(requests)


json_values: Any = some.recursive(
    some.none() | some.booleans() | numbers | moments | texts,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@examples(60)
@given(
    request=some.fixed_dictionaries({"method": texts, "url": texts | some.just("http://h:80/p")}, optional={
        "headers": some.lists(some.fixed_dictionaries({"name": texts, "value": texts})), "postData": json_values}),
    response=some.fixed_dictionaries({"status": numbers}, optional={
        "statusText": texts, "content": json_values, "headers": json_values}),
    more=some.dictionaries(
        some.sampled_from(["time", "timings", "serverIPAddress", "_webSocketMessages"]), json_values),
)  # fmt: skip
def test_any_entry_is_read_or_refused(request: Any, response: Any, more: Any) -> None:
    entry = {"startedDateTime": "2026-09-21T14:13:20.5Z", "request": request, "response": response, **more}
    try:
        found = list(records_of(json.dumps({"log": {"entries": [entry]}}).encode()))
    except BadArchive:
        return
    for part in (found[0].request, found[0].response):
        assert re.fullmatch(rb"(?:[^\x00-\x20:\x7f]+: [^\r\n\x00]*\r\n)*", part.fields)
    assert blocks(b"".join(capture(found)))
