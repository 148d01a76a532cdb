"""A worker's firewall processes: what waits, for how long, and what becomes of it when one does not come back."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from interpose.filters.firewall import pool as pool_module
from interpose.filters.firewall.messages import Inspect, Setup
from interpose.filters.firewall.pool import Asking, Pool, Unavailable

JUDGE = Path(__file__).parents[1] / "support" / "slow_judge.py"


def asked(target: str) -> Inspect:
    return Inspect(0, "1-1", ("192.0.2.7", 1), ("192.0.2.1", 80), "GET", target, "1.1", b"", b"", True)


@asynccontextmanager
async def running(count: int = 2, queue: int = 3, deadline_s: float = 30.0) -> AsyncIterator[Pool]:
    with patch.object(pool_module, "COMMAND", (sys.executable, str(JUDGE))):
        pool = Pool(Setup("", "", {}), count=count, queue=queue, deadline_s=deadline_s)
        try:
            await pool.start()
            yield pool
        finally:
            pids = pool.pids
            await pool.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def when(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - processes set no event of ours
            await asyncio.sleep(0.005)


async def reason(asking: asyncio.Future[object]) -> str:
    with pytest.raises(Unavailable) as error:
        await asking
    return error.value.reason


async def waiting_in(pool: Pool) -> int:
    """How many requests wait for their answers in its only process."""
    verdict, _ = await pool.request(asked("/count"))
    return verdict.status - 200


async def test_a_request_and_its_answer_are_asked_of_the_same_process() -> None:
    async with running() as pool:
        verdict, asking = await pool.request(asked("/pass"))
        assert verdict.status == 0
        assert (await pool.answer(asking, 200, b"", b"")).is_known
        verdict, _ = await pool.request(asked("/block"))
        assert verdict.status == 403


async def test_no_more_wait_than_may_and_none_longer_than_the_deadline() -> None:
    async with running(count=1, queue=3, deadline_s=1.0) as pool:
        began = time.monotonic()
        busy = asyncio.ensure_future(pool.request(asked("/sleep")))
        await asyncio.sleep(0)
        others = [asyncio.ensure_future(pool.request(asked("/pass"))) for _ in range(4)]
        assert await reason(others.pop()) == "queue"  # at once: three wait already
        assert time.monotonic() - began < 0.9
        assert [await reason(one) for one in others] == ["queue"] * 3
        assert await reason(busy) == "deadline"
        assert 0.9 < time.monotonic() - began < 5.0
        assert pool.deadlines_total == 1
        await when(lambda: bool(pool._idle))
        assert (await pool.request(asked("/pass")))[0].status == 0  # what took its place


async def test_an_answer_goes_to_another_process_when_its_own_is_busy_or_gone() -> None:
    async with running() as pool:
        _, busy = await pool.request(asked("/pass"))
        heavy = asyncio.ensure_future(pool.answer(busy, 599, b"", b""))
        await asyncio.sleep(0)
        [other] = [one for one in pool._processes if one is not busy.process]
        _, moved = await pool.request(asked("/pass"))
        assert moved.process is other
        held = Asking(busy.request, busy.process)  # another answer that the busy one would have to judge
        began = time.monotonic()
        assert (await pool.answer(held, 200, b"", b"")).is_known
        assert time.monotonic() - began < 5.0  # after PATIENCE_S, and not after half a minute
        os.kill(busy.process.companion.pid, signal.SIGKILL)
        assert await reason(heavy) == "died"
        assert (await pool.answer(held, 200, b"", b"")).is_known
        assert pool.deaths_total == 1


async def test_who_leaves_leaves_nothing_behind() -> None:
    async with running(count=1) as pool:
        leaving = asyncio.ensure_future(pool.request(asked("/pass")))
        await asyncio.sleep(0)
        leaving.cancel()
        queued = asyncio.ensure_future(pool.request(asked("/pass")))
        await asyncio.sleep(0)
        queued.cancel()
        assert await waiting_in(pool) == 0
        _, asking = await pool.request(asked("/pass"))
        assert await waiting_in(pool) == 1
        pool.forget(asking)
        assert await waiting_in(pool) == 0


async def test_a_process_that_dies_again_and_again_is_waited_for_longer_each_time() -> None:
    async with running(count=1, deadline_s=0.5) as pool:
        assert await reason(asyncio.ensure_future(pool.request(asked("/die")))) == "died"
        for _ in range(2):  # a request is to blame: at once
            await when(lambda: bool(pool._idle))
            assert await reason(asyncio.ensure_future(pool.request(asked("/die")))) == "died"
        await when(lambda: bool(pool._idle))
        os.kill(pool.pids[0], signal.SIGKILL)  # of its own accord, soon after it was ready
        await when(lambda: not pool.pids)
        assert pool._failures == 1
        assert await reason(asyncio.ensure_future(pool.request(asked("/pass")))) == "queue"
        assert pool.deaths_total == 3
