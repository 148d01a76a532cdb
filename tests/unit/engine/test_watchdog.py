import asyncio
import logging
import threading
import time

import pytest

from interpose.engine.watchdog import Lag, Watchdog


def test_f21_a_loop_that_answers_in_time_is_no_stall() -> None:
    lag = Lag()
    for now in (0.0, 1.0, 2.0):
        assert lag.ask(now)
        assert not lag.look(now + 0.24)
        assert lag.answer(now + 0.24) is None
    assert lag.stalls == 0
    assert lag.longest_s == 0.0


def test_f21_a_stall_is_counted_once_however_often_it_is_looked_at() -> None:
    lag = Lag()
    assert lag.ask(10.0)
    assert not lag.ask(10.1)
    assert lag.look(10.25)
    assert not lag.look(10.5)
    assert not lag.look(12.0)
    assert lag.owed_s(12.0) == 2.0
    assert lag.answer(12.5) == 2.5
    assert lag.owed_s(13.0) == 0.0
    assert (lag.stalls, lag.longest_s) == (1, 2.5)
    assert lag.ask(20.0)
    assert lag.look(20.5)
    assert lag.answer(20.5) == 0.5
    assert (lag.stalls, lag.longest_s) == (2, 2.5)


def test_an_answer_that_nobody_asked_for_is_nothing() -> None:
    assert Lag().answer(1.0) is None


async def test_f21_the_log_names_the_line_that_blocked_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "interpose")
    said = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Heard(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            loop.call_soon_threadsafe(said.set)

    heard = Heard()
    logging.getLogger("interpose").addHandler(heard)
    watchdog = Watchdog("worker 7")
    watchdog.start()
    try:
        time.sleep(0.6)  # noqa: ASYNC251 - this is what must be noticed
        async with asyncio.timeout(10):
            await said.wait()
    finally:
        watchdog.stop()
        logging.getLogger("interpose").removeHandler(heard)
    assert watchdog.lag.stalls == 1
    assert 0.25 < watchdog.lag.longest_s < 5
    assert "worker 7: its event loop was blocked for 0." in caplog.text
    assert "test_watchdog.py" in caplog.text
    assert "time.sleep(0.6)" in caplog.text
    assert not [thread for thread in threading.enumerate() if thread.name == "watchdog"]
