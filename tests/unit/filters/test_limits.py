import pytest

from interpose.core.body import Body
from interpose.core.exchange import Exchange, Outcome
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.message import Request, Response
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Target
from interpose.filters.limits import Limit, LimitOptions


class Client:
    """Sends a request's body in chunks, as its source."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pause(self) -> None:
        self.told.append("pause")

    def resume(self) -> None:
        self.told.append("resume")

    def cancel(self) -> None:
        self.told.append("cancel")


class Reader:
    """What the body flows into."""

    def __init__(self) -> None:
        self.got: list[object] = []
        self.wants_more = True
        self.on_drain = None

    def write(self, chunk: bytes) -> bool:
        self.got.append(chunk)
        return self.wants_more

    def end(self, trailers: Fields | None) -> None:
        self.got.append("end")

    def abort(self, failure: Failure) -> None:
        self.got.append(failure.status)


def exchange(host: str = "192.0.2.1") -> Exchange:
    return Exchange(1, 0, "main", Address(host, 50000), 0.0)


def request(body: Body) -> Request:
    return Request("POST", Target(Form.ORIGIN, "http", Authority("example.org"), "/"), Fields(), body)


async def answer(exchange: Exchange, request: Request) -> Response:
    return Response(200)


TEN = Limit(LimitOptions(max_body_bytes=10))


@pytest.mark.parametrize("body", [Body(), Body(b"x" * 10), Body.streaming(Client(), 10), Body.streaming(Client(), 0)])
async def test_a_body_up_to_the_limit_is_left_alone(body: Body) -> None:
    of = request(body)
    assert (await TEN(exchange(), of, answer)).status == 200
    assert of.body is body


@pytest.mark.parametrize("body", [Body(b"x" * 11), Body.streaming(Client(), 11), Body.streaming(Client(), 1 << 60)])
async def test_a_body_that_says_it_is_too_long_is_refused_at_once(body: Body) -> None:
    of = exchange()
    with pytest.raises(Failure) as refusal:
        await TEN(of, request(body), answer)
    assert (refusal.value.status, refusal.value.side) == (413, Side.DOWNSTREAM)
    assert of.notes == {
        "filter": "limits",
        "rule": "max_body_bytes = 10",
        "why": "The content is larger than 10 bytes.",
    }


async def test_a_body_without_a_length_passes_up_to_the_limit() -> None:
    client, reader = Client(), Reader()
    of = request(Body.streaming(client, None))
    inner = of.body
    await TEN(exchange(), of, answer)
    inner.feed(b"12345")
    of.body.pipe(reader)
    inner.feed(b"67890")
    inner.finish(Fields([("X-Sum", "1")]))
    assert reader.got == [b"12345", b"67890", "end"]
    assert of.body.trailers == Fields([("X-Sum", "1")])
    assert "cancel" not in client.told


async def test_a_body_without_a_length_breaks_off_where_it_becomes_too_long() -> None:
    client, reader = Client(), Reader()
    of, ours = request(Body.streaming(client, None)), exchange()
    inner = of.body
    await TEN(ours, of, answer)
    of.body.pipe(reader)
    inner.feed(b"1234567890")
    inner.feed(b"1")
    inner.feed(b"2")
    inner.finish()
    assert reader.got == [b"1234567890", 413]
    assert client.told.count("cancel") == 1
    assert ours.notes["rule"] == "max_body_bytes = 10"


async def test_a_body_that_was_collected_before_it_is_read_is_capped_too() -> None:
    client = Client()
    of = request(Body.streaming(client, None))
    inner = of.body
    await TEN(exchange(), of, answer)
    inner.feed(b"x" * 11)
    with pytest.raises(Failure) as refusal:
        await of.body.read(1000)
    assert refusal.value.status == 413


async def test_f14_a_slow_reader_pauses_the_client() -> None:
    client, reader = Client(), Reader()
    of = request(Body.streaming(client, None))
    inner = of.body
    await TEN(exchange(), of, answer)
    reader.wants_more = False
    of.body.pipe(reader)
    inner.feed(b"1")
    assert client.told[-1] == "pause"
    reader.on_drain()  # type: ignore[misc]
    assert client.told[-1] == "resume"


async def test_what_ends_the_body_early_passes_both_ways() -> None:
    client, reader = Client(), Reader()
    of = request(Body.streaming(client, None))
    inner = of.body
    await TEN(exchange(), of, answer)
    of.body.pipe(reader)
    inner.fail(Failure("http_request_error", Side.DOWNSTREAM))
    assert reader.got == [400]
    of = request(Body.streaming(client, None))
    await TEN(exchange(), of, answer)
    of.body.close()
    assert client.told[-1] == "cancel"


async def test_a32_one_client_has_so_many_exchanges_at_a_time() -> None:
    limit = Limit(LimitOptions(max_exchanges_per_client=2))
    first, second, third = exchange(), exchange(), exchange()
    await limit(first, request(Body()), answer)
    await limit(second, request(Body()), answer)
    with pytest.raises(Failure) as refusal:
        await limit(third, request(Body()), answer)
    assert refusal.value.status == 429
    assert third.notes == {
        "filter": "limits",
        "rule": "max_exchanges_per_client = 2",
        "why": "2 exchanges of 192.0.2.1 were running",
    }
    assert (await limit(exchange("192.0.2.2"), request(Body()), answer)).status == 200
    third.finish(Outcome(429, 0, None, 1.0))
    first.finish(Outcome(200, 0, None, 1.0))
    assert (await limit(exchange(), request(Body()), answer)).status == 200
    second.finish(Outcome(200, 0, None, 1.0))
    assert limit._running == {"192.0.2.1": 1, "192.0.2.2": 1}


async def test_a_refused_body_does_not_count_as_an_exchange_for_ever() -> None:
    limit = Limit(LimitOptions(max_exchanges_per_client=1, max_body_bytes=1))
    of = exchange()
    with pytest.raises(Failure):
        await limit(of, request(Body(b"xx")), answer)
    of.finish(Outcome(413, 0, None, 1.0))
    assert limit._running == {}
