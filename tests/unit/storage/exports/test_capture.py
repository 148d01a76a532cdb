"""Records as captures, as tshark reads them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.journal_records import STARTED, record
from tests.support.tshark import complaints, fields, followed, objects

from interpose.core.record import Kind, Part, Passage, Record, Try
from interpose.storage.exports import capture as module
from interpose.storage.exports.capture import LiveCapture, capture

GET = b"GET /item/%d HTTP/1.1\r\nHost: shop.example\r\n\r\n"


def plain(number: int = 0, **changes: Any) -> Record:
    """An exchange without TLS, on connections of its own."""
    known: dict[str, Any] = {
        "scheme": "http",
        "port": 80,
        "target": f"http://shop.example/item/{number}",
        "response": Part(b"Content-Type: text/plain\r\n", b"item %d" % number, len(b"item %d" % number), 0.2),
        "attempts": [
            Try("http://shop.example", 0.01, 0.02, 0.1, ("10.1.1.1", 5000 + number), ("192.0.2.9", 80),
                head=GET % number, status=200)
        ],
    }  # fmt: skip
    return record(number, **{**known, **changes})


def written(directory: Path, records: Iterable[Record]) -> Path:
    file = directory / "it.pcapng"
    file.write_bytes(b"".join(capture(records)))
    assert complaints(file) == []
    return file


def conversation(kind: Kind = Kind.TCP, **changes: Any) -> Record:
    known: dict[str, Any] = {
        "kind": kind,
        "method": "",
        "scheme": "",
        "status": 0,
        "reason": "",
        "target": "10.1.1.2:5432",
        "request": Part(size=5),
        "response": Part(size=5),
        "messages": [Passage(0.1, True, b"hello", 5), Passage(0.2, False, b"HELLO", 5)],
        "messages_total": 2,
        "attempts": [Try("tcp://10.1.1.2:5432", 0.01, 0.02, 0.0, ("10.1.1.1", 5555), ("10.1.1.2", 5432))],
    }
    return record(0, **{**known, **changes})


def test_both_sides_of_an_exchange_are_read_with_their_addresses_and_times(tmp_path: Path) -> None:
    file = written(tmp_path, [plain(7)])
    asked = fields(file, "http.request", "frame.interface_name", "ip.src", "tcp.srcport", "ip.dst", "tcp.dstport",
                   "http.request.full_uri", "frame.time_epoch")  # fmt: skip
    assert asked == [
        ("clients", "10.0.0.7", "40007", "127.0.0.1", "8080", "http://shop.example/item/7", "1790000007.000000000"),
        ("origins", "10.1.1.1", "5007", "192.0.2.9", "80", "http://shop.example/item/7", "1790000007.020000000"),
    ]
    answered = fields(file, "http.response", "frame.interface_name", "http.response.code", "http.file_data")
    assert [row[:2] for row in answered] == [("origins", "200"), ("clients", "200")]
    assert set(objects(file, tmp_path / "objects").values()) == {b"item 7"}


def test_a_handshake_upstream_has_the_times_that_were_measured(tmp_path: Path) -> None:
    file = written(tmp_path, [plain()])
    found = fields(file, "tcp.flags.syn == 1 && frame.interface_name == origins", "tcp.flags.ack", "frame.time_epoch")
    assert found == [("0", "1790000000.010000000"), ("1", "1790000000.020000000")]


def test_exchanges_that_share_their_ends_are_one_stream_on_each_side(tmp_path: Path) -> None:
    kept = {"client": ("10.0.0.7", 40000)}
    tries = [Try("http://shop.example", 0.01, 0.02, 0.1, ("10.1.1.1", 5555), ("192.0.2.9", 80), number > 0, head=GET
                 % number, status=200) for number in range(3)]  # fmt: skip
    file = written(tmp_path, [plain(number, attempts=[tries[number]], **kept) for number in range(3)])
    for side in ("clients", "origins"):
        requests = fields(file, f"http.request && frame.interface_name == {side}", "tcp.stream", "http.request.uri")
        assert len({stream for stream, _ in requests}) == 1
        assert [uri.rpartition("/")[2] for _, uri in requests] == ["0", "1", "2"]
    assert len(fields(file, "tcp.flags.syn == 1 && tcp.flags.ack == 0", "frame.number")) == 2
    text = followed(file, 0)
    assert text.index("item/0 HTTP") < text.index("item 0") < text.index("item/1 HTTP") < text.index("item 1")


def test_records_that_end_out_of_order_are_written_in_order_of_time(tmp_path: Path) -> None:
    slow = plain(0, duration_s=9.0, response_s=8.0, response=Part(b"", b"late", 4, 9.0))
    file = written(tmp_path, [plain(2), plain(1), slow])
    times = [float(row[0]) for row in fields(file, "frame", "frame.time_epoch")]
    assert times == sorted(times)


def test_contents_longer_than_a_segment_are_whole(tmp_path: Path) -> None:
    content = bytes(range(256)) * 2048
    file = written(tmp_path, [plain(response=Part(b"", content, len(content), 0.2))])
    assert set(objects(file, tmp_path / "objects").values()) == {content}
    assert max(int(row[0]) for row in fields(file, "tcp", "tcp.len")) == 1460


def test_what_was_not_kept_is_said_and_the_next_exchange_is_read(tmp_path: Path) -> None:
    kept = {"client": ("10.0.0.7", 40000)}
    cut = plain(0, response=Part(b"", b"begin", 4096, 0.2), **kept)
    file = written(tmp_path, [cut, plain(1, **kept)])
    comment = "Cut: 5 of 4096 octets of the content were kept."
    assert fields(file, "frame.comment", "frame.interface_name", "frame.comment") == [
        ("origins", comment),
        ("clients", comment),
    ]
    on_the_client = fields(file, "http.response && frame.interface_name == clients", "http.content_length")
    assert on_the_client == [("5",), ("6",)]


def test_a_request_with_content_goes_upstream_as_its_head_says(tmp_path: Path) -> None:
    chunked = b"POST /item/0 HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n"
    counted = b"POST /item/1 HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 5\r\n\r\n"
    records = [
        plain(number, method="POST", request=Part(b"Content-Type: text/plain\r\n", b"a=b&c", 5, 0.0),
              attempts=[Try("http://shop.example", 0.01, 0.02, 0.1, ("10.1.1.1", 5000 + number), ("192.0.2.9", 80),
                            head=head, status=200)])
        for number, head in enumerate((chunked, counted))
    ]  # fmt: skip
    file = written(tmp_path, records)
    sent = fields(file, "http.request", "http.file_data")
    assert [bytes.fromhex(data.replace(":", "")) if ":" in data else data.encode() for (data,) in sent] == [
        b"a=b&c"
    ] * 4


def test_heads_without_content_are_followed_by_nothing(tmp_path: Path) -> None:
    kept = {"client": ("10.0.0.7", 40000), "attempts": []}
    head = plain(0, method="HEAD", response=Part(b"", b"", 0, 0.0), **kept)
    fresh = plain(1, status=304, reason="Not Modified", response=Part(b"", b"", 0, 0.0), **kept)
    file = written(tmp_path, [head, fresh, plain(2, **kept)])
    assert [row[0] for row in fields(file, "http.response", "http.response.code")] == ["200", "304", "200"]


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_tcp_and_udp_are_followed(tmp_path: Path, family: str) -> None:
    ends: dict[str, Any] = {}
    if family == "v6":
        ends = {"client": ("fe80::1%eth0", 40000), "local": ("fe80::2%eth0", 9000)}
    file = written(tmp_path, [conversation(**ends), conversation(Kind.UDP, **ends)])
    assert "hello" in followed(file, 0)
    assert "HELLO" in followed(file, 1)
    datagrams = fields(file, "udp", "frame.interface_name", "udp.length")
    assert datagrams == [("clients", "13"), ("origins", "13"), ("clients", "13"), ("origins", "13")]
    assert len(fields(file, "tcp.flags.fin == 1", "frame.number")) == 4


@pytest.mark.parametrize(("side", "source"), [("downstream", "10.0.0.7"), ("upstream", "127.0.0.1")])
def test_a_conversation_that_was_broken_off_ends_with_a_reset(tmp_path: Path, side: str, source: str) -> None:
    broken = conversation(failure="connection_terminated", side=side, detail="It broke off.", attempts=[])
    file = written(tmp_path, [broken])
    resets = fields(file, "tcp.flags.reset == 1", "ip.src", "frame.comment")
    assert resets == [(source, "connection_terminated: It broke off.")]


def test_a_websocket_has_its_handshake_and_its_messages(tmp_path: Path) -> None:
    head = b"GET /live HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    head += b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    long = b"x" * 70_000
    messages = [
        Passage(0.11, True, b"hello", 5, "text"),
        Passage(0.12, False, b"\x00\x01", 2, "binary"),
        Passage(0.13, False, long, len(long), "text"),
        Passage(0.14, True, b"\x03\xe8", 2, "close"),
    ]
    live = plain(
        0, kind=Kind.WEBSOCKET, status=101, reason="Switching Protocols", target="http://shop.example/live",
        request=Part(b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n", size=7),
        response=Part(b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", size=70_000),
        messages=messages, messages_total=4,
        attempts=[Try("http://shop.example", 0.01, 0.02, 0.1, ("10.1.1.1", 5555), ("192.0.2.9", 80), head=head,
                      status=101)],
    )  # fmt: skip
    file = written(tmp_path, [live])
    for side in ("clients", "origins"):
        frames = fields(file, f"websocket && frame.interface_name == {side}", "websocket.opcode", "websocket.mask",
                        "websocket.payload_length")  # fmt: skip
        assert [row[0] for row in frames] == ["1", "2", "1", "8"]
        assert [row[1] for row in frames] == ["1", "0", "0", "1"]


def test_what_is_inside_tls_is_readable_on_the_port_of_tls(tmp_path: Path) -> None:
    inside = record(3, tls="TLSv1.3", attempts=[
        Try("https://shop.example", 0.01, 0.02, 0.1, ("10.1.1.1", 5555), ("192.0.2.9", 443), tls="TLSv1.3",
            head=GET % 3, status=200)
    ])  # fmt: skip
    file = written(tmp_path, [inside])
    found = fields(file, "http.request", "tcp.dstport", "frame.comment")
    assert found == [("8080", "This went inside TLSv1.3."), ("443", "This went inside TLSv1.3.")]


def inner(number: int, client: int = 40000, **changes: Any) -> Record:
    """A request in the tunnel `2-1`, on the connection to the server that was made for it."""
    sent = Try("https://shop.example", 0.0, 0.0, 0.1, ("10.1.1.1", 5555), ("192.0.2.9", 443), True, "TLSv1.3",
               GET % number, status=200)  # fmt: skip
    known = {"client": ("10.0.0.7", client), "parent": "2-1", "tls": "TLSv1.3", "attempts": [sent]}
    return record(number, **{**known, **changes})


def tunnel(**changes: Any) -> Record:
    """The tunnel `2-1`, which ends after what was asked in it."""
    opened = Try("https://shop.example", 0.01, 0.02, 0.0, ("10.1.1.1", 5555), ("192.0.2.9", 443), tls="TLSv1.3")
    known: dict[str, Any] = {
        "kind": Kind.TUNNEL, "exchange": "2-1", "method": "CONNECT", "target": "shop.example:443", "started": STARTED,
        "duration_s": 9.0, "client": ("10.0.0.7", 40000), "request": Part(), "response": Part(), "response_s": 0.03,
        "notes": {"interception": "intercepted"}, "attempts": [opened],
    }  # fmt: skip
    return record(0, **{**known, **changes})


@pytest.mark.parametrize("is_live", [False, True])
def test_what_was_inside_a_tunnel_is_http_beside_it(tmp_path: Path, is_live: bool) -> None:
    told = [inner(1), inner(2), inner(3, attempts=[]), tunnel()]
    if is_live:
        live = LiveCapture()
        file = tmp_path / "live.pcapng"
        file.write_bytes(b"".join([live.begin(), *(live.packets(one) for one in told), live.end()]))
        assert complaints(file) == []
    else:
        file = written(tmp_path, told)
    asked = fields(file, "http.request && frame.interface_name == clients", "http.request.method", "tcp.srcport",
                   "ip.dst", "tcp.dstport", "http.request.uri")  # fmt: skip
    inside = [("GET", "40000", "192.0.2.9", "443", f"/item/{number}?page={number}") for number in (1, 2, 3)]
    assert sorted(asked) == sorted([("CONNECT", "40000", "127.0.0.1", "8080", "shop.example:443"), *inside])
    streams = {row[0] for row in fields(file, "http && ip.addr == 10.0.0.7 && tcp.port == 443", "tcp.stream")}
    assert len(streams) == 1
    [[opened_at]] = fields(file, "tcp.flags.syn == 1 && tcp.flags.ack == 0 && ip.src == 10.1.1.1", "frame.time_epoch")
    assert opened_at == ("1790000001.000000000" if is_live else "1790000000.010000000")
    comments = [row[0] for row in fields(file, "frame.comment", "frame.comment")]
    assert "This went inside TLSv1.3, in the tunnel from port 40000 to 127.0.0.1:8080." in comments
    assert "This went inside TLSv1.3. It was opened for the client's tunnel." in comments or not is_live


def test_each_tunnel_has_a_stream_of_its_own_that_ends_with_it(tmp_path: Path) -> None:
    told = [inner(1), inner(2, client=40001, parent="2-3"), tunnel(duration_s=2.5), inner(3, parent="2-2")]
    file = written(tmp_path, told)
    asked = fields(file, "http.request && tcp.port == 443 && ip.addr == 10.0.0.7", "tcp.srcport", "http.request.uri",
                   "tcp.stream")  # fmt: skip
    assert [row[:2] for row in asked] == [
        (port, f"/item/{number}?page={number}") for number, port in ((1, "40000"), (2, "40001"), (3, "40000"))
    ]
    assert len({row[2] for row in asked}) == 3
    ends = "tcp.flags.fin == 1 && ip.src == 10.0.0.7 && tcp.dstport == 443 && tcp.stream == "
    assert fields(file, ends + asked[0][2], "frame.time_epoch") == [("1790000002.500000000",)]


def test_ends_without_addresses_get_some_for_documentation(tmp_path: Path) -> None:
    nobody = {"client": ("", 0), "local": ("/run/interpose.sock", 0), "attempts": []}
    file = written(tmp_path, [plain(number, **nobody) for number in range(3)])
    asked = fields(file, "http.request", "ip.src", "ip.dst", "tcp.stream", "frame.comment")
    assert [row[:3] for row in asked] == [("192.0.2.1", "192.0.2.2", str(stream)) for stream in range(3)]
    assert all(row[3].startswith("The addresses are made") for row in asked)


def test_a_refused_attempt_leaves_a_comment_and_a_retry_its_status(tmp_path: Path) -> None:
    refused = Try("http://shop.example", failure="connection_refused")
    failed = Try(
        "http://shop.example", 0.01, 0.02, 0.03, ("10.1.1.1", 5555), ("192.0.2.9", 80), head=GET % 0, status=503
    )
    good = Try("http://shop.example", 0.04, 0.05, 0.1, ("10.1.1.1", 5556), ("192.0.2.10", 80), head=GET % 0, status=200)
    file = written(tmp_path, [plain(attempts=[refused, failed, good])])
    answers = fields(file, "http.response && frame.interface_name == origins", "http.response.code", "frame.comment")
    assert answers == [("503", "Only the status of this answer is recorded."), ("200", "")]


def test_a_port_that_is_used_again_later_is_another_connection(tmp_path: Path) -> None:
    kept = {"client": ("10.0.0.7", 40000), "attempts": []}
    file = written(tmp_path, [plain(0, **kept), plain(1, started=STARTED + 1000, **kept)])
    assert [row[0] for row in fields(file, "http.request", "tcp.stream")] == ["0", "1"]


def test_a_live_capture_gives_each_record_as_it_comes(tmp_path: Path) -> None:
    live = LiveCapture()
    file = tmp_path / "live.pcapng"
    said = live.begin()
    for number in range(2):
        said += live.packets(plain(number))
        file.write_bytes(said)
        assert len(fields(file, "http.response", "frame.number")) == 2 * (number + 1)
        assert complaints(file) == []


def test_memory_stays_as_it_is_however_many_records_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOW_EVENTS", 500)
    monkeypatch.setattr(module, "MOST_STREAMS", 100)

    def records() -> Iterator[Record]:
        for number in range(2400):
            if number == 800:
                tracemalloc.reset_peak()
                peaks.append(tracemalloc.get_traced_memory()[1])
            yield plain(number, client=("10.0.0.7", number), response=Part(b"", bytes(2000), 2000, 0.2))

    peaks: list[int] = []
    tracemalloc.start()
    try:
        size = sum(len(piece) for piece in capture(records()))
        peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    assert size > 2400 * 4000
    assert peaks[1] < peaks[0] + (4 << 20)
