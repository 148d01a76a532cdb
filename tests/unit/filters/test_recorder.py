"""What is recorded of an exchange: by the filter alone, with bodies fed by hand."""

import asyncio

from interpose.core.body import Body
from interpose.core.exchange import Attempt, Exchange, Outcome
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.message import Request, Response
from interpose.core.record import Kind, Part, Record, decode_records, encode_records
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Origin, Target
from interpose.filters.recorder import Recorder

TARGET = Target(Form.ABSOLUTE, "http", Authority("shop.example", 8000), "/cart", "a=1")


class Source:
    """A producer that only takes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pause(self) -> None:
        self.told.append("pause")

    def resume(self) -> None:
        self.told.append("resume")

    def cancel(self) -> None:
        self.told.append("cancel")


class Taker:
    """A sink that takes everything."""

    def __init__(self) -> None:
        self.got = b""
        self.end_said = ""
        self.on_drain = None

    def write(self, chunk: bytes) -> bool:
        self.got += chunk
        return True

    def end(self, trailers: Fields | None) -> None:
        self.end_said = "end"

    def abort(self, failure: Failure) -> None:
        self.end_said = failure.kind


def exchange_of() -> Exchange:
    exchange = Exchange(31, 0, "proxy", Address("192.0.2.1", 4000), asyncio.get_running_loop().time())
    exchange.local = Address("192.0.2.9", 8080)
    return exchange


def recorder_into(records: list[Record], most: int = 100) -> Recorder:
    return Recorder(most, records.append, wall=lambda: 1_000_000.0)


async def test_an_exchange_is_recorded_as_the_client_saw_it() -> None:
    records: list[Record] = []
    exchange = exchange_of()
    request = Request("POST", TARGET, Fields([("Host", "shop.example:8000"), ("Accept", "*/*")]), Body(b"abc"))

    async def forward(exchange: Exchange, request: Request) -> Response:
        request.fields.set("Via", "1.1 interpose")
        attempt = Attempt(Origin("http", "shop.example", 8000), exchange.started + 0.25)
        attempt.connected, attempt.first_byte = exchange.started + 0.5, exchange.started + 1.0
        attempt.head, attempt.status = b"POST /cart?a=1 HTTP/1.1\r\nHost: shop.example:8000\r\n\r\n", 201
        attempt.peer, attempt.local = Address("192.0.2.80", 8000), Address("192.0.2.9", 50000)
        exchange.attempts.append(attempt)
        return Response(201, Fields([("ETag", '"1"')]), Body(b"answer"), b"Made")

    response = await recorder_into(records)(exchange, request, forward)
    assert response.body.take() == b"answer"
    assert not records
    exchange.notes["cache"] = "miss"
    exchange.finish(Outcome(201, 6, None, exchange.started + 2.0))
    (record,) = decode_records(encode_records(records))
    assert (record.kind, record.method, record.target) == (Kind.HTTP, "POST", "http://shop.example:8000/cart?a=1")
    assert (record.host, record.port, record.scheme, record.status, record.reason) == (
        "shop.example",
        8000,
        "http",
        201,
        "Made",
    )
    assert record.request == Part(b"Host: shop.example:8000\r\nAccept: */*\r\n", b"abc", 3)
    assert record.response == Part(b'ETag: "1"\r\n', b"answer", 6)
    assert (record.client, record.local, record.exchange) == (("192.0.2.1", 4000), ("192.0.2.9", 8080), "0-1f")
    assert (record.started, record.duration_s) == (999_998.0, 2.0)
    assert record.notes == {"cache": "miss"}
    (attempt,) = record.attempts
    assert (attempt.started_s, attempt.connected_s, attempt.first_byte_s) == (0.25, 0.5, 1.0)
    assert (attempt.local, attempt.peer) == (("192.0.2.9", 50000), ("192.0.2.80", 8000))
    assert attempt.head.startswith(b"POST /cart?a=1 HTTP/1.1\r\n")


async def test_content_that_streams_is_kept_up_to_the_cap_and_flows_on_whole() -> None:
    records: list[Record] = []
    exchange = exchange_of()
    sources = Source(), Source()
    uploaded = Body.streaming(sources[0], 10)
    answered = Body.streaming(sources[1], None)
    inner: list[Request] = []

    async def forward(exchange: Exchange, request: Request) -> Response:
        inner.append(request)
        return Response(200, Fields(), answered)

    request = Request("PUT", TARGET, Fields(), uploaded)
    response = await recorder_into(records, most=4)(exchange, request, forward)
    assert inner[0].body.length == 10
    origin, client = Taker(), Taker()
    inner[0].body.pipe(origin)
    response.body.pipe(client)
    for chunk in (b"012", b"345", b"6789"):
        uploaded.feed(chunk)
    uploaded.finish()
    answered.feed(b"x" * 1000)
    answered.finish()
    exchange.finish(Outcome(200, 1000, None, exchange.started + 1.0))
    assert (origin.got, origin.end_said, client.got, client.end_said) == (b"0123456789", "end", b"x" * 1000, "end")
    (record,) = records
    assert (record.request.content, record.request.size) == (b"0123", 10)
    assert (record.response.content, record.response.size) == (b"xxxx", 1000)


async def test_content_that_breaks_off_breaks_off_for_the_client_too() -> None:
    records: list[Record] = []
    exchange = exchange_of()
    answered = Body.streaming(Source(), 10)

    async def forward(exchange: Exchange, request: Request) -> Response:
        return Response(200, Fields(), answered)

    response = await recorder_into(records)(exchange, Request("GET", TARGET, Fields()), forward)
    client = Taker()
    response.body.pipe(client)
    answered.feed(b"123")
    cut = Failure("http_response_incomplete", Side.UPSTREAM, "It ended early.")
    answered.fail(cut)
    exchange.finish(Outcome(200, 3, cut, exchange.started + 1.0))
    assert (client.got, client.end_said) == (b"123", "http_response_incomplete")
    (record,) = records
    assert (record.response.content, record.failure, record.side) == (b"123", "http_response_incomplete", "upstream")
    assert record.detail == "It ended early."


async def test_a_client_that_leaves_reaches_the_source_through_the_tap() -> None:
    source = Source()
    exchange = exchange_of()

    async def forward(exchange: Exchange, request: Request) -> Response:
        return Response(200, Fields(), Body.streaming(source, 10))

    response = await recorder_into([])(exchange, Request("GET", TARGET, Fields()), forward)
    response.body.pipe(Taker())
    response.body.close()
    assert source.told[-1] == "cancel"


async def test_a_failure_before_any_answer_is_recorded_with_the_request() -> None:
    records: list[Record] = []
    exchange = exchange_of()
    refused = Failure("connection_refused", Side.UPSTREAM, "Nobody listens there.")

    async def forward(exchange: Exchange, request: Request) -> Response:
        raise refused

    try:
        await recorder_into(records)(exchange, Request("GET", TARGET, Fields()), forward)
    except Failure:
        exchange.finish(Outcome(502, 0, refused, exchange.started + 1.0))
    (record,) = records
    assert (record.status, record.failure, record.method, record.response) == (502, "connection_refused", "GET", Part())


async def test_a_tunnel_is_recorded_with_what_passed() -> None:
    records: list[Record] = []
    exchange = exchange_of()
    target = Target(Form.AUTHORITY, "http", Authority("shop.example", 443), "")

    async def forward(exchange: Exchange, request: Request) -> Response:
        response = Response(200)
        response.then = lambda stream: None
        return response

    await recorder_into(records)(exchange, Request("CONNECT", target, Fields()), forward)
    exchange.notes["bytes_in"] = "517"
    exchange.finish(Outcome(200, 4000, None, exchange.started + 1.0))
    (record,) = records
    assert (record.kind, record.target, record.request.size, record.response.size) == (
        Kind.TUNNEL,
        "shop.example:443",
        517,
        4000,
    )
