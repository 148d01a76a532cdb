"""A resource of the API: a row of a table, of which both the routes and the description of the API are made."""

from __future__ import annotations

import enum
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import unquote

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from interpose.core.query.error import QueryError

log = logging.getLogger("interpose")

MAX_CONTENT_BYTES: Final = 16 << 20
"""Of a request with JSON: a text of 2 MiB, each character of it escaped, and some fields."""
MAX_NAME_CHARACTERS: Final = 64

T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Any]]


class Role(enum.IntEnum):
    """What somebody may do: look; decide, and change what passes; change and end the instance."""

    VIEWER = 1
    EDITOR = 2
    ADMIN = 3


class Refusal(Exception):
    """An answer that says why not: `errors` are sentences with `more` beside them, or `content` stands for all that."""

    def __init__(
        self, status: int, *errors: str, content: Any = None, fields: dict[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(*errors)
        self.status = status
        self.content = {"errors": list(errors), **more} if content is None else content
        self.fields = fields


class Parameter(msgspec.Struct, frozen=True):
    """A parameter in the query of a URL, or a field of the request; `kind` is a type of JSON Schema."""

    name: str
    about: str
    kind: str = "string"
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What can be asked at a path. `handler` gives a value, which becomes JSON, or a response.

    `answer` is the type of that value, or the media type of other content; `content` is the same of the request.
    `refusals` are statuses of its own, and what they mean.
    """

    method: str
    path: str
    handler: Handler
    about: str
    role: Role = Role.VIEWER
    query: Sequence[Parameter] = ()
    fields: Sequence[Parameter] = ()
    content: Any = None
    answer: Any = dict[str, Any]
    status: int = 200
    refusals: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The resources about one noun. `problems`: what they raise, and the status of an answer that says it."""

    name: str
    about: str
    resources: Sequence[Resource]
    problems: Mapping[type[Exception], int] = field(default_factory=dict)


def routes_of(group: Group, prefix: str) -> list[Route]:
    """The routes of its resources, below `prefix`. One path may have several: the first whose method fits answers."""
    return [
        Route(f"{prefix}{resource.path}", _answering(group, resource), methods=[resource.method])
        for resource in group.resources
    ]


def _answering(group: Group, resource: Resource) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        if role_of(request) < resource.role:
            word = resource.role.name.lower()
            return json({"errors": [f"This takes the role {word}; open the console with the link of that role."]}, 403)
        try:
            result = await resource.handler(request)
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception as error:
            refusal = refusal_of(error, group.problems)
            return json(refusal.content, refusal.status, refusal.fields)
        return result if isinstance(result, Response) else json(result, resource.status)

    return answer


def refusal_of(error: Exception, problems: Mapping[type[Exception], int]) -> Refusal:
    """What went wrong, as an answer: what a person can put right is a sentence, what nobody foresaw is in the log."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, QueryError):
        return Refusal(422, str(error), at={"position": error.position, "length": error.length})
    for kind, status in problems.items():
        if isinstance(error, kind):
            return Refusal(status, sentence(error))
    if isinstance(error, OSError | sqlite3.Error):
        return Refusal(507, f"The disk does not take or give it: {sentence(error)}")
    log.error("the console could not answer", exc_info=error)
    return Refusal(500, "The console could not answer; the log of the instance says why.")


def json(content: Any, status: int = 200, fields: Mapping[str, str] | None = None) -> Response:
    """An answer in JSON."""
    return Response(msgspec.json.encode(content), status, fields, media_type="application/json")


def sentence(error: Exception) -> str:
    """What an exception says, as a sentence."""
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
    else:
        text = str(error.args[0]) if isinstance(error, LookupError) and error.args else str(error)
    text = text or type(error).__name__
    return f"{text[0].upper()}{text[1:]}" + ("" if text.endswith((".", "?", "!")) else ".")


# --- what a request says ---------------------------------------------------------------------------------------------


def role_of(request: Request) -> Role:
    """What whoever asks may do, as `access` has found out; nobody gets here unasked."""
    role: Role = request.scope["interpose.role"]
    return role


def who_asks(request: Request) -> str:
    """The name of whoever asks: that of the session, or the one in Interpose-Reviewer (percent-encoded)."""
    name: str = request.scope.get("interpose.reviewer", "")
    return name or name_in(unquote(request.headers.get("interpose-reviewer", ""))) or "somebody"


def name_in(text: str) -> str:
    """The text as a name: on one line, not too long; "" when nothing is left of it."""
    shown = "".join(character for character in text if character.isprintable())
    return " ".join(shown.split())[:MAX_NAME_CHARACTERS]


def number(request: Request, name: str, default: int = 0, most: int = (1 << 63) - 1) -> int:
    """A whole number in the query of the URL."""
    text = request.query_params.get(name, "")
    return default if text == "" else _whole(text, name, most)


def number_in_path(request: Request, name: str = "id") -> int:
    """A whole number in the path; what is none names nothing."""
    try:
        return _whole(request.path_params[name], name, (1 << 63) - 1)
    except Refusal:
        raise Refusal(404, f"There is no {request.path_params[name]}.") from None


def flag(request: Request, name: str) -> bool:
    """Whether the query of the URL says `name=1`."""
    return request.query_params.get(name, "") in ("1", "true", "yes")


def _whole(text: str, name: str, most: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= most):
        raise Refusal(422, f"`{name}` must be a whole number up to {most}, not {text[:40]!r}.")
    return int(text)


async def octets_of(request: Request, most: int = MAX_CONTENT_BYTES) -> bytes:
    """The content of a request. It is refused as soon as it is too long."""
    pieces: list[bytes] = []
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > most:
            raise Refusal(413, f"The content is longer than {most} octets, the most that is taken here.")
        pieces.append(piece)
    return b"".join(pieces)


async def content_of(request: Request, kind: type[T]) -> T:
    """The JSON of a request; none is an empty object."""
    try:
        return msgspec.json.decode(await octets_of(request) or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Refusal(422, f"The content cannot be used: {error}.") from None


def tag_seen(request: Request) -> str:
    """What If-Match says that whoever changes something has seen. It has to say so (RFC 6585, 3)."""
    tag = request.headers.get("if-match", "").strip(" \t")
    if not tag:
        raise Refusal(428, "Say in If-Match what you have seen: the ETag that came with it.")
    return tag.removeprefix("W/").strip('"')
