import asyncio
import contextlib
import logging
import os
import sys
from pathlib import Path

import pytest
from tests.support.scripted import FIRST, HEAD, Nowhere, Origin, exchange, handler, request, script, write

from interpose.core.body import Body
from interpose.core.exchange import Exchange, Outcome
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.handler import Phase
from interpose.core.message import Request, Response
from interpose.filters.script.options import ScriptOptions
from interpose.filters.script.script import Script
from interpose.storage.script_file import MOST_BYTES


@pytest.fixture
def origin() -> Origin:
    return Origin()


async def test_functions_of_several_phases_run_in_the_order_of_the_phases(tmp_path: Path, origin: Origin) -> None:
    mine = script(
        tmp_path,
        """
        @filter(phase=Phase.SELECT)
        async def last(exchange, request, forward):
            request.fields.add("X-Way", "last")
            return await forward(exchange, request)

        @filter
        async def edit_one(exchange, request, forward):
            request.fields.add("X-Way", "edit_one")
            return await forward(exchange, request)

        @filter()
        async def edit_two(exchange, request, forward):
            request.fields.add("X-Way", "edit_two")
            return await forward(exchange, request)

        @filter(phase=Phase.OBSERVE)
        async def first(exchange, request, following):
            request.fields.add("X-Way", "first")
            response = await following(exchange, request)
            response.fields.set("X-Seen", "yes")
            return response
        """,
    )
    assert mine.functions == [
        (Phase.OBSERVE, "first"),
        (Phase.EDIT, "edit_one"),
        (Phase.EDIT, "edit_two"),
        (Phase.SELECT, "last"),
    ]
    response = await handler(mine, origin)(exchange(), request())
    assert response.fields["X-Seen"] == "yes"
    assert origin.seen[0].fields.get_all("X-Way") == ["first", "edit_one", "edit_two", "last"]
    assert origin.cancelled == 0


async def test_f23_an_error_is_a_500_that_names_the_line(
    tmp_path: Path, origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    mine = script(
        tmp_path,
        """
        @filter
        async def wrong(exchange, request, forward):
            if "x" in request.fields:
                return await forward(exchange, request)
            return helper(request)

        def helper(request):
            return request.fields["X-Missing"]
        """,
    )
    answer = handler(mine, origin)
    of = exchange()
    with pytest.raises(Failure) as failed:
        await answer(of, request())
    where = f"mine.py:{FIRST + 7}"
    assert (failed.value.kind, failed.value.side, failed.value.status) == ("proxy_internal_error", Side.INTERNAL, 500)
    assert failed.value.detail == f"{where} in wrong: KeyError: 'X-Missing'"
    assert of.notes == {"filter": "script", "rule": "wrong in mine.py", "why": failed.value.detail}
    assert [record.getMessage() for record in caplog.records] == [
        f"exchange 1-2a: script {tmp_path}/{where} in wrong: KeyError: 'X-Missing'"
    ]
    other = request()
    other.fields.add("X", "y")
    assert (await answer(exchange(), other)).status == 200
    assert mine.errors == 1


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("pass", "TypeError: returned None instead of a response"),
        ("return 404", "TypeError: returned 404 instead of a response"),
        ("raise SystemExit(1)", "SystemExit: 1"),
        ("import json; json.loads('{')", "JSONDecodeError: Expecting property name"),
        ("request.fields.set('Bad Name', '')", "ValueError: 'Bad Name' is not a field name"),
        ("request.fields.set('X', 'a\\r\\nSet-Cookie: b')", "ValueError: the value of field 'X' has control"),
        ("raise ValueError('\\x1b[2J\\n' + 'x' * 900)", "ValueError: \\x1b[2J\\nxxx"),
        ("raise Failure('no_such_kind', Side.INTERNAL)", "KeyError: 'no_such_kind'"),
    ],
)
async def test_f23_whatever_a_function_does_wrong_is_one_500(
    tmp_path: Path, origin: Origin, statement: str, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    mine = script(tmp_path, f"@filter\nasync def wrong(exchange, request, forward):\n    {statement}\n")
    with pytest.raises(Failure) as failed:
        await handler(mine, origin)(exchange(), request())
    assert failed.value.status == 500
    assert f" in wrong: {says}" in failed.value.detail
    assert failed.value.detail.isprintable()
    assert len(failed.value.detail) < 400
    assert len(caplog.records) == 1
    assert caplog.messages[0].isprintable()


@pytest.mark.parametrize("error", [Failure("dns_error", Side.UPSTREAM), RuntimeError("ours")])
async def test_what_comes_out_of_forward_is_not_blamed_on_the_script(tmp_path: Path, error: Exception) -> None:
    mine = script(
        tmp_path,
        """
        @filter
        async def innocent(exchange, request, forward):
            try:
                return await forward(exchange, request)
            finally:
                exchange.notes["seen"] = "yes"
        """,
    )

    async def end(exchange: Exchange, request: Request) -> Response:
        raise error

    of = exchange()
    with pytest.raises(type(error)) as raised:
        await handler(mine, end)(of, request())
    assert raised.value is error
    assert of.notes == {"seen": "yes"}
    assert mine.errors == 0


async def test_a_failure_that_a_script_raises_passes_unchanged_and_is_noted(tmp_path: Path, origin: Origin) -> None:
    mine = script(
        tmp_path,
        """
        @filter(phase=Phase.ADMIT)
        async def block(exchange, request, forward):
            raise Failure("http_request_denied", Side.DOWNSTREAM, "Not on a Sunday.", status=451)
        """,
    )
    of = exchange()
    with pytest.raises(Failure) as refusal:
        await handler(mine, origin)(of, request())
    assert (refusal.value.status, refusal.value.detail) == (451, "Not on a Sunday.")
    assert of.notes == {"filter": "script", "rule": "block in mine.py", "why": "Not on a Sunday."}
    assert origin.seen == []


async def test_an_answer_of_the_script_itself_is_noted(tmp_path: Path, origin: Origin) -> None:
    mine = script(
        tmp_path, "@filter\nasync def tea(exchange, request, forward):\n    return Response.text(418, 'no')\n"
    )
    of = exchange()
    assert (await handler(mine, origin)(of, request())).status == 418
    assert of.notes == {"filter": "script", "rule": "tea in mine.py", "why": "answered 418"}


@pytest.mark.parametrize(
    ("rest", "cancelled_at_once", "cancelled_at_end"),
    [
        ("return response", 0, 0),
        ("response.body = response.body.map(lambda chunk: chunk or b''); return response", 0, 0),
        ("response.body = Body(b'new'); return response", 0, 1),
        ("return Response.text(200, 'new')", 0, 1),
        ("return await forward(exchange, request.copy())", 0, 1),
        ("raise ValueError", 1, 1),
        ("raise Failure('http_request_denied', Side.DOWNSTREAM)", 1, 1),
    ],
)
async def test_a_body_that_is_not_passed_on_is_closed(
    tmp_path: Path, origin: Origin, rest: str, cancelled_at_once: int, cancelled_at_end: int
) -> None:
    mine = script(
        tmp_path,
        "@filter\nasync def careless(exchange, request, forward):\n"
        f"    response = await forward(exchange, request.copy())\n    {rest}\n",
    )
    of = exchange()
    with contextlib.suppress(Failure):
        response = await handler(mine, origin)(of, request())
        if not response.body.ended:
            response.body.pipe(Nowhere())
            origin.bodies[-1].finish()
    assert origin.cancelled == cancelled_at_once
    of.finish(Outcome(200, 0, None, 1.0))
    assert origin.cancelled == cancelled_at_end


SPOIL = """
def spoil(chunk):
    return chunk.upper() if chunk != b"bad" else 1 / 0

@filter
async def change(exchange, request, forward):
    response = await forward(exchange, request)
    response.body = response.body.map(spoil)
    return response
"""


async def test_f23_an_error_while_content_streams_breaks_it_off_and_names_the_line(
    tmp_path: Path, origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    mine = script(tmp_path, SPOIL)
    of = exchange()
    response = await handler(mine, origin)(of, request())
    reader = Nowhere()
    response.body.pipe(reader)
    for chunk in (b"good", b"bad", b"good"):
        origin.bodies[0].feed(chunk)
    assert reader.got == [b"GOOD", "proxy_internal_error"]
    assert origin.cancelled == 1
    of.finish(Outcome(200, 4, response.body.failure, 1.0))
    where = f"mine.py:{FIRST + 1}"
    says = f"{where} in change: ZeroDivisionError: division by zero"
    assert of.notes["why"] == says
    assert caplog.messages == [f"exchange 1-2a: script {tmp_path}/{says}"]


async def test_f23_an_error_in_content_that_had_all_arrived_names_the_line_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def end(exchange: Exchange, request: Request) -> Response:
        return Response(200, Fields(), Body(b"bad"))

    of = exchange()
    response = await handler(script(tmp_path, SPOIL), end)(of, request())
    with pytest.raises(Failure) as failed:
        await response.body.read(100)
    of.finish(Outcome(500, 0, failed.value, 1.0))
    assert len(caplog.messages) == 1


async def test_a_client_that_leaves_while_the_script_waits_leaves_no_body_open(tmp_path: Path, origin: Origin) -> None:
    mine = script(
        tmp_path,
        """
        import asyncio
        @filter
        async def slow(exchange, request, forward):
            response = await forward(exchange, request)
            await asyncio.Event().wait()
            return response
        """,
    )
    task = asyncio.ensure_future(handler(mine, origin)(exchange(), request()))
    await asyncio.sleep(0)
    assert len(origin.bodies) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert origin.cancelled == 1


async def test_a_changed_file_takes_effect_with_other_functions_in_other_phases(
    tmp_path: Path, origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    mine = script(tmp_path, "@filter\nasync def one(e, r, f):\n    return Response.text(201, '')\n")
    answer = handler(mine, origin)
    assert (await answer(exchange(), request())).status == 201
    mine.tick()
    write(mine.path, "@filter(phase=Phase.ADMIT)\nasync def two(e, r, f):\n    return Response.text(202, '')\n")
    mine.tick()
    assert mine.functions == [(Phase.ADMIT, "two")]
    assert (await answer(exchange(), request())).status == 202
    assert caplog.messages == [f"script {mine.path} reloaded: two"]


async def test_the_old_functions_stay_when_the_new_file_is_broken(
    tmp_path: Path, origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    mine = script(tmp_path, "@filter\nasync def one(e, r, f):\n    return Response.text(201, '')\n")
    write(mine.path, "async def two(:\n")
    mine.tick()
    mine.tick()
    assert (await handler(mine, origin)(exchange(), request())).status == 201
    mine.path.unlink()
    mine.tick()
    mine.tick()
    assert (await handler(mine, origin)(exchange(), request())).status == 201
    assert caplog.messages == [
        f"script not reloaded, the old one goes on: {mine.path}:{FIRST}: invalid syntax",
        f"script not reloaded, the old one goes on: {mine.path}: cannot be read: No such file or directory",
    ]
    write(mine.path, "@filter\nasync def one(e, r, f):\n    return Response.text(203, '')\n")
    mine.tick()
    assert (await handler(mine, origin)(exchange(), request())).status == 203


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("", ": no function is marked with @interpose.filter"),
        ("async def f(e, r, f): ...", ": no function is marked with @interpose.filter"),
        ("def f(:", f":{FIRST}: invalid syntax"),
        ("\nx = nothing", f":{FIRST + 1}: NameError: name 'nothing' is not defined"),
        ("import sys; sys.exit(3)", f":{FIRST}: SystemExit: 3"),
        ("@filter\ndef f(e, r, f): ...", f":{FIRST}: f must be `async def f(exchange, request, forward)`"),
        ("@filter\nasync def f(e, r): ...", f":{FIRST}: f must be `async def f(exchange, request, forward)`"),
        ("@filter(phase=99)\nasync def f(e, r, f): ...", f":{FIRST}: ValueError: 99 is not a valid Phase"),
        ("x = '\x00'", ": source code string cannot contain null bytes"),
        ("#" + "x" * MOST_BYTES, f": larger than {MOST_BYTES} bytes; a script should be smaller"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_one_sentence(tmp_path: Path, source: str, says: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(HEAD + source.lstrip(" "))
    with pytest.raises(ValueError) as error:
        Script(ScriptOptions(file=str(path)))
    assert str(error.value) == f"{path}{says}"


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError) as error:
        Script(ScriptOptions(file=str(tmp_path / "none.py")))
    assert str(error.value) == f"{tmp_path}/none.py: cannot be read: No such file or directory"


async def test_a_script_may_use_dataclasses_and_modules_beside_it(tmp_path: Path, origin: Origin) -> None:
    (tmp_path / "beside_mine.py").write_text("STATUS = 299\n")
    mine = script(
        tmp_path,
        """
        from dataclasses import dataclass
        from beside_mine import STATUS

        @dataclass
        class Seen:
            count: int = 0

        seen = Seen()

        class Counter:
            async def __call__(self, exchange, request, forward):
                seen.count += 1
                return Response.text(STATUS + seen.count - 1, "")

        count = again = filter(phase=Phase.STORE)(Counter())
        """,
    )
    assert mine.functions == [(Phase.STORE, "count")]
    assert (await handler(mine, origin)(exchange(), request())).status == 299
    assert str(tmp_path) not in sys.path


def test_a_touched_file_is_noticed_and_an_untouched_one_is_not_read(tmp_path: Path) -> None:
    mine = script(tmp_path, "@filter\nasync def one(e, r, f): ...\n")
    before = mine._loaded
    mine.tick()
    assert mine._loaded is before
    os.utime(mine.path, ns=(1, 1))
    mine.tick()
    assert mine._loaded is not before
