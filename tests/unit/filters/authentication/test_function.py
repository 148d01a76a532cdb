"""A function of a script as what says who it is."""

import asyncio
import logging
from pathlib import Path

import pytest

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure
from interpose.core.fields import Fields
from interpose.core.message import Request, Response
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Target
from interpose.filters.authentication.filter import Authentication
from interpose.filters.authentication.function import Function
from interpose.filters.authentication.options import AuthenticationOptions
from interpose.filters.script.options import ScriptOptions
from interpose.filters.script.script import Script

SCRIPT = """
import asyncio
import interpose

@interpose.authenticator
async def who(exchange, request):
    async with asyncio.timeout(5):  # only a task can have one
        await asyncio.sleep(0)
    match request.fields.get("X-Key"):
        case "name": return "anna"
        case "groups": return interpose.Identity("bert", ("staff",))
        case "odd": return 7
        case "empty": return ""
        case "bug": return request.nothing
        case "no":
            raise interpose.Failure("http_request_denied", interpose.Side.DOWNSTREAM, "Not today.")
"""


class Place:
    def __init__(self, tmp_path: Path, *, is_last: bool = True) -> None:
        path = tmp_path / "who.py"
        path.write_text(SCRIPT)
        table = AuthenticationOptions(name="keys", kind="script", script=str(path))
        self.script = Script(ScriptOptions(file=str(path)))
        self.path = path
        self.filter = Authentication([Function(table, self.script.identity, is_last=is_last)], proxy=False)

    async def ask(self, key: str, *fields: tuple[str, str]) -> int:
        self.exchange = Exchange(1, 0, "main", Address("192.0.2.1", 50000), 0.0)
        target = Target(Form.ORIGIN, "http", Authority("a"), "/")
        request = Request("GET", target, Fields([("X-Key", key), *fields]))
        return (await self.filter(self.exchange, request, self.origin)).status

    async def origin(self, exchange: Exchange, request: Request) -> Response:
        return Response(200)


async def test_it_says_who_it_is(tmp_path: Path) -> None:
    place = Place(tmp_path)
    assert "authenticator" in place.script.answers
    assert (await place.ask("name"), place.exchange.user, place.exchange.groups) == (200, "anna", None)
    assert (await place.ask("groups"), place.exchange.user, place.exchange.groups) == (200, "bert", ("staff",))
    assert (await place.ask("other"), place.exchange.user) == (401, None)
    assert place.exchange.notes["why"] == "The script did not say who it is."


@pytest.mark.parametrize(
    ("key", "status", "why"),
    [
        ("odd", 500, "The script said 7 instead of a user's name, an interpose.Identity or None."),
        ("empty", 500, "The script said '' instead of a user's name, an interpose.Identity or None."),
        ("bug", 500, "who.py:14 in who: AttributeError: 'Request' object has no attribute 'nothing'"),
        ("no", 403, "Not today."),
    ],
)
async def test_what_goes_wrong_in_it_lets_nobody_in(
    tmp_path: Path, key: str, status: int, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    place = Place(tmp_path)
    with pytest.raises(Failure) as refused:
        await place.ask(key)
    assert refused.value.status == status
    notes = place.exchange.notes
    assert (notes["filter"], notes["rule"], notes["why"]) == ("auth", "script keys", why)
    assert place.script.errors == (key == "bug")


async def test_a_changed_file_counts(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.path.write_text(SCRIPT.replace('"anna"', '"carl"'))
    place.script.tick()
    assert (await place.ask("name"), place.exchange.user) == (200, "carl")


async def test_a37_credentials_that_it_does_not_know_are_tries(tmp_path: Path) -> None:
    place = Place(tmp_path)
    for number in (1, 2, 2, 3, 4, 5):
        assert await place.ask("other", ("Authorization", f"Basic {number}")) == 401
    assert await place.ask("name", ("Authorization", "Basic 6")) == 429
    assert await place.ask("name") == 200


async def test_what_somebody_after_it_may_know_is_no_try(tmp_path: Path) -> None:
    place = Place(tmp_path, is_last=False)
    for number in range(9):
        assert await place.ask("other", ("Authorization", f"Basic {number}")) == 401


async def test_a_client_that_leaves_ends_it(tmp_path: Path) -> None:
    place = Place(tmp_path)
    ended = asyncio.Event()

    async def slow(exchange: Exchange, request: Request) -> object:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    table = AuthenticationOptions(name="keys", kind="script", script="x")
    place.filter = Authentication([Function(table, slow, is_last=True)], proxy=False)
    asking = asyncio.ensure_future(place.ask("name"))
    for _ in range(3):
        await asyncio.sleep(0)
    asking.cancel()
    async with asyncio.timeout(5):
        await ended.wait()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import interpose\n@interpose.authenticator\nasync def a(e, r): ...\n@interpose.authenticator\n"
         "async def b(e, r): ...\n", ": only one function may be marked with @interpose.authenticator"),
        ("import interpose\n@interpose.authenticator\ndef a(e, r): ...\n",
         ":2: a must be `async def a(exchange, request)`"),
    ],
)  # fmt: skip
def test_a_file_that_could_only_fail_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "who.py"
    path.write_text(text)
    with pytest.raises(ValueError) as error:
        Script(ScriptOptions(file=str(path)))
    assert str(error.value) == f"{path}{says}"
