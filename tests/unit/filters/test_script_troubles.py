"""What becomes of exchanges whose functions raise, and what is told of it (THREATS F23)."""

from pathlib import Path

import pytest
from tests.support.scripted import FIRST, Origin, exchange, handler, request, script, write

from interpose.core.body import Body
from interpose.core.exchange import Exchange, Outcome
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.message import Request, Response

WRONG = "@filter\nasync def wrong(exchange, request, forward):\n    raise ValueError('no')\n"


class Answering:
    """A server whose answers are whole at once."""

    def __init__(self, *answers: Response | Failure) -> None:
        self.answers = list(answers)
        self.seen: list[Request] = []

    async def __call__(self, exchange: Exchange, request: Request) -> Response:
        self.seen.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Failure):
            raise answer
        return answer


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("on_error", "while_off"), [("refuse", 503), ("pass", 200)])
async def test_f23_a_function_that_fails_too_often_is_not_called_for_a_minute_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, on_error: str, while_off: int
) -> None:
    clock = Clock()
    mine = script(tmp_path, WRONG, clock, on_error=on_error, max_errors_per_minute=2)
    answer = handler(mine, Origin())

    async def status() -> int:
        try:
            return (await answer(exchange(), request())).status
        except Failure as failure:
            return failure.status

    first = 500 if on_error == "refuse" else 200
    for clock.now in (0.0, 50.0, 70.0):  # never three in a minute
        assert await status() == first
    assert mine.off == 0
    clock.now = 100.0
    assert await status() == first
    says = f"script {mine.path}: wrong has failed 3 times in a minute and is not called for the next one"
    assert caplog.messages[-1] == says
    assert (mine.off, mine.errors) == (1, 4)
    clock.now = 159.0
    assert await status() == while_off
    assert (mine.errors, mine.told()["off"]) == (4, ["wrong"])
    clock.now = 161.0
    assert await status() == first
    assert (mine.off, mine.errors) == (0, 5)


async def test_f23_a_changed_file_is_called_at_once(tmp_path: Path) -> None:
    mine = script(tmp_path, WRONG, max_errors_per_minute=1)
    answer = handler(mine, Origin())
    for _ in range(3):
        with pytest.raises(Failure):
            await answer(exchange(), request())
    assert mine.off == 1
    write(mine.path, "@filter\nasync def wrong(e, r, forward):\n    return await forward(e, r)\n")
    mine.tick()
    assert (await answer(exchange(), request())).status == 200
    assert (mine.off, mine.told()["troubles"], mine.errors) == (0, [], 2)


async def test_f23_what_went_wrong_is_told_with_place_count_and_exchange(tmp_path: Path) -> None:
    mine = script(tmp_path, WRONG)
    for _ in range(2):
        with pytest.raises(Failure):
            await handler(mine, Origin())(exchange(), request())
    [trouble] = mine.told()["troubles"]
    assert (trouble.function, trouble.file, trouble.line) == ("wrong", str(mine.path), FIRST + 2)
    assert (trouble.error, trouble.count, trouble.exchange) == ("ValueError: no", 2, "1-2a")


@pytest.mark.parametrize(
    "rest",
    [
        "raise ValueError",
        "request.fields.set('X-Half', 'done'); request.method = 'PUT'; raise ValueError",
        "request.body = Body(b'other'); raise ValueError",
        "await request.body.read(100); raise ValueError",
        "response = await forward(exchange, request); response.status = 299; raise ValueError",
        "response = await forward(exchange, request); response.fields.set('X-Half', 'done'); raise ValueError",
        "response = await forward(exchange, request); await response.body.read(100); raise ValueError",
        "response = await forward(exchange, request); response.body = None; return response",
        "await forward(exchange, request)",
    ],
)
async def test_f23_open_policy_an_exchange_goes_on_as_if_the_function_were_not_there(tmp_path: Path, rest: str) -> None:
    mine = script(tmp_path, f"@filter\nasync def wrong(exchange, request, forward):\n    {rest}\n", on_error="pass")
    end = Answering(Response(200, Fields([("A", "b")]), Body(b"answer")))
    of, asked = exchange(), request(Body(b"question"))
    response = await handler(mine, end)(of, asked)
    assert (response.status, list(response.fields)) == (200, [("A", "b")])
    assert await response.body.read(100) == b"answer"
    [seen] = end.seen
    assert (seen.method, list(seen.fields)) == ("POST", [])
    assert await seen.body.read(100) == b"question"
    assert of.notes == {"passed": "wrong in mine.py failed"}
    assert mine.errors == 1


async def test_f23_open_policy_content_that_streams_and_was_read_cannot_go_on(tmp_path: Path) -> None:
    source = """
        @filter
        async def wrong(exchange, request, forward):
            response = await forward(exchange, request)
            if "read" in request.fields:
                await response.body.next_chunk()
            raise ValueError
        """
    origin = Origin()
    answer = handler(script(tmp_path, source, on_error="pass"), origin)
    unread = await answer(exchange(), request())
    assert unread.body is origin.bodies[0]
    reading = request()
    reading.fields.set("Read", "yes")

    async def feeding(exchange: Exchange, request: Request) -> Response:
        response = await origin(exchange, request)
        response.body.feed(b"some")
        return response

    with pytest.raises(Failure) as failed:
        await handler(script(tmp_path, source, on_error="pass"), feeding)(exchange(), reading)
    assert failed.value.status == 500
    assert (origin.bodies[0].ended, origin.bodies[1].ended) == (False, True)


async def test_f23_open_policy_what_came_out_of_forward_goes_on(tmp_path: Path) -> None:
    source = """
        @filter
        async def wrong(exchange, request, forward):
            try:
                return await forward(exchange, request)
            except Failure:
                raise ValueError from None
        """
    gone = Failure("connection_refused", Side.UPSTREAM)
    with pytest.raises(Failure) as failed:
        await handler(script(tmp_path, source, on_error="pass"), Answering(gone))(exchange(), request())
    assert failed.value is gone


async def test_f23_open_policy_refusals_stay(tmp_path: Path) -> None:
    source = """
        @filter
        async def refuse(exchange, request, forward):
            raise Failure("http_request_denied", Side.DOWNSTREAM, "Not here.")
        """
    with pytest.raises(Failure, match=r"Not here\."):
        await handler(script(tmp_path, source, on_error="pass"), Origin())(exchange(), request())


async def test_a_retry_after_a_failure_is_not_blamed_for_the_first_one(tmp_path: Path) -> None:
    source = """
        @filter
        async def again(exchange, request, forward):
            try:
                return await forward(exchange, request.copy())
            except Failure:
                return await forward(exchange, request)
        """
    end = Answering(Failure("connection_refused", Side.UPSTREAM), Response(200))
    assert (await handler(script(tmp_path, source), end)(exchange(), request())).status == 200


async def test_f23_what_fails_at_the_end_is_told_with_its_line_and_keeps_nothing_from_ending(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = """
        @filter
        async def late(exchange, request, forward):
            exchange.at_end(lambda outcome: exchange.notes.update(ended="yes"))
            exchange.at_end(lambda outcome: 1 / 0)
            return await forward(exchange, request)
        """
    (tmp_path / "other").mkdir()
    mine, other = script(tmp_path, source), script(tmp_path / "other", source.replace("1 / 0", "{}['x']"))
    of = exchange()
    await handler(mine, handler(other, Origin()))(of, request())
    of.finish(Outcome(200, 0, None, 1.0))
    assert of.notes["ended"] == "yes"
    found = [(one.line, one.error) for each in (mine, other) for one in each.told()["troubles"]]
    assert found == [(FIRST + 3, "ZeroDivisionError: division by zero"), (FIRST + 3, "KeyError: 'x'")]
    assert [record.exc_info for record in caplog.records] == [None, None]
