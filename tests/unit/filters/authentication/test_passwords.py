import asyncio
import base64
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure
from interpose.core.fields import Fields
from interpose.core.message import Request, Response
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Target
from interpose.filters.authentication import passwords as module
from interpose.filters.authentication import tries
from interpose.filters.authentication.filter import Authentication
from interpose.filters.authentication.options import AuthenticationOptions
from interpose.filters.authentication.passwords import Passwords
from interpose.filters.authentication.tries import network_of
from interpose.storage.password_file import PasswordFile

ANNA = "anna:" + bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
BERT = "bert:" + bcrypt.hashpw(b"other:secret", bcrypt.gensalt(4)).decode()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Place:
    """A file of users, the filter over it, a clock, and what reached the origin."""

    def __init__(self, path: Path, proxy: bool = False, **options: Any) -> None:
        self.path = path
        self.clock = Clock()
        path.write_text(f"{ANNA}\n{BERT}\n")
        self.passwords = Passwords(AuthenticationOptions(name="users", file=str(path), **options), self.clock)
        self.auth = Authentication([self.passwords], users=self.passwords, proxy=proxy)
        self.seen: list[Request] = []
        self.exchange = Exchange(1, 0, "main", Address("192.0.2.1", 50000), 0.0)

    async def origin(self, exchange: Exchange, request: Request) -> Response:
        self.seen.append(request)
        return Response(200)

    async def ask(self, *values: str, host: str = "192.0.2.1", name: str = "Proxy-Authorization") -> Response:
        self.exchange = Exchange(1, 0, "main", Address(host, 50000), 0.0)
        fields = Fields([(name, value) for value in values])
        request = Request("GET", Target(Form.ABSOLUTE, "http", Authority("example.org"), "/"), fields)
        return await self.auth(self.exchange, request, self.origin)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The users whose passwords were really checked."""
    found: list[str] = []
    real = PasswordFile.is_right

    def is_right(self: PasswordFile, user: str, password: bytes) -> bool:
        found.append(user)
        return real(self, user, password)

    monkeypatch.setattr(PasswordFile, "is_right", is_right)
    return found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "users", proxy=True)


async def test_a19_a_proxy_asks_who_is_there(place: Place) -> None:
    response = await place.ask()
    assert response.status == 407
    assert response.fields["Proxy-Authenticate"] == 'Basic realm="Interpose", charset="UTF-8"'
    assert "WWW-Authenticate" not in response.fields
    assert place.exchange.notes == {
        "filter": "auth",
        "rule": f"users in {place.path}",
        "why": "No user name and password were given.",
    }
    assert place.seen == []


async def test_a_gateway_asks_as_a_server_does(tmp_path: Path) -> None:
    place = Place(tmp_path / "users", realm='The "edge" é')
    response = await place.ask(basic("anna", "secret"))
    assert response.status == 401
    assert response.fields["WWW-Authenticate"] == 'Basic realm="The edge ", charset="UTF-8"'
    response = await place.ask(basic("anna", "secret"), name="Authorization")
    assert response.status == 200
    assert place.seen[0].fields["Authorization"] == basic("anna", "secret")


async def test_a_user_is_let_through_without_the_credentials(place: Place) -> None:
    for user, password in (("anna", "secret"), ("bert", "other:secret")):
        assert (await place.ask(basic(user, password))).status == 200
        assert place.exchange.user == user
    assert all("Proxy-Authorization" not in request.fields for request in place.seen)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (basic("anna", "Secret"), "The user name or the password is wrong."),
        (basic("nobody", "secret"), "The user name or the password is wrong."),
        (basic("", ""), "The user name or the password is wrong."),
        ("Basic YW5uYQ==", "The user name or the password is wrong."),
        ("Basic YW5uYTpzZWNyZXQ", "The user name or the password is wrong."),
        ("Basic " + base64.b64encode(b"\xff\x00:\xfe").decode(), "The user name or the password is wrong."),
        ("Basic ", "The credentials are not of the Basic scheme."),
        ("Basic a b", "The credentials are not of the Basic scheme."),
        ("Basic YW5u=YTpzZWNyZXQ=", "The credentials are not of the Basic scheme."),
        ("Bearer abc", "The credentials are not of the Basic scheme."),
        ("Basic " + "A" * 4000, "The credentials are not of the Basic scheme."),
        ('Digest username="anna"', "The credentials are not of the Basic scheme."),
    ],
)
async def test_a19_anything_else_is_asked_again(place: Place, value: str, says: str) -> None:
    response = await place.ask(value.strip(" "))
    assert response.status == 407
    assert "Proxy-Authenticate" in response.fields
    assert place.exchange.notes["why"] == says
    assert place.exchange.user is None
    assert place.seen == []


async def test_two_credentials_are_none(place: Place) -> None:
    assert (await place.ask(basic("anna", "secret"))).status == 200
    assert (await place.ask(basic("anna", "secret"), basic("bert", "wrong"))).status == 407


async def test_a_password_is_checked_once_in_five_minutes(place: Place, checks: list[str]) -> None:
    for later in (0, 1, 299, 301):
        place.clock.now = 1000.0 + later
        assert (await place.ask(basic("anna", "secret"))).status == 200
    assert checks == ["anna", "anna"]


async def test_a_browser_s_many_connections_are_one_check(place: Place, checks: list[str]) -> None:
    responses = await asyncio.gather(*(place.ask(basic("anna", "secret")) for _ in range(30)))
    assert {response.status for response in responses} == {200}
    assert checks == ["anna"]


async def test_a37_what_is_remembered_is_not_the_password(place: Place) -> None:
    await place.ask(basic("anna", "secret"))
    await place.ask(basic("anna", "wrong-one"))
    kept = repr(place.passwords._remembered._known)
    kept += repr([tries.wrong for tries in place.passwords._brake._tries.values()])
    assert "anna" in kept
    for secret in ("secret", "wrong-one", basic("anna", "secret")[6:], basic("anna", "wrong-one")[6:]):
        assert secret not in kept


async def test_a37_after_five_wrong_passwords_a_client_waits(place: Place, checks: list[str]) -> None:
    for number in range(5):
        assert (await place.ask(basic("anna", str(number)))).status == 407
    place.clock.now += 20.5
    for password in ("5", "secret", "0"):
        response = await place.ask(basic("anna", password))
        assert response.status == 429
        assert response.fields["Retry-After"] == "40"
        assert place.exchange.notes["rule"] == "tries_per_minute = 5"
    assert len(checks) == 5
    assert (await place.ask(basic("anna", "secret"), host="192.0.2.2")).status == 200
    place.clock.now += 40
    assert (await place.ask(basic("anna", "6"))).status == 407


async def test_a37_guesses_at_the_same_time_are_not_more_guesses(place: Place, checks: list[str]) -> None:
    responses = await asyncio.gather(*(place.ask(basic("anna", str(number))) for number in range(40)))
    assert sorted(response.status for response in responses) == [407] * 5 + [429] * 35
    assert len(checks) == 5


async def test_a_user_who_is_in_stays_in_while_a_neighbour_guesses(place: Place) -> None:
    assert (await place.ask(basic("anna", "secret"))).status == 200
    for number in range(9):
        await place.ask(basic("bert", str(number)))
    assert (await place.ask(basic("anna", "secret"))).status == 200
    assert (await place.ask(basic("bert", "other:secret"))).status == 429


async def test_repeating_one_wrong_password_is_one_try(place: Place, checks: list[str]) -> None:
    for _ in range(20):
        assert (await place.ask(basic("anna", "wrong"))).status == 407
    assert (await place.ask(basic("anna", "secret"))).status == 200
    assert checks == ["anna", "anna"]


async def test_a32_what_is_remembered_of_clients_is_bounded(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tries, "MOST_CLIENTS", 10)
    for number in range(50):
        await place.ask(basic("anna", "wrong"), host=f"192.0.2.{number}")
    assert len(place.passwords._brake._tries) == 10


async def test_a_flood_of_checks_is_cut(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    asked = [place.ask(basic("anna", str(n)), host=f"192.0.2.{n}") for n in range(5)]
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert [result.status for result in results if isinstance(result, Response)] == [407] * 3
    assert [result.status for result in results if isinstance(result, Failure)] == [503] * 2
    assert place.exchange.notes["rule"] == "3 wait already"
    assert (await place.ask(basic("anna", "secret"))).status == 200


async def test_a_changed_file_counts_within_a_second(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert (await place.ask(basic("anna", "secret"))).status == 200
    place.path.write_text(BERT)
    place.clock.now += 1
    assert (await place.ask(basic("anna", "secret"))).status == 407
    assert (await place.ask(basic("bert", "other:secret"))).status == 200
    assert caplog.messages == [f"users read again from {place.path}: 1"]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: path.write_text("anna:plain"),
         "line 1 has a plain password or an old hash for 'anna', which is not accepted; "
         "write it anew with `htpasswd -B`"),
        (lambda path: path.unlink(), "cannot be read: No such file or directory"),
    ],
)  # fmt: skip
async def test_a_broken_file_changes_nothing(
    place: Place, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], None], says: str
) -> None:
    spoil(place.path)
    for _ in range(3):
        place.clock.now += 1
        assert (await place.ask(basic("anna", "secret"))).status == 200
    assert caplog.messages == [f"users not read again, the old ones stay: {place.path}: {says}"]


async def test_a_client_that_leaves_lets_the_next_one_in(place: Place) -> None:
    first = asyncio.ensure_future(place.ask(basic("anna", "wrong")))
    second = asyncio.ensure_future(place.ask(basic("anna", "secret")))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).status == 200
    assert place.passwords._waiting == 0


async def test_the_answers_can_be_pages(tmp_path: Path) -> None:
    (tmp_path / "users").write_text(ANNA)

    def render(exchange: Exchange, request: Request, failure: Failure) -> Response:
        return Response.text(failure.status, f"<h1>{failure.detail}</h1>", "text/html")

    passwords = Passwords(AuthenticationOptions(name="users", file=str(tmp_path / "users")))
    auth = Authentication([passwords], proxy=False, render=render)
    exchange = Exchange(1, 0, "main", Address("192.0.2.1", 50000), 0.0)
    request = Request("GET", Target(Form.ORIGIN, "http", Authority("example.org"), "/"), Fields())
    response = await auth(exchange, request, forward=None)  # type: ignore[arg-type]
    assert response.body.take() == b"<h1>No user name and password were given.</h1>"
    assert "WWW-Authenticate" in response.fields


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("", "x", False),
    ],
)
def test_a_household_is_one_client(one: str, other: str, same: bool) -> None:
    assert (network_of(one) == network_of(other)) is same


# --- below HTTP ----------------------------------------------------------------------------------------------------


async def logged_in(place: Place, user: bytes, password: bytes, host: str = "192.0.2.1") -> tuple[str | None, int]:
    """The user that was let in, and the status of the refusal (0: none)."""
    place.exchange = Exchange(1, 0, "main", Address(host, 50000), 0.0)
    try:
        await place.auth.login(place.exchange, user, password)
    except Failure as failure:
        return place.exchange.user, failure.status
    return place.exchange.user, 0


@pytest.mark.parametrize(
    ("user", "password", "expected"),
    [
        (b"anna", b"secret", ("anna", 0)),
        (b"bert", b"other:secret", ("bert", 0)),
        (b"anna", b"wrong", (None, 407)),
        (b"nobody", b"secret", (None, 407)),
        (b"", b"", (None, 407)),
        (b"", b"secret", (None, 407)),
        (b"bert:other", b"secret", (None, 407)),
        (b"\xff", b"\xff", (None, 407)),
        (b"a" * 255, b"b" * 255, (None, 407)),
    ],
)
async def test_a_login_below_http_lets_in_whom_basic_lets_in(
    tmp_path: Path, user: bytes, password: bytes, expected: tuple[str | None, int]
) -> None:
    place = Place(tmp_path / "users", proxy=True)
    for _ in range(2):  # what is remembered of the first time says the same
        assert await logged_in(place, user, password) == expected
        assert (place.exchange.notes.get("filter") == "auth") is bool(expected[1])


async def test_users_are_remembered_across_protocols(tmp_path: Path, checks: list[str]) -> None:
    place = Place(tmp_path / "users", proxy=True)
    assert (await place.ask(basic("anna", "secret"))).status == 200
    assert await logged_in(place, b"anna", b"secret") == ("anna", 0)
    assert checks == ["anna"]


async def test_a37_wrong_passwords_count_across_protocols(tmp_path: Path) -> None:
    place = Place(tmp_path / "users", proxy=True)
    for number in range(3):
        assert (await logged_in(place, b"anna", b"%d" % number))[1] == 407
        assert (await place.ask(basic("anna", f"guess {number}"))).status == (407 if number < 2 else 429)
    assert await logged_in(place, b"anna", b"secret") == (None, 429)
    assert place.exchange.notes["rule"] == "tries_per_minute = 5"
    assert await logged_in(place, b"anna", b"secret", host="192.0.2.2") == ("anna", 0)
    place.clock.now += 61
    assert await logged_in(place, b"anna", b"secret") == ("anna", 0)


async def test_a_changed_file_counts_below_http_too(tmp_path: Path) -> None:
    place = Place(tmp_path / "users", proxy=True)
    assert (await logged_in(place, b"anna", b"secret"))[1] == 0
    place.path.write_text(f"{BERT}\n")
    place.clock.now += 2
    assert (await logged_in(place, b"anna", b"secret"))[1] == 407
