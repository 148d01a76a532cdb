"""Fields of requests and responses that are set, added and removed (phase EDIT)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from interpose.core.exchange import Exchange
from interpose.core.fields import Fields, key_of
from interpose.core.handler import Answered, Handler
from interpose.core.message import Request, Response
from interpose.core.query import Matcher, compile_query, parse
from interpose.core.query.live import Live
from interpose.core.substitution import Substitution, in_field

FieldName = Annotated[str, Meta(extra={"kind": "field"})]
FilledText = Annotated[str, Meta(extra={"kind": "filled"})]
QueryText = Annotated[str, Meta(extra={"kind": "condition"})]


class FieldEdit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of a field. They are made in their order, those of requests before rewriting."""

    message: Literal["request", "response"] = "request"
    """Which message it is in."""

    action: Literal["set", "add", "remove"] = "set"
    """`set` makes it the only field of its name, `add` keeps others, `remove` takes all of them off."""

    name: FieldName
    """Its name. With `remove`, `x-internal-*` is every field that begins so."""

    value: FilledText = ""
    """What `set` and `add` write. `{client}`, `{user}`, `{host}`, `{id}` of the path and the like are filled in."""

    when: QueryText = ""
    """Only for what this query means: `status:>=400`. Empty: always."""


class Edit(NamedTuple):
    """One change, ready to be made."""

    action: str
    name: str
    key: bytes
    value: Substitution
    condition: Matcher | None


class FieldEdits:
    """The filter. `wall` is the clock that `time:` in a condition means."""

    def __init__(self, edits: Iterable[FieldEdit], wall: Callable[[], float] = time.time) -> None:
        edits = tuple(edits)
        self._inbound = [_edit(edit) for edit in edits if edit.message == "request"]
        self._outbound = [_edit(edit) for edit in edits if edit.message == "response"]
        self._asks = any(edit.condition is not None for edit in self._outbound)
        self._wall = wall

    def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        """See `core.handler.Filter`."""
        if not self._outbound:
            self._edit_request(exchange, request)
            return forward(exchange, request)
        asked = request
        if self._asks:  # what stands behind may change the request, and conditions mean the one that came here
            asked = Request(request.method, request.target, request.fields.copy(), request.body, request.version)
            asked.upgrade = request.upgrade
        values = [edit.value.fill(exchange, request, in_field).strip(" \t") for edit in self._outbound]
        self._edit_request(exchange, request)
        answering = forward(exchange, request)
        if type(answering) is Answered:
            self._edit_response(exchange, asked, answering.response, values)
            return answering
        return self._awaited(exchange, asked, answering, values)

    async def _awaited(
        self, exchange: Exchange, asked: Request, answering: Awaitable[Response], values: list[str]
    ) -> Response:
        response = await answering
        self._edit_response(exchange, asked, response, values)
        return response

    def _edit_request(self, exchange: Exchange, request: Request) -> None:
        for edit in self._inbound:
            if edit.condition is None or edit.condition.matches(self._live(exchange, request)):
                _make(edit, request.fields, edit.value.fill(exchange, request, in_field).strip(" \t"))

    def _edit_response(self, exchange: Exchange, asked: Request, response: Response, values: list[str]) -> None:
        for edit, value in zip(self._outbound, values, strict=True):
            if edit.condition is None or edit.condition.matches(self._live(exchange, asked, response)):
                _make(edit, response.fields, value)

    def _live(self, exchange: Exchange, request: Request, response: Response | None = None) -> Live:
        return Live(exchange, request, response, time=self._wall(), route=exchange.route)


def _edit(edit: FieldEdit) -> Edit:
    condition = compile_query(parse(edit.when)) if edit.when else None
    return Edit(edit.action, edit.name, key_of(edit.name), Substitution(edit.value), condition)


def _make(edit: Edit, fields: Fields, value: str) -> None:
    action, name, key, _, _ = edit
    if action == "set":
        fields.set(name, value)
    elif action == "add":
        fields.add(name, value)
    elif key.endswith(b"*"):
        fields.lines = [line for line in fields.lines if not line.key.startswith(key[:-1])]
    else:
        fields.remove(name)
