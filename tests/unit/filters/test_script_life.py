"""What a script opens when it starts and closes when it stops, what it is given, and what it asks of messages."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.scripted import FIRST, Origin, exchange, handler, request, script, write

from interpose.core.exchange import Outcome
from interpose.core.failure import Failure
from interpose.core.message_filter import BINARY, TEXT, Message
from interpose.core.per_exchange import PerExchange
from interpose.filters.script.script import Script

NOTED = """
import builtins
life = builtins.__dict__.setdefault("script_life", [])

@interpose.started
async def open_it():
    {started}
    life.append("open {name}")

@interpose.stopped
async def close_it():
    life.append("close {name}")

@filter
async def use(exchange, request, forward):
    exchange.at_end(lambda outcome: life.append("use {name}"))
    return Response.text(200, "")
"""


@pytest.fixture
def life() -> Any:
    """What scripts have noted."""
    import builtins

    noted: list[str] = []
    vars(builtins)["script_life"] = noted
    yield noted
    del vars(builtins)["script_life"]


async def settled(mine: Script) -> None:
    while mine._tasks:
        await asyncio.wait(set(mine._tasks))


async def test_a_script_starts_before_it_is_used_and_stops_after(tmp_path: Path, life: list[str]) -> None:
    mine = script(tmp_path, NOTED.format(name="a", started="pass"))
    assert life == []
    await mine.start()
    await mine.start()
    of = exchange()
    await handler(mine, Origin())(of, request())
    assert mine.is_in_use
    of.finish(Outcome(200, 0, None, 1.0))
    assert not mine.is_in_use
    await mine.close()
    await mine.close()
    assert life == ["open a", "use a", "close a"]


async def test_a_new_version_starts_before_the_old_one_stops_and_that_waits_for_its_exchanges(
    tmp_path: Path, life: list[str]
) -> None:
    mine = script(tmp_path, NOTED.format(name="a", started="pass"))
    await mine.start()
    of = exchange()
    await handler(mine, Origin())(of, request())
    write(mine.path, NOTED.format(name="b", started="pass"))
    mine.tick()
    await settled(mine)
    assert life == ["open a", "open b"]
    of.finish(Outcome(200, 0, None, 1.0))
    await settled(mine)
    assert life == ["open a", "open b", "use a", "close a"]
    await mine.close()
    assert life[4:] == ["close b"]


async def test_a_new_version_that_cannot_start_does_not_come_to_run(
    tmp_path: Path, life: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    mine = script(tmp_path, NOTED.format(name="a", started="pass"))
    await mine.start()
    write(mine.path, NOTED.format(name="b", started="raise OSError('no room')"))
    mine.tick()
    await settled(mine)
    says = f"mine.py:{FIRST + 5} in open_it: OSError: no room"
    assert mine.broken == f"{mine.path}: {says}"
    assert caplog.messages[-1] == f"script not reloaded, the old one goes on: {mine.path}: {says}"
    assert (await handler(mine, Origin())(exchange(), request())).status == 200
    await mine.close()
    assert life == ["open a", "close a"]


async def test_while_it_has_not_started_its_functions_are_not_called_and_it_is_tried_again(
    tmp_path: Path, life: list[str]
) -> None:
    now = [0.0]
    fails = "life.append('try'); assert len(life) > 2"
    mine = script(tmp_path, NOTED.format(name="a", started=fails), lambda: now[0])
    await mine.start()
    with pytest.raises(Failure) as failed:
        await handler(mine, Origin())(exchange(), request())
    assert failed.value.status == 503
    assert failed.value.detail == "use in mine.py is not called at the moment: its script could not start."
    assert mine.off == 1
    for now[0] in (9.0, 11.0, 12.0, 22.0):
        mine.tick()
        await settled(mine)
    assert life == ["try", "try", "try", "open a"]
    assert mine.off == 0
    assert (await handler(mine, Origin())(exchange(), request())).status == 200


# --- options ---------------------------------------------------------------------------------------------------------

OPTIONS = """
import msgspec

class Options(msgspec.Struct):
    secret: str
    tries: int = 3

options = interpose.options(Options)

@filter
async def tell(exchange, request, forward):
    return Response.text(200, f"{options.secret} {options.tries}")
"""


async def test_a_script_has_its_options_as_a_struct_of_its_own(tmp_path: Path) -> None:
    mine = script(tmp_path, OPTIONS, options={"secret": "s"})
    response = await handler(mine, Origin())(exchange(), request())
    assert await response.body.read(100) == b"s 3"
    write(mine.path, OPTIONS.replace("= 3", "= 4"))
    mine.tick()
    response = await handler(mine, Origin())(exchange(), request())
    assert await response.body.read(100) == b"s 4"


async def test_a_script_may_have_a_dataclass_for_its_options(tmp_path: Path) -> None:
    source = """
        from dataclasses import dataclass

        @dataclass
        class Options:
            hosts: list[str]

        options = interpose.options(Options)

        @filter
        async def tell(exchange, request, forward):
            return Response.text(200, options.hosts[0])
        """
    response = await handler(script(tmp_path, source, options={"hosts": ["a"]}), Origin())(exchange(), request())
    assert await response.body.read(100) == b"a"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "options: Object missing required field `secret`"),
        ({"secret": 1}, "options: Expected `str`, got `int` - at `$.secret`"),
        ({"secret": "", "trys": 1}, "options.trys is not known here; known are secret, tries"),
    ],
)
def test_options_that_do_not_fit_are_one_sentence(tmp_path: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError) as error:
        script(tmp_path, OPTIONS, options=options)
    assert str(error.value) == f"{tmp_path}/mine.py:{FIRST + 6}: ValueError: {says}"


def test_options_that_nobody_asks_for_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError) as error:
        script(tmp_path, "@filter\nasync def one(e, r, f): ...\n", options={"a": 1})
    says = "it has options in the configuration, and does not call interpose.options"
    assert str(error.value) == f"{tmp_path}/mine.py: {says}"


async def test_options_are_given_at_the_top_only(tmp_path: Path) -> None:
    source = "@filter\nasync def late(e, r, f):\n    interpose.options(dict)\n"
    with pytest.raises(Failure, match=r"late: ValueError: interpose\.options belongs to the top of a script"):
        await handler(script(tmp_path, source), Origin())(exchange(), request())


# --- messages --------------------------------------------------------------------------------------------------------

MESSAGES = """
seen = interpose.PerExchange(list)

@interpose.messages
async def number(exchange, message, forward):
    seen.of(exchange).append(message.text)
    await forward(message.with_data(f"{len(seen.of(exchange))} {message.text}"))

@interpose.messages
async def twice(exchange, message, forward):
    if message.inbound:
        await forward(message)
    await forward(message)
"""


async def passed(mine: Script, message: Message, of: Any = None) -> list[bytes]:
    got = []

    async def forward(message: Message) -> None:
        got.append(message.data)

    await mine.message(of or exchange(), message, forward)
    return got


async def test_messages_pass_the_functions_in_their_order(tmp_path: Path) -> None:
    mine, of = script(tmp_path, MESSAGES), exchange()
    assert mine.has_messages
    assert await passed(mine, Message(b"a", True, TEXT), of) == [b"1 a", b"1 a"]
    assert await passed(mine, Message(b"b", False, BINARY), of) == [b"2 b"]
    assert await passed(mine, Message(b"c", False, TEXT)) == [b"1 c"]


async def test_an_upgrade_asks_about_messages_once_and_another_request_never(tmp_path: Path) -> None:
    mine, of = script(tmp_path, MESSAGES), exchange()
    asked = request()
    await handler(mine, Origin())(of, asked)
    assert of.message_filters is None
    asked.upgrade = "websocket"
    for _ in range(2):
        await handler(mine, Origin())(of, asked)
    assert of.message_filters == [mine.message]


async def test_a_changed_file_is_asked_about_the_next_message(tmp_path: Path) -> None:
    mine = script(tmp_path, MESSAGES)
    write(mine.path, "@filter\nasync def one(e, r, f): ...\n")
    mine.tick()
    assert await passed(mine, Message(b"a", True)) == [b"a"]


@pytest.mark.parametrize(
    ("rest", "says"),
    [
        ("raise ValueError('no')", "ValueError: no"),
        ("await forward('text')", "TypeError: forwarded 'text' instead of a message"),
        ("await forward(message._replace(data='text'))", "TypeError: forwarded Message(data='text'"),
    ],
)
async def test_f23_an_error_about_a_message_ends_the_conversation_or_lets_it_pass(
    tmp_path: Path, rest: str, says: str
) -> None:
    source = f"@interpose.messages\nasync def wrong(exchange, message, forward):\n    {rest}\n"
    mine = script(tmp_path, source)
    with pytest.raises(Failure) as failed:
        await passed(mine, Message(b"a", True))
    assert failed.value.detail.startswith(f"mine.py:{FIRST + 2} in wrong: {says}")
    assert mine.errors == 1
    assert await passed(script(tmp_path, source, on_error="pass"), Message(b"a", True)) == [b"a"]


async def test_f23_functions_about_messages_are_switched_off_as_well(tmp_path: Path) -> None:
    source = "@interpose.messages\nasync def wrong(exchange, message, forward):\n    raise ValueError\n"
    for on_error in ("refuse", "pass"):
        mine = script(tmp_path, source, on_error=on_error, max_errors_per_minute=1)
        for _ in range(3):
            try:
                got = await passed(mine, Message(b"a", True))
            except Failure as failure:
                got = [str(failure.status).encode()]
        assert got == ([b"503"] if on_error == "refuse" else [b"a"])
        assert mine.errors == 2


def test_what_is_remembered_of_an_exchange_is_its_own() -> None:
    one, other = exchange(), exchange()
    counts, names = PerExchange(list[int]), PerExchange(str)
    counts.of(one).append(1)
    names.put(one, "a")
    assert (counts.of(one), counts.of(other), names.of(one), names.of(other)) == ([1], [], "a", "")


@pytest.mark.parametrize(
    ("mark", "arguments", "asks"),
    [
        ("messages", "exchange, request", "exchange, message, forward"),
        ("started", "exchange", ""),
        ("stopped", "exchange", ""),
        ("decision", "exchange", "exchange, request"),
    ],
)
def test_a_marked_function_with_other_arguments_is_not_loaded(
    tmp_path: Path, mark: str, arguments: str, asks: str
) -> None:
    with pytest.raises(ValueError) as error:
        script(tmp_path, f"@interpose.{mark}\nasync def it({arguments}): ...\n")
    assert str(error.value) == f"{tmp_path}/mine.py:{FIRST}: it must be `async def it({asks})`"


def test_loading_leaves_no_trace(tmp_path: Path) -> None:
    script(tmp_path, MESSAGES)
    assert str(tmp_path) not in sys.path
