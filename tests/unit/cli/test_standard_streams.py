"""Descriptors beside the loop: pieces asked for, room waited for, errors told."""

from __future__ import annotations

import asyncio
import os

import pytest

from interpose.cli.standard_streams import HIGH_WATER, Inlet, Outlet


async def test_nothing_is_read_before_it_is_asked_for() -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b"one")
    pieces = Inlet(ours).__aiter__()
    await asyncio.sleep(0)
    assert await anext(pieces) == b"one"
    os.write(theirs, b"two")
    assert await anext(pieces) == b"two"
    os.write(theirs, b"three")
    os.close(theirs)
    assert [piece async for piece in pieces] == [b"three"]
    os.close(ours)


async def test_what_cannot_be_read_is_an_error() -> None:
    descriptor = os.open(".", os.O_RDONLY)
    with pytest.raises(IsADirectoryError):
        [piece async for piece in Inlet(descriptor)]
    os.close(descriptor)


async def test_everything_is_written_in_order() -> None:
    ours, theirs = os.pipe()
    outlet = Outlet(theirs)
    assert outlet.write(b"a")
    assert outlet.write(b"b" * 10)
    await outlet.finish()
    os.close(theirs)
    assert os.read(ours, 100) == b"a" + b"b" * 10
    os.close(ours)


async def test_who_writes_too_much_is_told_to_stop_and_then_to_go_on() -> None:
    ours, theirs = os.pipe()
    outlet = Outlet(theirs)
    drained = asyncio.Event()
    outlet.on_drain = drained.set
    size = 2 * HIGH_WATER
    assert not outlet.write(b"x" * size)
    await asyncio.sleep(0)
    assert not drained.is_set()

    def read_all() -> int:
        count = 0
        while count < size:
            count += len(os.read(ours, 65536))
        return count

    assert await asyncio.to_thread(read_all) == size
    async with asyncio.timeout(5):
        await drained.wait()
    assert outlet.write(b"y")
    await outlet.finish()
    for descriptor in (ours, theirs):
        os.close(descriptor)


async def test_a_reader_that_is_gone_is_told_once_and_holds_nobody_up() -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    outlet = Outlet(theirs)
    outlet.write(b"x" * HIGH_WATER)
    async with asyncio.timeout(5):
        assert isinstance(await outlet.broken, BrokenPipeError)
        assert outlet.write(b"y" * HIGH_WATER)
        with pytest.raises(BrokenPipeError):
            await outlet.finish()
    os.close(theirs)


async def test_what_is_shown_may_differ_from_what_came() -> None:
    ours, theirs = os.pipe()
    outlet = Outlet(theirs, lambda data: b"." if data is None else data.upper())
    outlet.write(b"a")
    await outlet.finish()
    assert os.read(ours, 100) == b"A."
    for descriptor in (ours, theirs):
        os.close(descriptor)
