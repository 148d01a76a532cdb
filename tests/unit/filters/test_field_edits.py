"""Fields that are set, added and removed."""

from __future__ import annotations

from interpose.core.exchange import Exchange
from interpose.core.fields import Fields
from interpose.core.handler import Answered
from interpose.core.message import Request, Response
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Target
from interpose.filters.field_edits import FieldEdit, FieldEdits


def exchange() -> Exchange:
    made = Exchange(1, 0, "web", Address("10.0.0.7", 1), 0.0)
    made.captured, made.user = {"id": "7%2F"}, "al\r\nice"
    return made


def request(*fields: tuple[str, str], query: str | None = None) -> Request:
    return Request("GET", Target(Form.ORIGIN, "http", Authority("a.example"), "/users/7", query), Fields(fields))


class Server:
    def __init__(self, *fields: tuple[str, str], status: int = 200, at_once: bool = False) -> None:
        self.fields: list[tuple[str, str]] = []
        self._response = Response(status, Fields(fields))
        self._at_once = at_once

    def __call__(self, exchange: Exchange, request: Request):  # type: ignore[no-untyped-def]
        self.fields = list(request.fields)
        request.target = request.target._replace(path="/rewritten")
        answered = Answered(self._response)
        return answered if self._at_once else self._later(answered)

    async def _later(self, answered: Answered) -> Response:
        return answered.response


async def test_requests_are_changed_in_the_order_of_the_file() -> None:
    edits = (
        FieldEdit(name="X-Client", value="{client}"),
        FieldEdit(action="remove", name="x-internal-*"),
        FieldEdit(action="add", name="X-Tag", value="{id} of {host}"),
        FieldEdit(name="X-User", value="{user}"),
        FieldEdit(name="X-Again", value="{field.x-client}!"),
    )
    server = Server()
    await FieldEdits(edits)(
        exchange(), request(("x-client", "forged"), ("X-Internal-Token", "1"), ("X-Tag", "a")), server
    )
    assert server.fields == [
        ("X-Client", "10.0.0.7"),
        ("X-Tag", "a"),
        ("X-Tag", "7%2F of a.example"),
        ("X-User", "al%0D%0Aice"),
        ("X-Again", "10.0.0.7!"),
    ]


async def test_responses_are_changed_by_what_was_asked_for_whether_they_come_at_once_or_later() -> None:
    edits = (
        FieldEdit(message="response", action="remove", name="Server"),
        FieldEdit(message="response", name="X-Path", value="{path}"),
        FieldEdit(message="response", name="Cache-Control", value="no-store", when="status:>=400"),
        FieldEdit(message="response", name="X-Asked", value="yes", when="path:/users/* status:404"),
    )
    for at_once in (False, True):
        server = Server(("server", "nginx"), ("X-Path", "theirs"), status=404, at_once=at_once)
        response = await FieldEdits(edits)(exchange(), request(), server)
        assert list(response.fields) == [("X-Path", "/users/7"), ("Cache-Control", "no-store"), ("X-Asked", "yes")]
    response = await FieldEdits(edits)(exchange(), request(), Server(("server", "nginx")))
    assert list(response.fields) == [("X-Path", "/users/7")]


async def test_a10_values_of_clients_stay_in_their_line() -> None:
    edits = [
        FieldEdit(name="X-In", value="<{query.q}>"),
        FieldEdit(message="response", name="X-Out", value="{query.q}"),
    ]
    server = Server()
    response = await FieldEdits(edits)(exchange(), request(query="q=%20a%0d%0aX-Evil:%201%00%C3%A9%20"), server)
    assert server.fields == [("X-In", "< a%0D%0AX-Evil: 1%00%C3%A9 >")]
    assert list(response.fields) == [("X-Out", "a%0D%0AX-Evil: 1%00%C3%A9")]


async def test_a_condition_of_a_request_is_asked_before_each_change() -> None:
    edits = [
        FieldEdit(name="X-Kind", value="robot", when="request.user-agent:*bot*"),
        FieldEdit(name="X-Seen", value="yes", when="request.x-kind:robot"),
    ]
    server = Server()
    await FieldEdits(edits)(exchange(), request(("User-Agent", "Robot bot/1")), server)
    assert server.fields[1:] == [("X-Kind", "robot"), ("X-Seen", "yes")]
    await FieldEdits(edits)(exchange(), request(("User-Agent", "curl")), server)
    assert server.fields == [("User-Agent", "curl")]
