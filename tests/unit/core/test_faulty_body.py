"""Content through faults: whole and in time, or cut where it was said; a head that drips before it."""

from collections.abc import Callable

import pytest
from tests.support.fake_clock import FakeClock

from interpose.core.body import EMPTY, Body
from interpose.core.failure import Failure, Side
from interpose.core.fault import Chances, Fault
from interpose.core.faulty_body import CUT_AFTER_S, faulty_body
from interpose.core.fields import Fields

CUT = Failure("http_response_incomplete", Side.INTERNAL, "cut")


class Origin:
    """A source that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def pause(self) -> None:
        self.said.append("pause")

    def resume(self) -> None:
        self.said.append("resume")

    def cancel(self) -> None:
        self.said.append("cancel")


class Client:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.on_drain: Callable[[], None] | None = None
        self.data = b""
        self.said: list[object] = []
        self.takes = True

    def write(self, chunk: bytes) -> bool:
        self.data += chunk
        return self.takes

    def end(self, trailers: Fields | None) -> None:
        self.said.append("end")

    def abort(self, failure: Failure) -> None:
        self.said.append(failure)


class Writer(Client):
    """A sink with a head."""

    def take_head(self) -> tuple[bytes, Callable[[bytes], bool]]:
        return b"HEAD", self.write


def through(inner: Body, *faults: Fault, head_s: float = 0.0) -> tuple[Body, FakeClock]:
    clock = FakeClock()
    return faulty_body(inner, Chances(faults).draw(), clock, CUT, head_s), clock


def test_a_rate_is_kept_and_the_length_too() -> None:
    body, clock = through(Body(bytes(1000)), Fault(kind="bandwidth", rate_bytes_per_s=100))
    client = Client()
    assert body.length == 1000
    body.pipe(client)
    clock.advance(5)
    assert 450 <= len(client.data) <= 550
    clock.advance(6)
    assert (len(client.data), client.said) == (1000, ["end"])


def test_a_slow_client_and_a_slow_line_pause_the_origin() -> None:
    origin = Origin()
    inner = Body.streaming(origin, None)
    body, clock = through(inner, Fault(kind="bandwidth", rate_bytes_per_s=1_000_000))
    client = Client()
    body.pipe(client)
    assert origin.said == ["resume"]
    inner.feed(bytes(400_000))
    assert origin.said == ["resume", "pause"]
    client.takes = False
    clock.advance(1)
    assert len(client.data) <= 100_000
    client.takes = True
    for _ in range(100):
        assert client.on_drain is not None
        client.on_drain()
        clock.advance(1)
    assert (len(client.data), origin.said[-1]) == (400_000, "resume")
    inner.finish()
    assert client.said == ["end"]


@pytest.mark.parametrize("limit", [0, 1, 99])
def test_truncated_content_breaks_off_behind_the_byte(limit: int) -> None:
    origin = Origin()
    inner = Body.streaming(origin, 100)
    body, clock = through(inner, Fault(kind="truncate", bytes=limit))
    client = Client()
    body.pipe(client)
    inner.feed(bytes(60))
    inner.feed(bytes(40))
    assert client.said == []  # the head is to leave before it breaks off
    clock.advance(CUT_AFTER_S)
    assert (len(client.data), client.said, origin.said[-1]) == (limit, [CUT], "cancel")


@pytest.mark.parametrize("fails", [False, True])
def test_the_end_of_what_was_cut_off_is_no_end(fails: bool) -> None:
    inner = Body.streaming(Origin(), 10)
    body, clock = through(inner, Fault(kind="truncate"))
    client = Client()
    body.pipe(client)
    inner.feed(bytes(10))
    if fails:
        inner.fail(Failure("http_response_incomplete", Side.UPSTREAM))
    else:
        inner.finish()
    assert client.said == []
    clock.advance(CUT_AFTER_S)
    assert client.said == [CUT]


def test_what_is_shorter_is_not_truncated() -> None:
    for inner in (Body(b"short"), EMPTY):
        body, clock = through(inner, Fault(kind="truncate", bytes=5))
        client = Client()
        body.pipe(client)
        clock.advance(1)
        assert client.said == ["end"]
    assert EMPTY.is_complete


def test_a_head_drips_before_its_content() -> None:
    body, clock = through(Body(b"content"), head_s=4.0)
    writer = Writer()
    body.pipe(writer)
    seen = []
    for _ in range(5):
        seen.append(writer.data)
        clock.advance(1)
    assert seen == [b"H", b"HE", b"HEA", b"HEAD", b"HEADcontent"]
    assert writer.said == ["end"]


def test_a_sink_without_a_head_gets_content_at_once() -> None:
    body, _ = through(Body(b"content"), head_s=4.0)
    client = Client()
    body.pipe(client)
    assert (client.data, client.said) == (b"content", ["end"])


def test_who_leaves_ends_it_all() -> None:
    origin = Origin()
    body, clock = through(Body.streaming(origin, None), head_s=4.0)
    writer = Writer()
    body.pipe(writer)
    clock.advance(1)
    body.close()
    clock.advance(10)
    assert (writer.data, clock.waiting, origin.said) == (b"HE", 0, ["cancel"])


def test_an_origin_that_breaks_off_is_told_behind_its_content() -> None:
    inner = Body.streaming(Origin(), None)
    body, clock = through(inner, Fault(kind="bandwidth", rate_bytes_per_s=100))
    client = Client()
    body.pipe(client)
    inner.feed(bytes(50))
    broken = Failure("http_response_incomplete", Side.UPSTREAM)
    inner.fail(broken)
    clock.advance(5)
    assert (len(client.data), client.said) == (50, [broken])
