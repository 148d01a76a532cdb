"""The PROXY line on a listener: who must send one, who is not believed, and what becomes of the bytes behind it."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.memory_stream import SERVER, MemoryStream

from interpose.core.failure import Failure
from interpose.core.networks import Networks
from interpose.core.stream import Address, Stream
from interpose.engine.proxy_line_step import ProxyLineStep

PROXY, STRANGER = Address("192.0.2.1", 50000), Address("192.0.2.2", 50000)
HEADER = b"PROXY TCP4 198.51.100.7 203.0.113.9 40000 443\r\n"
UNIX = b"\r\n\r\n\x00\r\nQUIT\n\x21\x31\x00\xd8" + b"/run/there".ljust(108, b"\0") * 2


class Step:
    """The step between a stream and whoever serves it."""

    def __init__(self, timeout_s: float = 30.0) -> None:
        self.served: list[Stream] = []
        self.refused: list[Failure] = []
        self.step = ProxyLineStep(
            Networks(["192.0.2.1"]),
            self.served.append,
            timeout_s=timeout_s,
            refused=lambda _, why: self.refused.append(why),
        )

    async def takes(self, stream: MemoryStream, *pieces: bytes, end: bool = False) -> None:
        self.step(stream)
        for piece in pieces:
            stream.receive(piece)
            await asyncio.sleep(0)
        if end:
            stream.receive_end()
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.mark.parametrize("is_split", [False, True])
async def test_a_listed_peer_says_who_its_client_is(is_split: bool) -> None:
    step, stream = Step(), MemoryStream(PROXY)
    wire = HEADER + b"GET /"
    await step.takes(stream, *([wire[n : n + 1] for n in range(len(wire))] if is_split else [wire]))
    assert (step.served, step.refused) == ([stream], [])
    assert (stream.info.peer, stream.info.local) == (Address("198.51.100.7", 40000), Address("203.0.113.9", 443))
    assert await stream.read() == b"GET /"


async def test_a11_who_is_not_listed_is_not_believed() -> None:
    step, stream = Step(), MemoryStream(STRANGER)
    await step.takes(stream, HEADER)
    assert step.served == [stream]
    assert (stream.info.peer, stream.info.local) == (STRANGER, SERVER)
    assert await stream.read() == HEADER


@pytest.mark.parametrize("wire", [b"GET / HTTP/1.1\r\n", b"PROXY TCP4 x\r\n", b"\x16\x03\x01"])
async def test_a_listed_peer_must_send_a_header(wire: bytes) -> None:
    step, stream = Step(), MemoryStream(PROXY)
    await step.takes(stream, wire)
    assert step.served == []
    assert [failure.kind for failure in step.refused] == ["http_request_error"]
    assert stream.was_aborted


async def test_a_header_that_is_cut_off_is_none() -> None:
    step, stream = Step(), MemoryStream(PROXY)
    await step.takes(stream, HEADER[:20], end=True)
    assert [failure.kind for failure in step.refused] == ["connection_terminated"]


async def test_a_listed_peer_that_looks_whether_the_port_is_open_is_no_trouble() -> None:
    step, stream = Step(), MemoryStream(PROXY)
    await step.takes(stream, end=True)
    assert (step.served, step.refused) == ([], [])


async def test_a_header_does_not_let_itself_be_waited_for() -> None:
    step, stream = Step(timeout_s=0.01), MemoryStream(PROXY)
    await step.takes(stream, HEADER[:20])
    async with asyncio.timeout(5):
        while not step.refused:  # noqa: ASYNC110 - nobody tells when a deadline has passed
            await asyncio.sleep(0.005)
    assert [failure.kind for failure in step.refused] == ["connection_timeout"]
    assert stream.was_aborted


@pytest.mark.parametrize("wire", [b"PROXY UNKNOWN\r\n", b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00", UNIX])
async def test_a_header_that_tells_of_no_client_leaves_the_addresses_alone(wire: bytes) -> None:
    step, stream = Step(), MemoryStream(PROXY)
    await step.takes(stream, wire)
    assert step.served == [stream]
    assert (stream.info.peer, stream.info.local) == (PROXY, SERVER)


async def test_the_peer_of_a_unix_socket_is_listed_and_may_tell_of_another_one() -> None:
    step, stream = Step(), MemoryStream(Address("", 0), Address("/run/here", 0))
    await step.takes(stream, UNIX)
    assert step.served == [stream]
    assert stream.info.peer == Address("/run/there", 0)
